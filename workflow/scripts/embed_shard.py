"""Embed the cells of one shard."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0], sample=snakemake.wildcards.sample, shard=snakemake.wildcards.rows):
    from aidocell.sharding import embed_shard

    embed_shard(
        snakemake.input.counts,
        snakemake.input.plan,
        snakemake.wildcards.rows,
        snakemake.output.embeddings,
        # none of these changes a result, so none is a parameter that would rerun a finished shard
        model=snakemake.config["model"],
        revision=snakemake.config["model_revision"],
        device=snakemake.config["embed"]["device"],
        batch_size=snakemake.config["embed"]["batch_size"],
        accept_license=snakemake.config["accept_model_license"],
    )
