"""Embed a data set of the benchmark."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.benchmark.jobs import embed

    embed(
        snakemake.output.folder,
        snakemake.params.about,
        data=snakemake.input.data,
        record=snakemake.input.model,
    )
