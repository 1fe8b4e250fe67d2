"""Fetch a checkpoint of the benchmark, or record why it is unavailable."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.benchmark.models import find_model

    find_model(
        snakemake.output.record,
        snakemake.params.about["model"],
        revision=snakemake.params.about["model_revision"],
        accept_license=snakemake.params.about["accept_model_license"],
    )
