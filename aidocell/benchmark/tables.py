"""All tables of the benchmark: TSV and JSON for machines, one page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aidocell import files
from aidocell.benchmark.config import Run, plan_clusterings, plan_runs
from aidocell.benchmark.outcomes import Outcome, read_outcome
from aidocell.benchmark.remarks import about_figures, about_files, verdict
from aidocell.benchmark.sources import DATA
from aidocell.benchmark.table import benchmark_table, plain
from aidocell.evaluate.tables import write_tsv
from aidocell.records import read_record
from aidocell.report.benchmark import render_benchmark
from aidocell.train.options import FinetuneOptions

__all__ = ["write_benchmark"]

_SEED = 0  # of the bootstrap


def write_benchmark(
    folder: str | Path, page: str | Path, config: Mapping[str, Any], *, work: str | Path
) -> None:
    """Gather all runs below `work` into ``DATASET.tsv``, ``DATASET.json`` and one page.

    Parameters
    ----------
    config
        As :func:`aidocell.benchmark.config.check_benchmark` gives it.
    work
        ``results/benchmark``, with ``data/DATASET`` and ``runs/DATASET/RUN/SEED``.
    """
    tasks = (
        ("classification", config["datasets"], plan_runs(config), "macro_f1"),
        ("clustering", config["clustering"]["datasets"], plan_clusterings(config), "ari"),
    )
    contents = [
        _content(task, dataset, runs, metric, config, Path(work))
        for task, datasets, runs, metric in tasks
        for dataset in datasets
    ]
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        for content in contents:
            write_tsv(content.pop("table"), temporary / f"{content['name']}.tsv")
            files.write_json(temporary / f"{content['name']}.json", content)
    with files.atomic(page) as temporary:
        temporary.write_text(render_benchmark(contents, config), encoding="utf-8")


def _content(
    task: str,
    dataset: Mapping[str, Any],
    runs: Mapping[str, Run],
    metric: str,
    config: Mapping[str, Any],
    work: Path,
) -> dict[str, Any]:
    """Everything that is said of one data set."""
    name, draws = dataset["name"], config["bootstrap_draws"]
    data = read_record(work / "data" / name / DATA)
    outcomes = [
        _outcome(run, work / "runs" / name, config["seeds"], draws) for run in runs.values()
    ]
    table = benchmark_table(
        outcomes,
        task=task,
        dataset=dataset["published"],
        price=config["price_per_gpu_hour"],
        example_recipe=is_example_recipe(config["finetune"]),
    )
    sentence = verdict(outcomes, metric=metric, seed=_SEED, draws=draws)
    return {
        "name": name,
        "task": task,
        "published_as": dataset["published"],
        "status": data["status"],
        "reason": data["reason"],
        "verdict": sentence,
        "notes": [*about_files(data), *about_figures(task, config["seeds"])],
        "data": data,
        "rows": plain(table),
        "table": table,
    }


def _outcome(run: Run, folder: Path, seeds: Sequence[int], draws: int) -> Outcome:
    folders = [folder / run.name / str(seed) for seed in seeds]
    return read_outcome(run, folders, draws=draws, seed=_SEED)


def is_example_recipe(given: Mapping[str, Any]) -> bool:
    """Whether the configuration's ``finetune`` is the framework's example, whatever the hardware."""
    example = FinetuneOptions()
    same = all(
        given[name] == getattr(example, name) for name in ("mode", "head", "pooling", "epochs")
    )
    cells = given["batch_size"] * given["accumulate"] * given["devices"]
    return same and given["learning_rate"] == example.rate and cells == example.batch_size
