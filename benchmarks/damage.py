"""Damage every kind of output in every way and count what is noticed, by verify and by the stages.

    python benchmarks/damage.py --flips 15

Makes three small studies with the tiny checkpoint in a temporary folder, then flips bits, cuts ends
off and swaps files, one at a time. Writes ``benchmarks/results/damage.json``.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
from collections import Counter
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/faults")]

from whole_study import (  # noqa: E402
    damages,
    inflict,
    noticed_by_verify,
    readers,
    three_studies,
    used_by,
)

from aidocell.files import write_json  # noqa: E402
from aidocell.manifest import maker_of  # noqa: E402
from aidocell.provenance import VERSION  # noqa: E402


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="aidocell-damage-") as folder:
        counted = _count(Path(folder), options)
    write_json(options.output, {**_circumstances(options), **counted})
    print(options.output.read_text())
    sys.exit(bool(counted["missed_by_verify"] or counted["used"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--flips", type=int, default=12, help="bits flipped in every file")
    parser.add_argument(
        "--cuts", type=int, default=2, help="cuts in every file, beside two fixed ones"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/damage.json")
    return parser.parse_args()


def _count(folder: Path, options: argparse.Namespace) -> dict:
    study, others = three_studies(folder)
    by_kind, by_maker = Counter(), Counter()
    read, missed, used = 0, [], []
    for damage in damages(study, others, flips=options.flips, cuts=options.cuts, seed=options.seed):
        by_kind[damage.kind] += 1
        by_maker[maker_of(damage.path) or _other(damage.path)] += 1
        mend = inflict(study, damage)
        if not noticed_by_verify(study):
            missed.append(str(damage))
        if readers(study, damage.path, folder / "scratch"):
            read += 1
            used += [f"{stage} ({damage})" for stage in used_by(study, damage, folder / "scratch")]
        mend()
    done = sum(by_kind.values())
    return {
        "damages": done,
        "by_kind": dict(by_kind),
        "by_maker": dict(by_maker),
        "noticed_by_verify": done - len(missed),
        "missed_by_verify": missed,
        "of_files_that_a_stage_reads": read,
        "refused_by_every_stage_that_reads_them": read - len(used),
        "used": used,
    }


def _other(path: str) -> str:
    return "embed_shard" if "/shards/" in path else "manifest"


def _circumstances(options: argparse.Namespace) -> dict:
    return {
        "date": datetime.date.today().isoformat(),
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        },
        "versions": {"aidocell": VERSION, "python": platform.python_version()},
        "flips": options.flips,
        "cuts": options.cuts + 2,
        "seed": options.seed,
    }


if __name__ == "__main__":
    main()
