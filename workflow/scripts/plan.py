"""Plan the shards of one sample."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0], sample=snakemake.wildcards.sample):
    from aidocell.stages.plan import plan_sample

    plan_sample(
        snakemake.input.counts,
        snakemake.input.model,
        snakemake.output.plan,
        embed=snakemake.params.embed,
        aligned={"qc_table": snakemake.input.qc, **snakemake.params.aligned},
    )
