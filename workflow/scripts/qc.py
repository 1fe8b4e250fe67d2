"""Measure and judge the cells of one sample."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0], sample=snakemake.wildcards.sample):
    from aidocell.counts import InputOptions
    from aidocell.stages.qc import qc_sample

    qc_sample(
        snakemake.params.path,
        InputOptions(**snakemake.params.reading),
        snakemake.output.table,
        audit=snakemake.input.audit,
        thresholds=snakemake.params.thresholds,
        model=snakemake.config["model"],
        sample=snakemake.wildcards.sample,
    )
