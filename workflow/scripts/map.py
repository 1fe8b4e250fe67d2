"""Lay out all cells of the study in two dimensions."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.stages.map import map_study

    map_study(
        snakemake.params.samples,
        snakemake.input.embeddings,
        snakemake.params.plans,
        snakemake.output.table,
        max_cells=snakemake.params.max_cells,
    )
