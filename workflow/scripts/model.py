"""Write what the checkpoint is."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.stages.model import describe_model

    describe_model(
        snakemake.params.model,
        snakemake.output.record,
        revision=snakemake.params.hub_revision,
        accept_license=snakemake.config["accept_model_license"],
    )
