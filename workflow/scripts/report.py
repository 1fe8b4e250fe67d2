"""Write the study's report and the page of every sample."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from pathlib import Path

    from aidocell.report import write_report

    write_report(
        "results",
        snakemake.params.sheet,
        Path(snakemake.output.page).parent,
        config=snakemake.params.config,
        checkpoint=snakemake.params.config["model"],
    )
