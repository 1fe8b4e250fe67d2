"""Write the tables and the page of the benchmark."""

from pathlib import Path

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.benchmark.tables import write_benchmark

    write_benchmark(
        snakemake.output.tables,
        snakemake.output.page,
        snakemake.params.config,
        work=Path(snakemake.output.page).parent,
    )
