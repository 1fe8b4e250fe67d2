"""What the controller of the workflow takes with many samples and shards: memory, time, idle gaps.

The rules, checkpoints, input functions and profiles are those of this repository; only the work of
each job is a stand-in, a shell command that copies a prepared file or makes an empty one. What is
measured is therefore Snakemake with this workflow, and nothing of aidocell's own work.

    python benchmarks/controller.py dry-run --samples 500 --shards 20
    python benchmarks/controller.py live --samples 500 --shards 20
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import psutil
import yaml

from aidocell.records import write_record

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/controller.json"
KEY = "0123456789ab"
SCRIPT = re.compile(r'script:\s+"\.\./scripts/(\w+)\.py"')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("mode", choices=["dry-run", "live"])
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--shards", type=int, default=20, help="shards of each sample")
    parser.add_argument("--cores", type=int, default=4, help="jobs at a time")
    parser.add_argument("--folder", type=Path, help="keep the study here; a temporary one without")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="controller-") as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        prepare(folder, given.samples, given.shards)
        measured = MODES[given.mode](folder, given)
    record = {"samples": given.samples, "shards": given.samples * given.shards, **measured}
    print(json.dumps(record, indent=2))
    keep(f"{given.mode}, {given.samples} samples of {given.shards} shards", record)


def prepare(folder: Path, samples: int, shards: int) -> None:
    """A study whose inputs are empty files, and a copy of the workflow with stand-in work."""
    study, stand_in = folder / "study", folder / "stand-in"
    for part in (study / "config", study / "inputs", stand_in):
        part.mkdir(parents=True, exist_ok=True)
    names = [f"s{number:04d}" for number in range(samples)]
    for name in names:
        (study / f"inputs/{name}.h5ad").touch()
    lines = "".join(f"{name}\tinputs/{name}.h5ad\n" for name in names)
    (study / "samples.tsv").write_text(f"sample\tpath\n{lines}")
    config = {"samples": "samples.tsv", "model": str(ROOT / "tests/data/tiny")}
    (study / "config/config.yaml").write_text(yaml.safe_dump(config))
    ranges = [[1000 * start, 1000 * start + 1000] for start in range(shards)]
    write_record(stand_in / "plan", {"key": KEY, "run_key": KEY, "shards": ranges})
    admitted = "".join(f"{name}\tyes\t1000\t\t\t\n" for name in names)
    (stand_in / "admit").write_text(f"sample\taccepted\tcells\terror\twhat\tfix\n{admitted}")
    copy_workflow(folder)


def copy_workflow(folder: Path) -> None:
    """The rules of this repository, each script replaced by a shell command."""
    copy = folder / "repository"
    if copy.exists():
        shutil.rmtree(copy)
    copy.mkdir()
    for name in ("workflow", "profiles", "envs"):
        shutil.copytree(ROOT / name, copy / name)
    shutil.copy(ROOT / "Snakefile", copy)
    for name in ("aidocell", "resources"):
        (copy / name).symlink_to(ROOT / name)
    work = folder / "work.sh"
    work.write_text(STAND_IN)
    for rules in (copy / "workflow/rules").glob("*.smk"):
        text = rules.read_text()
        rules.write_text(
            SCRIPT.sub(rf'shell: "bash {work} {folder} \1 {{output}} > {{log}} 2>&1"', text)
        )


STAND_IN = r"""
set -e
folder=$1 rule=$2; shift 2
echo "start $EPOCHREALTIME $rule" >> "$folder/times"
for output; do
    case $output in
        */classifier|*/multiqc|*/report/samples) mkdir -p "$output" ;;
        *) if [ -e "$folder/stand-in/$rule" ]; then cp "$folder/stand-in/$rule" "$output"; else : > "$output"; fi ;;
    esac
done
echo "stop $EPOCHREALTIME $rule" >> "$folder/times"
"""


def snakemake(folder: Path, *arguments: str) -> dict:
    """Run the workflow; wall time and peak resident memory of the controlling process."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", f"{folder}/repository/Snakefile"]
    command += ["--directory", f"{folder}/study", *arguments]
    began = time.monotonic()
    with (folder / "snakemake.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder / "repository", stdout=log, stderr=subprocess.STDOUT
        )
        peak, busy = watch(process)
    if process.returncode:
        raise SystemExit(f"snakemake failed; see {folder}/snakemake.log")
    return {
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(busy, 1),
        "peak_rss_gib": round(peak / 2**30, 3),
    }


def watch(process: subprocess.Popen) -> tuple[int, float]:
    """Peak resident memory in bytes and seconds on a core of a process, its children apart."""
    peak, busy, controller = 0, 0.0, psutil.Process(process.pid)
    while process.poll() is None:
        try:
            peak = max(peak, controller.memory_info().rss)
            busy = sum(controller.cpu_times()[:2])
        except psutil.NoSuchProcess:
            break
        time.sleep(0.2)
    process.wait()
    return peak, busy


def dry_run(folder: Path, given: argparse.Namespace) -> dict:
    """All up to the plans is made by stand-in work; then the real profile plans what is left."""
    many = ("--cores", str(given.cores), "--resources", f"gpu={given.cores}")
    before = snakemake(folder, *many, "--until", "plan")
    dry = snakemake(folder, "--dry-run", "--profile", f"{folder}/repository/profiles/slurm")
    return {"up_to_the_plans": before, "dry_run": dry}


def live(folder: Path, given: argparse.Namespace) -> dict:
    """The whole study with stand-in work under the local executor."""
    many = ("--cores", str(given.cores), "--resources", f"gpu={given.cores}")
    whole = snakemake(folder, *many)
    return {**whole, "jobs_at_a_time": given.cores, **gaps(folder / "times")}


def gaps(path: Path) -> dict:
    """How long no job ran, from the times that the jobs wrote."""
    events = sorted((float(when), kind, rule) for kind, when, rule in map(str.split, path.open()))
    running, idle = 0, []
    for (when, kind, rule), following in itertools.pairwise([*events, (events[-1][0], "end", "")]):
        running += 1 if kind == "start" else -1
        if not running:
            idle.append((round(following[0] - when, 1), rule, following[2]))
    jobs = len(events) // 2
    span = events[-1][0] - events[0][0]
    return {
        "jobs": jobs,
        "jobs_per_second": round(jobs / span, 2),
        "longest_gaps": [
            {"seconds": seconds, "after": before, "before": then}
            for seconds, before, then in sorted(idle, reverse=True)[:5]
        ],
        "seconds_idle": round(sum(seconds for seconds, _, _ in idle), 1),
    }


def keep(name: str, record: dict) -> None:
    """Add a measurement to the file of results."""
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    machine = {
        "date": datetime.date.today().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "snakemake": version("snakemake"),
    }
    kept[name] = {**record, **machine}
    RESULT.write_text(json.dumps(kept, indent=2) + "\n")


MODES = {"dry-run": dry_run, "live": live}

if __name__ == "__main__":
    main()
