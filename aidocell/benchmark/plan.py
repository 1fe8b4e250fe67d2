"""Which jobs the benchmark has and what each depends on; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aidocell.benchmark.config import (
    Run,
    embedding_options,
    model_names,
    plan_clusterings,
    plan_runs,
    read_benchmark,
)
from aidocell.study import locate, stamp

__all__ = ["WORK", "Plan"]

WORK = "results/benchmark"


class Plan:
    """The benchmark's configuration, seen by its jobs.

    Parameters
    ----------
    path, schema
        ``config/benchmark.yaml`` and its schema.
    root
        Where files are looked for that the working directory does not have.
    """

    def __init__(self, path: str | Path, schema: str | Path, root: Path) -> None:
        self.config = _located(read_benchmark(path, schema), root)
        self.models = {name: model for model, name in model_names(self.config).items()}

    @property
    def datasets(self) -> dict[str, dict[str, Any]]:
        """Sections of all data sets by name, those with published splits first."""
        both = [*self.config["datasets"], *self.config["clustering"]["datasets"]]
        return {dataset["name"]: dataset for dataset in both}

    def runs_of(self, dataset: str) -> dict[str, Run]:
        """Methods or representations of a data set, by name."""
        plan = plan_runs if self._is_split(dataset) else plan_clusterings
        return plan(self.config)

    def inputs(self, dataset: str, name: str) -> dict[str, str]:
        """What a run reads besides the data."""
        run = self.runs_of(dataset)[name]
        if run.model is None:
            return {}
        model = next(short for short, known in self.models.items() if known == run.model)
        if run.embedded:
            return {"embeddings": f"{WORK}/embeddings/{dataset}/{model}"}
        return {"model": f"{WORK}/models/{model}.json"}

    def outputs(self) -> list[str]:
        """Folders of all runs with all seeds."""
        return [
            f"{WORK}/runs/{dataset}/{run}/{seed}"
            for dataset in self.datasets
            for run in self.runs_of(dataset)
            for seed in self.config["seeds"]
        ]

    @property
    def tuned(self) -> bool:
        """Whether a network is fine-tuned at all."""
        return "finetune" in self.config["methods"] and bool(self.config["models"])

    def gpus(self, dataset: str, name: str) -> int:
        """GPUs that a run asks for."""
        tuned = self.runs_of(dataset)[name].method == "finetune"
        return self.config["finetune"]["devices"] if tuned else 0

    def about_data(self, dataset: str) -> dict[str, Any]:
        """What decides on a data set's files."""
        given = self.datasets[dataset]
        return {
            "dataset": given,
            "split": self._is_split(dataset),
            "files": stamp(given.get("path")),
            **self._only("min_gene_share"),
        }

    def about_model(self, name: str) -> dict[str, Any]:
        """What decides on a checkpoint."""
        model = self.models[name]
        return {"model": model, "files": stamp(model), **self._checkpoint}

    def about_embedding(self, dataset: str) -> dict[str, Any]:
        """What decides on embeddings, besides counts and checkpoint."""
        return {"options": embedding_options(self.config, dataset), **self._checkpoint}

    def about_run(self, dataset: str, name: str) -> dict[str, Any]:
        """What decides on a run, besides its inputs."""
        run = self.runs_of(dataset)[name]
        split = self._is_split(dataset)
        shared = {**asdict(run), "split": split, "label": self.datasets[dataset]["label"]}
        if not split:
            clustering = self.config["clustering"]
            return {**shared, **{name: clustering[name] for name in ("neighbours", "max_cells")}}
        shared |= self._only("bootstrap_draws")
        if run.method == "finetune":
            return {**shared, **self._checkpoint, **self._only("finetune", "embed")}
        return {**shared, **(self._only("reference") if run.method == "reference" else {})}

    def _is_split(self, dataset: str) -> bool:
        return any(one["name"] == dataset for one in self.config["datasets"])

    @property
    def _checkpoint(self) -> dict[str, Any]:
        return self._only("model_revision", "accept_model_license")

    def _only(self, *names: str) -> dict[str, Any]:
        return {name: self.config[name] for name in names}


def _located(config: dict[str, Any], root: Path) -> dict[str, Any]:
    """The configuration with paths as the working directory or the repository has them."""
    clustering = config["clustering"]
    datasets = [
        {**dataset, "path": _found(dataset["path"], root)} for dataset in clustering["datasets"]
    ]
    models = {"models": _all(clustering["models"], root)}
    return {
        **config,
        "models": _all(config["models"], root),
        "reference": _found(config["reference"], root),
        "clustering": {**clustering, **models, "datasets": datasets},
    }


def _all(paths: Iterable[str], root: Path) -> list[str]:
    return [locate(path, root) for path in paths]


def _found(path: str | None, root: Path) -> str | None:
    return None if path is None else locate(path, root)
