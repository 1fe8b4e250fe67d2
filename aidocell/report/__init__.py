"""The report: self-contained HTML for a study and for each sample, and tables for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from aidocell.files import atomic, refuse_existing
from aidocell.report.page import render
from aidocell.report.study import Study, load_study
from aidocell.report.tables import write_multiqc, write_samples_tsv

__all__ = ["Study", "load_study", "render", "write_report"]


def write_report(
    results: str | Path,
    samples: Sequence[Mapping[str, object]],
    output: str | Path,
    *,
    config: Mapping[str, object],
    checkpoint: str | Path | None = None,
    command: str = "snakemake",
    overwrite: bool = True,
) -> None:
    """Write the report of a results folder, whole or not at all.

    ``report.html``, ``samples/<sample>.html``, ``samples.tsv`` and
    ``multiqc/aidocell_samples_mqc.json``; `output` holds nothing else afterwards.

    Parameters
    ----------
    results
        Folder with ``model.json``, ``samples/``, ``study/`` and ``benchmarks/``; what is missing there leaves an
        empty section that says why.
    samples
        Rows of the sample sheet, each with ``sample``.
    output
        The report's folder.
    config
        The whole config; see :class:`~aidocell.report.settings.ReportSettings` for its
        ``report`` section.
    checkpoint
        Folder of the checkpoint, whose card is shown where the results have no ``model.json``.
    command
        The command that makes these results again.

    Raises
    ------
    InputError
        ``E_CONFIG``: an unknown key in the ``report`` section; ``E_OUTPUT_EXISTS``.
    """
    refuse_existing(output, overwrite=overwrite)
    study = load_study(results, samples, config=config, checkpoint=checkpoint, command=command)
    with atomic(output) as folder:
        (folder / "samples").mkdir(parents=True)
        (folder / "report.html").write_text(render(study, sample_links=True), encoding="utf-8")
        for sample in study.samples:
            page = render(study.only(sample.name))
            (folder / "samples" / f"{sample.name}.html").write_text(page, encoding="utf-8")
        write_samples_tsv(study, folder / "samples.tsv")
        write_multiqc(study, folder / "multiqc")
