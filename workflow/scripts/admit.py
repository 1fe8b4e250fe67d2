"""Decide which samples go on."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.stages.admit import admit

    admit(
        dict(zip(snakemake.params.samples, snakemake.input.audits, strict=True)),
        snakemake.output.table,
        on_bad_sample=snakemake.params.on_bad_sample,
        columns=snakemake.params.columns,
    )
