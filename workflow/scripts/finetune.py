"""Fine-tune the checkpoint on the study's labelled cells."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.stages.finetune import finetune_study

    finetune_study(
        snakemake.output.folder,
        samples=snakemake.params.samples,
        counts=snakemake.input.counts,
        plans=snakemake.params.plans,
        record=snakemake.input.model,
        options=snakemake.params.options,
        model=snakemake.config["model"],
        revision=snakemake.config["model_revision"],
        accept_license=snakemake.config["accept_model_license"],
        device=snakemake.config["embed"]["device"],
        attention=snakemake.params.attention,
    )
