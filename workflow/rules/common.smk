# What all rules share: the package of this commit, the checked config and the sample sheet.
import os
import sys

ROOT = Path(workflow.current_basedir).parents[1]
# scripts run in environments of their own and must find the package of this very commit
sys.path.insert(0, str(ROOT))
others = os.environ.get("PYTHONPATH", "")
os.environ.update(PYTHONPATH=f"{ROOT}{os.pathsep}{others}".rstrip(os.pathsep))

from aidocell.errors import AidocellError
from aidocell.provenance import REVISION

SCHEMA = ROOT / "workflow/schemas/config.schema.json"

try:
    from aidocell.config import check_config
    from aidocell.study import locate, read_sheet, stamp

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


def samples_admitted(wildcards):
    from aidocell.stages.admit import admitted_samples

    return admitted_samples(checkpoints.admit.get().output.table)


def per_sample(pattern):
    """An input function: the pattern for every sample that passed admission."""
    return lambda wildcards: expand(pattern, sample=samples_admitted(wildcards))


def shards_of(wildcards):
    from aidocell.stages.shards import shard_paths

    return shard_paths(checkpoints.plan.get(sample=wildcards.sample).output.plan)
