"""Check one sample and write its audit."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0], sample=snakemake.wildcards.sample):
    from aidocell.counts import InputOptions
    from aidocell.stages.check import check_sample

    check_sample(
        snakemake.params.path,
        InputOptions(**snakemake.params.reading),
        snakemake.output.audit,
        model=snakemake.params.model,
        min_share=snakemake.params.min_share,
        metadata=snakemake.params.metadata,
        columns=snakemake.params.columns,
        balance=snakemake.params.balance,
        sample=snakemake.wildcards.sample,
    )
