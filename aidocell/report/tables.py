"""The sample table for machines: TSV, and MultiQC's custom content."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from aidocell.evaluate.tables import tsv_text
from aidocell.files import atomic, write_json
from aidocell.report.study import Sample, Study

__all__ = ["sample_rows", "write_multiqc", "write_samples_tsv"]

_LEVELS = ("pass", "warn", "fail")  # names of MultiQC's own colours as well


def sample_rows(study: Study) -> list[dict[str, object]]:
    """One row a sample, at full precision; what was not computed is empty."""
    return [_row(sample) for sample in study.samples]


def _row(sample: Sample) -> dict[str, object]:
    qc, figures = sample.qc, sample.figures
    return {
        "sample": sample.name,
        "verdict": sample.verdict.level,
        "reasons": "; ".join(sample.verdict.reasons),
        "cells_seen": qc and qc.cells,
        "cells_kept": figures.cells,
        "cells_embedded": sample.embedded,
        "share_kept": figures.share_kept,
        "median_genes": figures.median_genes,
        "median_counts": qc and qc.medians.get("total_counts"),
        "median_pct_mito": figures.median_mito,
        "share_counts_placed": figures.share_resolved,
        "genes_measured": sample.audit.get("measured"),
    }


def write_samples_tsv(study: Study, path: str | Path) -> None:
    """Write ``samples.tsv``, one row a sample."""
    rows = sample_rows(study)
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(rows[0] if rows else ["sample"])
    writer.writerows([_field(value) for value in row.values()] for row in rows)
    with atomic(path) as temporary:
        temporary.write_text(buffer.getvalue(), encoding="utf-8")


def write_multiqc(study: Study, folder: str | Path) -> None:
    """Write ``aidocell_samples_mqc.json``: a section of a MultiQC report with the same table."""
    shown = {row["sample"]: _present(row) for row in sample_rows(study)}
    content = {
        "id": "aidocell_samples",
        "section_name": "aidocell",
        "description": "Cells, genes and verdicts of the samples, as in aidocell's own report.",
        "plot_type": "table",
        "pconfig": {"id": "aidocell_samples_table", "title": "aidocell: samples"},
        "headers": _headers(),
        "data": shown,
    }
    write_json(Path(folder) / "aidocell_samples_mqc.json", content)


def _field(value: object) -> object:
    return tsv_text(value) if isinstance(value, str) else value


def _present(row: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in row.items() if k != "sample" and v is not None}


def _headers() -> dict[str, dict[str, object]]:
    return {
        "verdict": {
            "title": "Verdict",
            "cond_formatting_rules": {level: [{"s_eq": level}] for level in _LEVELS},
        },
        "reasons": {"title": "Why"},
        "cells_seen": _whole("Cells seen"),
        "cells_kept": _whole("Cells kept"),
        "cells_embedded": _whole("Cells embedded"),
        "share_kept": _part("Kept"),
        "median_genes": _whole("Median genes"),
        "median_counts": _whole("Median counts"),
        "median_pct_mito": {"title": "Median mito %", "format": "{:,.1f}", "suffix": " %"},
        "share_counts_placed": _part("Counts placed"),
        "genes_measured": _whole("Genes measured"),
    }


def _whole(title: str) -> dict[str, object]:
    return {"title": title, "format": "{:,.0f}", "min": 0}


def _part(title: str) -> dict[str, object]:
    return {"title": title, "format": "{:,.3f}", "min": 0, "max": 1}
