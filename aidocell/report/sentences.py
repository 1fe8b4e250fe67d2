"""What to know: three to six sentences made from the figures, the worst first.

No sentence has an adjective that no figure carries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aidocell.errors import first_few
from aidocell.report import numbers
from aidocell.report.annotation import Annotation, Estimate, MethodFigures
from aidocell.report.study import Study
from aidocell.report.verdicts import Level, worst

__all__ = ["Sentence", "what_to_know"]

_MOST = 6
_ORDER = {"fail": 0, "warn": 1, "pass": 2}


@dataclass(frozen=True)
class Sentence:
    """One sentence, how much it matters, and the section that it leads to."""

    level: Level
    text: str
    section: str


def what_to_know(study: Study) -> list[Sentence]:
    """At most six sentences, the worst first; those of one level in the order of the page."""
    makers: tuple[Callable[[Study], Sentence | None], ...] = (
        _refused,
        _second_look,
        _kept,
        _placed,
        _types,
        _least_certain,
        _different_genes,
        _subset,
    )
    found = [sentence for make in makers if (sentence := make(study))]
    return sorted(found, key=lambda s: _ORDER[s.level])[:_MOST]


def _refused(study: Study) -> Sentence | None:
    refused = [s for s in study.samples if s.refused]
    if not refused:
        return None
    if len(study.samples) == 1:
        error = refused[0].audit["error"]
        return Sentence("fail", f"Refused ({error['id']}): {error['what']}.", "samples")
    named = first_few([f"{s.name} ({s.audit['error']['id']})" for s in refused], 3)
    total = numbers.plural(len(study.samples), "sample")
    return Sentence("fail", f"{len(refused)} of {total} refused: {named}.", "samples")


def _second_look(study: Study) -> Sentence | None:
    judged = [s for s in study.admitted if s.verdict.level != "pass"]
    if not judged:
        return None
    judged.sort(key=lambda s: _ORDER[s.verdict.level])
    level = worst({s.name: s.verdict for s in judged})
    if len(study.samples) == 1:
        return Sentence(
            level, f"Needs a second look: {'; '.join(judged[0].verdict.reasons)}.", "samples"
        )
    named = first_few([f"{s.name} ({s.verdict.reasons[0]})" for s in judged], 3)
    count = f"{len(judged)} of {numbers.plural(len(study.admitted), 'sample')}"
    return Sentence(level, f"{count} to look at: {named}.", "samples")


def _kept(study: Study) -> Sentence | None:
    summaries = list(study.qc.values())
    if not summaries:
        return None
    seen, kept = (sum(getattr(q, n) for q in summaries) for n in ("cells", "kept"))
    text = f"{numbers.count(kept)} of {numbers.plural(seen, 'cell')} kept"
    reasons: dict[str, int] = {}
    for summary in summaries:
        for reason, cells in summary.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + cells
    if reasons:
        top, cells = max(reasons.items(), key=lambda item: item[1])
        share = "all" if cells == seen - kept else f"{numbers.count(cells)} of them"
        text += f"; {numbers.count(seen - kept)} left out, {share} for {top}"
    return Sentence("pass", text + ".", "qc")


def _placed(study: Study) -> Sentence | None:
    known = [s for s in study.admitted if s.figures.share_resolved is not None]
    if not known:
        return None
    umis = sum(int(s.audit.get("umis", 0)) for s in known)
    placed = sum(float(s.figures.share_resolved) * int(s.audit.get("umis", 0)) for s in known)
    share = placed / umis if umis else 0.0
    genes = numbers.count(known[0].audit.get("vocabulary"))
    text = f"{numbers.share(share)} of all counts found their place in the model's {genes} genes"
    lowest = min(known, key=lambda s: s.figures.share_resolved)
    if numbers.share(lowest.figures.share_resolved) != numbers.share(share):
        text += f"; lowest: {lowest.name}, {numbers.share(lowest.figures.share_resolved)}"
    return Sentence("pass", text + ".", "genes")


def _types(study: Study) -> Sentence | None:
    """The best method on the embedding against the two simple ones, by paired differences."""
    annotation = study.annotation
    best = annotation.best if annotation else None
    if annotation is None or best is None:
        return None
    clauses = [_against(annotation, method) for method in _references(annotation)]
    text = f"Cell types{_scope(study)}: macro-F1 {_macro(best)} from the embedding ({best.name})"
    lost = any(worse for _, worse in clauses)
    text = "; ".join([text, *[clause for clause, _ in clauses]])
    return Sentence("warn" if lost else "pass", text + ".", "types")


def _scope(study: Study) -> str:
    return " (whole study)" if study.alone else ""


def _references(annotation: Annotation) -> list[MethodFigures]:
    by_name = {m.name: m for m in annotation.simple}
    return [by_name[name] for name in ("genes-logistic", "pca-logistic") if name in by_name]


def _against(annotation: Annotation, simple: MethodFigures) -> tuple[str, bool]:
    """A clause about one simple method, and whether it is better than the embedding."""
    words = {"genes-logistic": "the same classifier on plain genes"}
    name = words.get(simple.name, simple.title)
    difference = annotation.comparison(simple.name)
    finding = _finding(difference)
    return f"{name}: {_macro(simple)}, {finding}", finding.startswith("better")


def _finding(difference: Estimate | None) -> str:
    """What a paired difference (embedding minus simple method) says."""
    if difference is None or numbers.is_missing(difference.low):
        return "not compared"
    low, high = difference.low, difference.high
    if low <= 0 <= high:
        return "no clear difference"
    away = numbers.interval(abs(difference.value), *sorted((abs(low), abs(high))))
    return f"worse by {away}" if low > 0 else f"better than the embedding by {away}"


def _least_certain(study: Study) -> Sentence | None:
    best = study.annotation.best if study.annotation else None
    known = [c for c in (best.classes if best else ()) if not numbers.is_missing(c.recall.value)]
    if not known:
        return None
    least = min(known, key=lambda c: (c.recall.value, c.support))
    recall = numbers.interval(least.recall.value, least.recall.low, least.recall.high)
    level: Level = "warn" if least.recall.value < 0.5 else "pass"
    cells = numbers.plural(least.support, "cell")
    return Sentence(
        level, f"Least certain{_scope(study)}: {least.label}, recall {recall}, {cells}.", "types"
    )


def _different_genes(study: Study) -> Sentence | None:
    sizes = {s.audit["measured"] for s in study.admitted if s.audit.get("measured")}
    if len(sizes) < 2:
        return None
    text = (
        f"The samples measured between {numbers.count(min(sizes))} and {numbers.count(max(sizes))} "
        "of the model's genes"
    )
    return Sentence("warn", text + "; genes that a file lacks count as zero.", "genes")


def _subset(study: Study) -> Sentence | None:
    both = [s for s in study.admitted if s.embedded is not None and s.qc]
    embedded = sum(s.embedded or 0 for s in both)
    kept = sum(s.qc.kept for s in both if s.qc)
    if embedded >= kept:
        return None
    text = f"{numbers.count(embedded)} of the {numbers.plural(kept, 'kept cell')} have an embedding"
    return Sentence("pass", text + "; which ones, the config says (key subset).", "run")


def _macro(method: MethodFigures) -> str:
    estimate = method.metrics.get("macro_f1", Estimate(None))
    if numbers.is_missing(estimate.value):
        return "not known"
    return str(numbers.interval(estimate.value, estimate.low, estimate.high))
