"""What came of all seeds of one method on one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aidocell.benchmark.clusterings import CLUSTERS
from aidocell.benchmark.config import Run
from aidocell.benchmark.runs import TABLES
from aidocell.benchmark.sources import RUN
from aidocell.evaluate.clustering import agreement
from aidocell.evaluate.metrics import mean_metrics
from aidocell.records import read_record
from aidocell.tables import read_table

__all__ = ["Calls", "Outcome", "read_outcome"]

_SECONDS_AN_HOUR = 3600


@dataclass(frozen=True)
class Calls:
    """Predictions or clusters of the same cells by every seed that ran.

    Attributes
    ----------
    cells, true
        Shape ``(cells,)``.
    found
        Shape ``(cells, seeds)``.
    """

    cells: np.ndarray
    true: np.ndarray
    found: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """One method with all its seeds.

    Attributes
    ----------
    run
        The method.
    records
        ``run.json`` of every seed, in order.
    calls
        Of the seeds that ran; None where none did.
    figures
        ``metric, value, low, high, spread``: means over the seeds that ran; the interval is by
        bootstrap over cells and missing for the silhouette.
    """

    run: Run
    records: list[dict[str, Any]]
    calls: Calls | None = field(repr=False)
    figures: pd.DataFrame

    @property
    def ran(self) -> list[dict[str, Any]]:
        """Records of the seeds that ran."""
        return [record for record in self.records if record["status"] == "regenerated"]

    @property
    def reason(self) -> str:
        """Why some seeds did not run; empty where all did."""
        missing = [record for record in self.records if record["status"] != "regenerated"]
        reasons = "; ".join(dict.fromkeys(record["reason"] for record in missing))
        if not missing or not self.ran:
            return reasons
        return f"without seeds {', '.join(str(r['seed']) for r in missing)}: {reasons}"

    @property
    def seconds(self) -> float | None:
        """Time of all seeds, with the one embedding that they share."""
        if not self.ran:
            return None
        return sum(r["seconds"] for r in self.ran) + self.ran[0]["embedding_seconds"]

    @property
    def gpu_hours(self) -> float | None:
        """Time of the part that a GPU computed, times GPUs; 0 where there was none."""
        if not self.ran:
            return None
        shared = self.ran[0]["embedding_seconds"] * self.ran[0]["gpus"]
        own = 0 if self.run.embedded else sum(r["seconds"] * r["gpus"] for r in self.ran)
        return (shared + own) / _SECONDS_AN_HOUR

    @property
    def device(self) -> str:
        """What the heavy part was computed on."""
        return ", ".join(dict.fromkeys(record["device"] for record in self.ran))

    @property
    def notes(self) -> list[str]:
        """What is to be known of its figures, each once."""
        return list(dict.fromkeys(note for record in self.ran for note in record["notes"]))

    def value(self, metric: str) -> float | None:
        """Its figure, or None."""
        found = self.figures.loc[self.figures["metric"] == metric, "value"]
        return float(found.iloc[0]) if len(found) else None


def read_outcome(run: Run, folders: Sequence[str | Path], *, draws: int, seed: int) -> Outcome:
    """Read the folders of all seeds of a run, and take the means of their figures."""
    records = [read_record(Path(folder) / RUN) for folder in folders]
    ran = [
        Path(folder)
        for folder, record in zip(folders, records, strict=True)
        if record["status"] == "regenerated"
    ]
    if not ran:
        return Outcome(run, records, None, pd.DataFrame({"metric": [], "value": []}))
    clustered = (ran[0] / CLUSTERS).is_file()
    calls = _clusters(ran) if clustered else _predictions(ran)
    summarise = agreement if clustered else mean_metrics
    figures = summarise(calls.true, calls.found, seed=seed, draws=draws)
    if clustered:
        figures = pd.concat([figures, _silhouettes(records)], ignore_index=True)
    return Outcome(run, records, calls, figures)


def _predictions(folders: Sequence[Path]) -> Calls:
    paths = [folder / TABLES / "predictions.parquet" for folder in folders]
    return _calls([read_table(path) for path in paths], "true", "predicted")


def _clusters(folders: Sequence[Path]) -> Calls:
    return _calls([read_table(folder / CLUSTERS) for folder in folders], "label", "cluster")


def _calls(tables: Sequence[pd.DataFrame], true: str, found: str) -> Calls:
    """The tables hold the same cells, sorted by name."""
    first = tables[0]
    if any(list(table["cell"]) != list(first["cell"]) for table in tables[1:]):
        raise ValueError("the seeds of one method have different cells")
    return Calls(
        first["cell"].to_numpy(),
        first[true].to_numpy(),
        np.column_stack([table[found].to_numpy() for table in tables]),
    )


def _silhouettes(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    values = pd.Series([r["silhouette"] for r in records if r.get("silhouette") is not None])
    row = {"metric": "silhouette", "value": values.mean(), "spread": values.std()}
    return pd.DataFrame([{**row, "low": np.nan, "high": np.nan}])
