"""What is to be regenerated: the benchmark's own configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aidocell.baselines import METHODS
from aidocell.config import check_keys
from aidocell.errors import InputError

__all__ = [
    "Run",
    "check_benchmark",
    "embedding_options",
    "model_names",
    "plan_clusterings",
    "plan_runs",
    "read_benchmark",
]


@dataclass(frozen=True)
class Run:
    """A method or representation, with the checkpoint that it takes or without one.

    Attributes
    ----------
    name
        Of its folder and its row: the method, followed by the checkpoint's own name.
    method
        Key of :data:`aidocell.baselines.METHODS`, or a representation for clustering.
    model
        Hub id or folder, or None.
    """

    name: str
    method: str
    model: str | None = None

    @property
    def embedded(self) -> bool:
        """Whether it works on embeddings of `model`."""
        needs = METHODS[self.method].needs if self.method in METHODS else self.method
        return needs == "embedding"


def read_benchmark(path: str | Path, schema: str | Path) -> dict[str, Any]:
    """The checked configuration of a file.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``; ``E_CONFIG`` as :func:`check_benchmark`, or where it is no YAML.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("E_FILE_MISSING", f"{path} does not exist", fix="check the path")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise InputError("E_CONFIG", f"{path}: {first}", fix="write it in YAML") from error
    if not isinstance(given, dict):
        raise InputError("E_CONFIG", f"{path} holds no keys", fix="see config/README.md")
    return check_benchmark(given, schema)


def check_benchmark(given: Mapping[str, Any], schema: str | Path) -> dict[str, Any]:
    """Check keys, fill in defaults, and refuse names that would meet in one folder (``E_CONFIG``)."""
    rules = json.loads(Path(schema).read_text(encoding="utf-8"))
    config = check_keys(given, rules)
    sections = ((config, rules), (config["clustering"], rules["properties"]["clustering"]))
    for section, rule in sections:
        one = rule["properties"]["datasets"]["items"]
        section["datasets"] = [check_keys(dataset, one) for dataset in section["datasets"]]
    config["methods"] = config["methods"] or list(METHODS)
    _require_distinct("datasets", [d["name"] for s, _ in sections for d in s["datasets"]])
    _require_distinct("models", [*model_names(config).values()])
    return config


def model_names(config: Mapping[str, Any]) -> dict[str, str]:
    """The name of each checkpoint's folder and rows, by hub id or path."""
    models = dict.fromkeys([*config["models"], *config["clustering"]["models"]])
    return {model: _short(model) for model in models}


def embedding_options(config: Mapping[str, Any], dataset: str) -> dict[str, str]:
    """How a data set is embedded: one for clustering has its own pooling and precision."""
    if any(given["name"] == dataset for given in config["datasets"]):
        return dict(config["embed"])
    own = {name: config["clustering"][name] for name in ("pooling", "precision")}
    return {**config["embed"], **own}


def plan_runs(config: Mapping[str, Any]) -> dict[str, Run]:
    """Every method, those that take a checkpoint once with each, by name."""
    return _by_name(
        run
        for method in config["methods"]
        for run in _with_models(method, config["models"], _takes_model(method))
    )


def plan_clusterings(config: Mapping[str, Any]) -> dict[str, Run]:
    """Every representation that is clustered, by name."""
    section = config["clustering"]
    return _by_name(
        run
        for representation in section["representations"]
        for run in _with_models(representation, section["models"], representation == "embedding")
    )


def _takes_model(method: str) -> bool:
    return METHODS[method].needs == "embedding" or "network" in METHODS[method].takes


def _with_models(method: str, models: Sequence[str], takes_model: bool) -> list[Run]:
    if not takes_model:
        return [Run(method, method)]
    return [Run(f"{method}-{_short(model)}", method, model) for model in models]


def _by_name(runs: Any) -> dict[str, Run]:
    return {run.name: run for run in runs}


def _short(model: str) -> str:
    """The last part of a hub id or path, fit to be a folder."""
    return re.sub("[^A-Za-z0-9._-]", "_", model.rstrip("/").split("/")[-1]).lstrip(".") or "model"


def _require_distinct(what: str, names: Sequence[str]) -> None:
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(
            "E_CONFIG",
            f"two of the benchmark's {what} are called '{repeated[0]}'",
            fix="give each a name of its own",
        )
