"""What was done: model, versions, licences, the paragraph for a methods section."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version

import yaml

from aidocell.provenance import VERSION
from aidocell.report import numbers
from aidocell.report.qcsummary import METRICS
from aidocell.report.study import Study

__all__ = [
    "OFFICIAL",
    "REFERENCES",
    "Reference",
    "card",
    "card_note",
    "config_text",
    "demonstration",
    "licences",
    "methods_paragraph",
    "model_id",
    "model_source",
    "options",
    "untrained",
    "versions",
]

OFFICIAL = "genbio-ai/AIDO.Cell-3M"  # the smallest
Reference = tuple[str, str]

REFERENCES: tuple[Reference, ...] = (
    (
        "Ho N, Ellington CN, Hou J, et al. Scaling dense representations for single cell with "
        "transcriptome-scale context. bioRxiv 2024.",
        "doi:10.1101/2024.11.28.625303",
    ),
    (
        "Wolf FA, et al. SCANPY: large-scale single-cell gene expression data "
        "analysis. Genome Biology 19, 15 (2018).",
        "doi:10.1186/s13059-017-1382-0",
    ),
    (
        "Virshup I, et al. anndata: access and store annotated "
        "data matrices. Journal of Open Source Software 9, 4371 (2024).",
        "doi:10.21105/joss.04371",
    ),
    (
        "Pedregosa F, Varoquaux G, Gramfort A, et al. Scikit-learn: machine learning in Python. "
        "Journal of Machine Learning Research 12, 2825–2830 (2011).",
        "",
    ),
    (
        "McInnes L, Healy J, Melville J. UMAP: uniform manifold approximation and projection for "
        "dimension reduction. arXiv 2018.",
        "arXiv:1802.03426",
    ),
    (
        "Mölder F, Jablonski KP, Letcher B, et al. Sustainable data analysis with Snakemake. "
        "F1000Research 10, 33 (2021).",
        "doi:10.12688/f1000research.29032.2",
    ),
)

_PACKAGES = (
    "anndata",
    "jinja2",
    "numpy",
    "pandas",
    "scanpy",
    "scikit-learn",
    "scipy",
    "snakemake",
    "torch",
    "umap-learn",
    "zarr",
)


def model_id(study: Study) -> str:
    """The checkpoint's name, else what the config names."""
    return str(study.model.get("id") or study.config.get("model") or "no model")


def model_source(study: Study) -> str:
    """Where the weights come from, in words."""
    if not study.model:
        return "not loaded yet"
    if demonstration(study):
        return "demonstration model"
    revision = str(study.model.get("revision") or "")
    hub = (
        f"official weights, revision {revision[:8]}" if official(study) else f"hub, {revision[:8]}"
    )
    return hub if study.model.get("source") == "hub" else "own folder"


def demonstration(study: Study) -> bool:
    """Whether the checkpoint says of itself that it only demonstrates."""
    return bool(study.model.get("demonstration"))


def official(study: Study) -> bool:
    """Whether the weights are those of the model's authors."""
    return model_id(study).startswith("genbio-ai/")


def card(study: Study) -> Mapping[str, object]:
    """The checkpoint's own card; empty where it has none."""
    return study.model.get("card") or {}


def untrained(study: Study) -> dict[str, float]:
    """Macro-F1 of the same shape with random weights, as the checkpoint's card has it."""
    figures = card(study).get("untrained")
    pooling = options(study).get("pooling")
    if not isinstance(figures, Mapping) or pooling not in figures:
        return {}
    return {f"untrained model of this shape, {pooling} pooling": float(figures[pooling])}


def card_note(study: Study) -> str:
    """How the figures on the checkpoint's card were made, as far as it says."""
    given = card(study)
    parts = [str(given["classifier"])] if "classifier" in given else []
    parts += [numbers.plural(int(given["cells"]), "cell")] if "cells" in given else []
    parts += [f"median of {len(given['seeds'])} seeds"] if "seeds" in given else []
    return "; ".join(parts)


def options(study: Study) -> Mapping[str, object]:
    """Options of the embedding as asked for: pooling, precision, attention."""
    return next((s.provenance["options"] for s in study.samples if "options" in s.provenance), {})


def versions() -> dict[str, str]:
    """Versions of what computed this report, by name."""
    found = {"aidocell": VERSION, "Python": platform.python_version()}
    return found | {name: version(name) for name in _PACKAGES}


