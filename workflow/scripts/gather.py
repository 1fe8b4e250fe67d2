"""Join the shards of one sample."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0], sample=snakemake.wildcards.sample):
    from aidocell.stages.gather import gather_sample

    gather_sample(
        snakemake.input.counts,
        snakemake.input.plan,
        snakemake.input.shards,
        snakemake.output.embeddings,
        model_record=snakemake.input.model,
        options=snakemake.params.options,
        aligned={"qc_table": snakemake.input.qc, **snakemake.params.aligned},
    )
