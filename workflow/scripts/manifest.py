"""List every output with its checksum and maker."""

from aidocell.joblog import job_log

with job_log(snakemake.log[0]):
    from aidocell.manifest import write_manifest

    outputs = {
        maker: [*paths] if not isinstance(paths, str) else [paths]
        for maker, paths in snakemake.input.items()
    }
    write_manifest({**outputs, "plan": snakemake.params.plans}, snakemake.output.table)
