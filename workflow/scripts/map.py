"""Lay out all cells of the study in two dimensions."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.report.umap import make_map

    make_map(
        dict(zip(snakemake.params.samples, snakemake.input.embeddings, strict=True)),
        snakemake.output.table,
        max_cells=snakemake.params.max_cells,
    )
