"""Run one method of the benchmark with one seed."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.benchmark.jobs import run

    run(
        snakemake.output.folder,
        snakemake.params.about,
        int(snakemake.wildcards.seed),
        data=snakemake.input.data,
        embeddings=snakemake.input.get("embeddings"),
        record=snakemake.input.get("model"),
    )
