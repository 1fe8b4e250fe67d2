"""How the names of a study's genes were resolved, added up over its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from aidocell.report.study import Study

__all__ = ["ROUTES", "GeneFigures", "Route", "gene_figures"]

Key = TypeVar("Key", bound=Hashable)

# in the order in which a name is tried
ROUTES = {
    "ensembl_id": "by Ensembl identifier",
    "symbol": "by the model's own symbol",
    "approved": "by the current approved symbol",
    "previous": "by a previous symbol",
    "alias": "by an alias",
    "ambiguous": "not placed: the name means several genes",
    "other_species": "not placed: a name of another species",
    "chrM": "not placed: second mitochondrial entries stay empty",
    "unresolved": "not placed: name not known",
}


@dataclass(frozen=True)
class Route:
    """Counts that went one way, in all samples and as a share of each sample's counts."""

    name: str
    words: str
    placed: bool
    umis: int
    share: float
    by_sample: dict[str, float]


@dataclass(frozen=True)
class GeneFigures:
    """What the report's section on genes shows.

    Attributes
    ----------
    unresolved, ambiguous
        Names and their counts, the largest first.
    conflicts
        The sample's name, and its entry in the audit.
    feature_types, warnings
        What samples have in common, and the names of those samples.
    """

    routes: tuple[Route, ...]
    unresolved: tuple[tuple[str, int], ...]
    ambiguous: tuple[tuple[str, int], ...]
    conflicts: tuple[tuple[str, Mapping[str, object]], ...]
    conflicts_total: int
    added_up: int
    feature_types: dict[tuple[tuple[str, int], ...], list[str]]
    warnings: dict[str, list[str]]


def gene_figures(study: Study) -> GeneFigures | None:
    """Collect the audits of the admitted samples; None where there is none."""
    audits = {s.name: s.audit for s in study.admitted if s.audit}
    if not audits:
        return None
    return GeneFigures(
        routes=_routes(audits),
        unresolved=_largest(audits, "unresolved_top"),
        ambiguous=_largest(audits, "ambiguous"),
        conflicts=tuple((name, c) for name, a in audits.items() for c in a.get("conflicts", [])),
        conflicts_total=sum(int(a.get("conflicts_total", 0)) for a in audits.values()),
        added_up=sum(int(a.get("added_up_genes", 0)) for a in audits.values()),
        feature_types=_alike(
            (tuple(a.get("feature_types", {}).items()), name) for name, a in audits.items()
        ),
        warnings=_alike((w["text"], name) for name, a in audits.items() for w in a["warnings"]),
    )


def _alike(pairs: Iterable[tuple[Key, str]]) -> dict[Key, list[str]]:
    """Names of samples by what they have in common."""
    found: dict[Key, list[str]] = {}
    for common, name in pairs:
        found.setdefault(common, []).append(name)
    return found


def _routes(audits: Mapping[str, Mapping]) -> tuple[Route, ...]:
    total = sum(int(a.get("umis", 0)) for a in audits.values())
    routes = []
    for name, words in ROUTES.items():
        shares = {
            sample: a["routes"].get(name, {}).get("share", 0.0) for sample, a in audits.items()
        }
        umis = sum(int(a["routes"].get(name, {}).get("umis", 0)) for a in audits.values())
        if umis or any(shares.values()):
            placed = not words.startswith("not placed")
            part = umis / total if total else 0.0
            routes.append(Route(name, words, placed, umis, part, shares))
    return tuple(routes)


def _largest(
    audits: Mapping[str, Mapping], key: str, most: int = 20
) -> tuple[tuple[str, int], ...]:
    totals: Counter[str] = Counter()
    for audit in audits.values():
        for item in audit.get(key, []):
            totals[item["name"]] += int(item["umis"])
    return tuple(totals.most_common(most))
