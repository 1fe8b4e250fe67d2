"""Commands and workflow jobs to be disturbed, and what has to hold after each disturbance."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faults import Faults, Outcome, contents
from small import TINY, make_cells
from studies import Study

from aidocell.counts.align import align_file
from aidocell.files import remove
from aidocell.genes import vocabulary_of
from aidocell.model import checkpoint_info
from aidocell.planning import plan_shards
from aidocell.standalone import embed_file

__all__ = ["Job", "command_jobs", "embed_job", "jobs_of_study", "shard_job"]

CELLS = 12
SHARD = """
from aidocell.joblog import job_log

with job_log("job.log", sample="a", shard="0-12"):
    from aidocell.sharding import embed_shard

    embed_shard("counts.zarr.zip", "shards.json", "0-12", "0-12.zarr.zip", model={model!r})
"""


class Job:
    """One command or job script, in a folder that holds its inputs; it is run once at first.

    Parameters
    ----------
    outputs
        Paths in `folder` that the job makes.
    logs
        Paths in `folder` of which nothing is promised.
    """

    def __init__(
        self,
        faults: Faults,
        folder: Path,
        outputs: Sequence[str],
        *,
        arguments: Sequence[str] = (),
        script: Path | None = None,
        logs: Sequence[str] = (),
    ) -> None:
        self.name = script.name.split(".")[-2] if script else " ".join(arguments[:2])
        self.faults, self.folder, self.outputs = faults, folder, outputs
        self.what = {"arguments": arguments, "script": script}
        self._logs = set(logs)
        self._remove_outputs()
        self.before = set(contents(folder))
        first = faults.warm_up(folder, **self.what)
        assert first.status == 0, first.stderr
        self.expected = self.contents()
        assert set(outputs) <= set(self.expected)

    def run(self, **disturbance: Any) -> Outcome:
        return self.faults.run(self.folder, **self.what, **disturbance)

    def reset(self) -> None:
        """Leave nothing but the inputs."""
        self._remove_outputs()
        for name in sorted(set(contents(self.folder)) - self.before - self._logs, reverse=True):
            remove(self.folder / name)

    def undisturbed(self, **counting: Any) -> Outcome:
        """Run from the beginning; `counting` says which changes are counted."""
        self.reset()
        outcome = self.run(**counting)
        assert outcome.status == 0, outcome.stderr
        self.expected = self.contents()  # jobs of one study have changed each other's folder
        return outcome

    def disturb(self, **disturbance: Any) -> Outcome:
        """Run with a disturbance, look at what it left, and do what the guide says: run it again."""
        self.reset()
        outcome = self.run(**disturbance)
        self.require_nothing_partial(disturbance)
        if outcome.status != 0 and self.contents() != self.expected:  # else it came too late
            restart = self.run()
            assert restart.status == 0, f"{self.name} after {disturbance}: {restart.stderr}"
        self.require_expected(disturbance)
        return outcome

    def require_nothing_partial(self, disturbance: object) -> None:
        """Each output is absent or, with all that is in it, as the undisturbed run made it."""
        found = self.contents()
        for output in self.outputs:
            there, whole = (
                {
                    name: digest
                    for name, digest in content.items()
                    if Path(name).is_relative_to(output)
                }
                for content in (found, self.expected)
            )
            assert not there or there == whole, f"{output} is partial after {disturbance}"

    def require_expected(self, disturbance: object) -> None:
        """The bytes of the undisturbed run, and nothing beside them."""
        found = self.contents()
        other = sorted(name for name, _ in found.items() ^ self.expected.items())
        assert not other, f"{self.name} after {disturbance}: {other}"

    def contents(self) -> dict[str, str]:
        there = contents(self.folder)
        return {name: digest for name, digest in there.items() if name not in self._logs}

    def _remove_outputs(self) -> None:
        for name in self.outputs:
            remove(self.folder / name)


def embed_job(faults: Faults, folder: Path) -> Job:
    """The stand-alone ``aidocell embed``."""
    make_cells(CELLS).write_h5ad(folder / "cells.h5ad")
    command = ["embed", "cells.h5ad", "--model", str(TINY), "--output", "e.zarr.zip"]
    return Job(faults, folder, ["e.zarr.zip"], arguments=command)


def shard_job(faults: Faults, folder: Path) -> Job:
    """A job of the rule ``embed_shard``."""
    make_cells(CELLS).write_h5ad(folder / "cells.h5ad")
    align_file(folder / "cells.h5ad", folder / "counts.zarr.zip", vocabulary=vocabulary_of(TINY))
    plan_shards(
        folder / "counts.zarr.zip",
        folder / "shards.json",
        checkpoint=asdict(checkpoint_info(str(TINY))),
        pooling="mean",
        precision="float32",
        attention="sdpa",
    )
    script = folder / "run.embed_shard.py"
    script.write_text(SHARD.format(model=str(TINY)))
    return Job(faults, folder, ["0-12.zarr.zip"], script=script, logs=["job.log"])


def command_jobs(faults: Faults, folder: Path) -> list[Job]:
    """Every other command that writes."""
    make_cells(40).write_h5ad(folder / "cells.h5ad")
    embed_file(folder / "cells.h5ad", str(TINY), folder / "embeddings.zarr.zip")
    label = ["--label", "cell_type"]
    cells = ["annotate", "train", "embeddings.zarr.zip", *label, "--output", "ready"]
    trained = faults.run(folder, arguments=cells)
    assert trained.status == 0, trained.stderr
    commands = {
        "counts.zarr.zip": ["align", "cells.h5ad", "--model", str(TINY)],
        "e.h5ad": ["export", "embeddings.zarr.zip"],
        "classifier": ["annotate", "train", "embeddings.zarr.zip", *label],
        "labels.parquet": ["annotate", "apply", "embeddings.zarr.zip", "--classifier", "ready"],
        "judged": ["annotate", "evaluate", "embeddings.zarr.zip", *label, "--folds", "2"],
    }
    return [
        Job(faults, folder, [output], arguments=[*command, "--output", output])
        for output, command in commands.items()
    ]


def jobs_of_study(faults: Faults, folder: Path) -> list[Job]:
    """One job of every rule, as Snakemake started it in a study of one sample."""
    study = Study(folder)
    study.add_sample("a", cells=24, seed=1)
    study.list_samples("a\ta.h5ad")
    study.snakemake("--skip-script-cleanup")
    scripts = {path.name.split(".")[-2]: path for path in (folder / ".snakemake/scripts").iterdir()}
    return [job_of_script(faults, folder, script) for _, script in sorted(scripts.items())]


def job_of_script(faults: Faults, folder: Path, script: Path) -> Job:
    """A job whose script, with all that Snakemake handed it, lies in `script`."""
    pickled = re.search(r"pickle\.loads\((b(['\"]).*?(?<!\\)\2)\)", script.read_text())[1]
    snakemake = pickle.loads(ast.literal_eval(pickled))
    outputs, logs = map(str, snakemake.output), map(str, snakemake.log)
    return Job(faults, folder, list(outputs), script=script, logs=list(logs))
