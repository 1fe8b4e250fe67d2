"""List every output with its checksum and maker."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.manifest import write_manifest

    write_manifest(
        {
            maker: [*paths] if not isinstance(paths, str) else [paths]
            for maker, paths in snakemake.input.items()
        },
        snakemake.output.table,
    )
