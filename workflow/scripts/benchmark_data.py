"""Fetch a data set of the benchmark, or record why it is unavailable."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.benchmark.jobs import prepare

    prepare(snakemake.output.folder, snakemake.params.about)
