"""Make the pages: one template, for the study and for each of its samples."""

from __future__ import annotations

from markupsafe import Markup

from aidocell.report import about
from aidocell.report.annotation import Annotation
from aidocell.report.cellmap import map_payload
from aidocell.report.colours import marks_of
from aidocell.report.figures.celltypes import composition, confusion, methods_plot
from aidocell.report.figures.curves import learning_curves
from aidocell.report.figures.qc import counts_against_genes, distribution, removal_reasons
from aidocell.report.figures.reliability import calibration_plot
from aidocell.report.figures.svg import Figure
from aidocell.report.figures.unknown import coverage_curve
from aidocell.report.genes import gene_figures
from aidocell.report.jobs import embedding_rate, stage_times, times_the_plan
from aidocell.report.qcsummary import METRICS
from aidocell.report.sentences import what_to_know
from aidocell.report.study import Study
from aidocell.report.templating import csp_hash, environment, static
from aidocell.report.verdicts import worst

__all__ = ["SECTIONS", "render"]

SECTIONS = {
    "know": "What to know",
    "samples": "Samples",
    "qc": "QC",
    "genes": "Genes",
    "map": "Map",
    "types": "Cell types",
    "run": "Run",
    "provenance": "Provenance",
    "methods": "Methods",
}
_FIRST_METRICS = ("n_genes_by_counts", "total_counts", "pct_counts_mt")
_MOST_LABELS_FOR_ALL_MATRICES = 40


def render(study: Study, *, sample_links: bool = False) -> str:
    """The page as one self-contained HTML text.

    Parameters
    ----------
    study
        The study, or one sample of it (:meth:`Study.only`).
    sample_links
        Whether the sample table leads to ``samples/<sample>.html`` beside the page.
    """
    style, script = static("report.css"), static("report.js")
    return (
        environment()
        .get_template("report.html")
        .render(
            study=study,
            sections=SECTIONS,
            sample_links=sample_links,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            style_hash=csp_hash(style),
            script_hash=csp_hash(script),
            **_context(study),
        )
    )


def _context(study: Study) -> dict[str, object]:
    """What the sections show, each computed here so that the template only lays it out."""
    annotation = study.annotation
    labels = annotation.labels if annotation else ()
    return {
        "level": worst({s.name: s.verdict for s in study.samples}),
        "sentences": what_to_know(study),
        "model": about.model_id(study),
        "model_source": about.model_source(study),
        "demonstration": about.demonstration(study),
        "official": about.OFFICIAL,
        "untrained": about.untrained(study),
        "card_note": about.card_note(study),
        "marks": marks_of(labels),
        "qc_figures": _qc_figures(study),
        "genes": gene_figures(study),
        "map_data": study.cells and map_payload(study.cells, labels),
        "methods_figure": annotation and methods_plot(annotation, about.untrained(study)),
        "confusions": _confusions(annotation) if annotation else {},
        "calibrations": _calibrations(annotation) if annotation else {},
        "composition": _composition(study),
        "coverage_figure": study.classifier and coverage_curve(study.classifier),
        "learning_figure": study.tuning and learning_curves(study.tuning),
        "stages": stage_times(study.jobs),
        "rate": embedding_rate(study.jobs),
        "times_the_plan": times_the_plan(study.jobs, {s.name: s.plan for s in study.samples}),
        "options": about.options(study),
        "versions": about.versions(),
        "config_text": about.config_text(study),
        "licences": about.licences(study),
        "paragraph": about.methods_paragraph(study),
        "references": about.REFERENCES,
    }


def _qc_figures(study: Study) -> dict[str, list[Figure]]:
    """Figures that are always open, and further distributions behind a click."""
    summaries = study.qc
    if not summaries:
        return {"first": [], "more": []}
    measured = [m for m in METRICS if any(m in q.histograms for q in summaries.values())]
    first = [distribution(m, summaries) for m in measured if m in _FIRST_METRICS]
    first.append(counts_against_genes(summaries))
    reasons = removal_reasons(summaries)
    more = [distribution(m, summaries) for m in measured if m not in _FIRST_METRICS]
    return {"first": [*first, *([reasons] if reasons else [])], "more": more}


def _confusions(annotation: Annotation) -> dict[str, Figure]:
    """A matrix for each method, the best on the embedding first; for many types that one alone."""
    ordered = sorted(annotation.methods, key=lambda m: m is not annotation.best)
    if len(annotation.labels) > _MOST_LABELS_FOR_ALL_MATRICES:
        ordered = ordered[:1]
    unit = "prediction" if annotation.repeats > 1 else "cell"
    return {m.name: confusion(m, annotation.labels, unit=unit) for m in ordered}


def _calibrations(annotation: Annotation) -> dict[str, Figure]:
    """The calibration curve of each method that has one."""
    plots = {m.name: calibration_plot(m, annotation.repeats) for m in annotation.methods}
    return {name: plot for name, plot in plots.items() if plot}


def _composition(study: Study) -> Figure | None:
    if study.annotation is None:
        return None
    labels = marks_of(study.annotation.labels)
    return composition(study.annotation, [s.name for s in study.samples], labels)
