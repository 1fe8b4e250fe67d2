"""Judge every method on the study's labelled cells and train the classifier."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from pathlib import Path

    from aidocell.stages.annotate import annotate_study

    annotate_study(
        Path(snakemake.output.metrics).parent,
        samples=snakemake.params.samples,
        embeddings=snakemake.input.embeddings,
        counts=snakemake.input.counts,
        plans=snakemake.params.plans,
        options=snakemake.params.options,
        model=snakemake.config["model"],
        revision=snakemake.config["model_revision"],
        accept_license=snakemake.config["accept_model_license"],
        device=snakemake.config["embed"]["device"],
        attention=snakemake.config["embed"]["attention"],
    )
