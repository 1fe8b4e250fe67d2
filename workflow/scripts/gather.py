"""Join the shards of one sample."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0], sample=snakemake.wildcards.sample):
    from aidocell.gathering import gather

    gather(
        snakemake.input.counts,
        snakemake.input.plan,
        snakemake.input.shards,
        snakemake.output.embeddings,
    )
