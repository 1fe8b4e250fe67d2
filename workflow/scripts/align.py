"""Align the kept cells of one sample to the model's genes."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0], sample=snakemake.wildcards.sample):
    from aidocell.counts import InputOptions
    from aidocell.stages.align import align_sample

    align_sample(
        snakemake.params.path,
        InputOptions(**snakemake.params.reading),
        snakemake.output.counts,
        audit=snakemake.input.audit,
        qc_table=snakemake.input.qc,
        model=snakemake.params.model,
        min_share=snakemake.params.min_share,
        subset=snakemake.params.subset,
        metadata=snakemake.params.metadata,
        columns=snakemake.params.columns,
        sample=snakemake.wildcards.sample,
        thresholds=snakemake.params.thresholds,
    )
