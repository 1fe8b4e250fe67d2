"""Make every bad input of the catalogue, meet each with the command, and count by error id.

``python benchmarks/catalogue.py --keep FOLDER`` leaves the files there to look at, and
``--messages`` prints the lines that users get.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "catalogue.json"
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("", "counts", "catalogue")]
MODULES = ("bad_damage", "bad_files", "bad_matrices", "bad_outputs", "bad_studies")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the files here")
    parser.add_argument("--messages", action="store_true", help="print each error's line")
    given = parser.parse_args()
    os.environ.setdefault("AIDOCELL_PROBE_GIB", "1")
    for name in MODULES:
        importlib.import_module(name)
    begun = time.monotonic()
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory() as folder:
        missed = meet_all(Path(folder), messages=given.messages)
    report(time.monotonic() - begun, missed)
    sys.exit(bool(missed))


def meet_all(folder: Path, *, messages: bool) -> list[str]:
    """Run every case; the names of those that did not end as they should."""
    from cases import CASES, run

    missed = []
    for number, case in enumerate(CASES):
        home = folder / f"{number:03d}"
        home.mkdir(parents=True)
        outcome = run(case, home)
        if messages:
            print(f"{case.name}\n    {outcome.line}")
        named = outcome.line.startswith(f"error[{case.id}]: ")
        if not named or outcome.status != case.status or outcome.left:
            missed.append(f"{case.name}: {outcome.line}")
    return missed


def report(seconds: float, missed: list[str]) -> None:
    from cases import CASES

    counts = dict(sorted(Counter(case.id for case in CASES).items()))
    result = {
        "date": date.today().isoformat(),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "inputs": len(CASES),
        "by_id": counts,
        "seconds": round(seconds, 1),
        "missed": missed,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    for id, count in counts.items():
        print(f"{count:4d}  {id}")
    print(f"{len(CASES):4d}  bad inputs in {seconds:.0f} s, {len(missed)} not met as they should")
    for line in missed:
        print(f"      {line}")


if __name__ == "__main__":
    main()
