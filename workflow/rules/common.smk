# What all rules share: the package of this commit, the checked config and the sample sheet.
import os
import sys
from functools import partial

ROOT = Path(workflow.current_basedir).parents[1]
# scripts run in environments of their own and must find the package of this very commit
sys.path.insert(0, str(ROOT))
others = os.environ.get("PYTHONPATH", "")
os.environ.update(PYTHONPATH=f"{ROOT}{os.pathsep}{others}".rstrip(os.pathsep))

from aidocell.endofrun import sum_up
from aidocell.errors import AidocellError
from aidocell.provenance import REVISION
from aidocell.workload import PLANNED_BY
from aidocell.runs import record_run

SCHEMA = ROOT / "workflow/schemas/config.schema.json"

try:
    from aidocell.config import check_config
    from aidocell.slurm import guard_jobs
    from aidocell.study import locate, read_sheet, stamp

    guard_jobs()  # nothing where the Slurm plugin is not installed; else the rules know no executor
    config = check_config(config, SCHEMA)
    SAMPLES = read_sheet(locate(config["samples"], ROOT), config, SCHEMA, root=ROOT)
    config["model"] = MODEL = locate(config["model"], ROOT)
except AidocellError as error:
    print(error, file=sys.stderr)
    raise SystemExit(error.exit_status)


wildcard_constraints:
    sample=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    key=r"[0-9a-f]{12}",
    rows=r"\d+-\d+",


def raw_input(wildcards):
    """The sample's file; a missing one is for `check` to report, beside the others."""
    path = SAMPLES[wildcards.sample].path
    return [ancient(path)] if Path(path).exists() else []


def alignment(wildcards):
    """What decides on a sample's counts beside its file and QC: older ones are refused by it."""
    sample = SAMPLES[wildcards.sample]
    return {
        "sample": sample.name,
        "subset": config["subset"],
        "metadata": sample.metadata,
        "columns": sample.columns,
    }


def samples_admitted(wildcards):
    """Names of the samples that go on."""
    from aidocell.stages.admit import admitted_samples

    if config["on_bad_sample"] == "stop":
        return list(SAMPLES)
    audits = {name: f"results/samples/{name}/audit.json" for name in SAMPLES}
    return admitted_samples(checkpoints.admit.get().output.table, audits)


def per_sample(pattern):
    """The pattern for every sample that goes on: with `stop` all, with `skip` the admitted ones."""
    if config["on_bad_sample"] == "stop":
        return expand(pattern, sample=SAMPLES)
    return lambda wildcards: expand(pattern, sample=samples_admitted(wildcards))


# Jobs over all samples name the plans that they read as parameters: after each plan Snakemake builds
# every job anew that has it as input, and keeps the old ones, gigabytes with hundreds of samples.
PLANS = per_sample("results/samples/{sample}/shards.json")


def plans_lost(wildcards):
    """Plans that were deleted after use: of files that no job has as input none would be missed."""
    plans = PLANS(wildcards) if callable(PLANS) else PLANS
    used = [Path(plan).with_name("embeddings.zarr.zip").exists() for plan in plans]
    return [p for p, made in zip(plans, used) if made and not Path(p).exists()]


def embeddings_of_samples(wildcards):
    """All embeddings, once every plan behind them is made."""
    for sample in samples_admitted(wildcards):
        checkpoints.plan.get(sample=sample)
    return expand(
        "results/samples/{sample}/embeddings.zarr.zip",
        sample=samples_admitted(wildcards),
    )


def embeddings_if_admitted(sample, wildcards):
    if sample not in samples_admitted(wildcards):
        return []
    checkpoints.plan.get(sample=sample)
    return f"results/samples/{sample}/embeddings.zarr.zip"


# With `stop` the samples are known from the start. With `skip` the checkpoint `admit` tells, and
# Snakemake looks behind a finished checkpoint for the inputs of one job alone: the jobs that need
# embeddings ask for each sample's plan themselves, or a run that was killed would gather no shards.
EACH_EMBEDDING = []
EMBEDDINGS = per_sample("results/samples/{sample}/embeddings.zarr.zip")
if config["on_bad_sample"] == "skip":
    EACH_EMBEDDING = [partial(embeddings_if_admitted, sample) for sample in SAMPLES]
    EMBEDDINGS = embeddings_of_samples


def shards_of(wildcards):
    from aidocell.stages.shards import shard_paths

    return shard_paths(checkpoints.plan.get(sample=wildcards.sample).output.plan)