def config_text(study: Study) -> str:
    """The whole config as YAML."""
    plain = _plain(study.config)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def licences(study: Study) -> list[Reference]:
    """What the parts may be used for: part, licence."""
    given = card(study).get("license") or "see the checkpoint's own folder"
    if official(study):
        given = "GenBio AI Community License: non-commercial use only"
    return [
        ("aidocell", "Apache-2.0"),
        (f"checkpoint {model_id(study)}", str(given)),
        ("data", "as its owners say"),
    ]


def methods_paragraph(study: Study) -> str:
    """A paragraph to paste; it says only what was done in this run."""
    parts = [_reading(study), _filtering(study), _embedding(study), _typing(study), _mapping(study)]
    tail = "All steps ran under Snakemake (Mölder et al. 2021)."
    return " ".join([*(part for part in parts if part), tail])


def _reading(study: Study) -> str:
    n = len(study.admitted)
    genes = next((s.audit["vocabulary"] for s in study.admitted if "vocabulary" in s.audit), None)
    if genes is None:
        return f"Raw counts were processed with aidocell {VERSION}."
    return (
        f"Raw counts of {numbers.plural(n, 'sample')} were checked and aligned with aidocell "
        f"{VERSION} to the {genes:,} genes of the model, by Ensembl identifier first, then by "
        "current, previous and alias symbol; ambiguous names were left out and rows of one gene "
        "added up (anndata, Virshup et al. 2024)."
    )


def _filtering(study: Study) -> str:
    summaries = list(study.qc.values())
    if not summaries:
        return ""
    kept, seen = (sum(getattr(q, name) for q in summaries) for name in ("kept", "cells"))
    shared = all(q.bounds == summaries[0].bounds for q in summaries)
    rules = _rules(summaries[0].bounds) if shared else "within bounds set by sample"
    return (
        f"Quality was measured as in scanpy (Wolf et al. 2018); cells {rules or 'with a count'} "
        f"were kept: {kept:,} of {seen:,}."
    )


def _rules(bounds: Mapping[str, tuple[float | None, float | None]]) -> str:
    rules = []
    for name, (low, high) in bounds.items():
        title, unit = METRICS[name].title.lower(), METRICS[name].unit
        sides = [f"at least {low:,.4g}{unit}"] if low is not None else []
        sides += [f"at most {high:,.4g}{unit}"] if high is not None else []
        if sides:
            rules.append(f"{title} {' and '.join(sides)}")
    return f"with {_listed(rules)}" if rules else ""


def _embedding(study: Study) -> str:
    asked = options(study)
    if not asked:
        return ""
    cells = sum(s.embedded or 0 for s in study.samples)
    model = next(s.provenance["model"] for s in study.samples if s.provenance)
    kind = ", a demonstration model" if demonstration(study) else ""
    return (
        f"{cells:,} cells were embedded with {model['id']}{kind} (AIDO.Cell architecture, Ho et "
        f"al. 2024; weights sha256 {str(model['sha256'])[:12]}…), which attends over all genes; "
        f"pooling {asked.get('pooling')}, precision {asked.get('precision')}."
    )


def _typing(study: Study) -> str:
    if study.annotation is None:
        return ""
    summary, annotation = study.annotation.summary, study.annotation
    draws, names = (
        summary.get("bootstrap_draws"),
        [f"{m.title} ({m.name})" for m in annotation.methods],
    )
    if not (draws and names and summary.get("folds")):
        return ""
    return (
        f"Methods to find cell types were compared on {annotation.cells:,} labelled cells by "
        f"{_split(summary)} (scikit-learn, Pedregosa et al. 2011): {_listed(names)}. "
        f"95 % intervals are percentiles of {draws:,} bootstrap draws of the cells; those over "
        "folds are corrected resampled t intervals (Nadeau and Bengio 2003)."
    )


def _split(summary: Mapping[str, object]) -> str:
    if summary.get("split") == "groups":
        return f"leaving out each of {summary['folds']} groups in turn"
    times = f"{summary['repeats']} times repeated " if summary.get("repeats", 1) != 1 else ""
    kind = "grouped" if summary.get("groups") else "stratified"
    return f"{times}{kind} {summary['folds']}-fold cross-validation"


def _mapping(study: Study) -> str:
    if study.cells is None or study.cells.method != "umap":
        return ""
    return (
        f"For the map the embeddings of {len(study.cells.table):,} cells were standardised, "
        "reduced to at most 50 principal components and laid out with UMAP (McInnes et al. 2018; "
        "15 neighbours, minimum distance 0.3)."
    )


def _listed(items: Iterable[str]) -> str:
    *head, last = items
    return f"{', '.join(head)} and {last}" if head else last


def _plain(value: object) -> object:
    """Config values as YAML knows them: paths and other objects become text."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
