"""What a run reads and writes, and whether all of it is there; imports nothing heavy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aidocell import files
from aidocell.baselines import Unavailable
from aidocell.benchmark.config import Run
from aidocell.records import read_record, write_record

__all__ = ["DATA", "EMBEDDED", "RUN", "Sources", "require_available", "write_run"]

log = logging.getLogger(__name__)

DATA, EMBEDDED, RUN = "data.json", "embedded.json", "run.json"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a run reads.

    Attributes
    ----------
    data
        Folder of :func:`aidocell.benchmark.data.prepare_dataset`.
    embeddings
        Folder of :func:`aidocell.benchmark.models.embed_dataset`, for what works on embeddings.
    model
        Record of :func:`aidocell.benchmark.models.find_model`, for methods with a network.
    """

    data: Path
    embeddings: Path | None = None
    model: Path | None = None

    @property
    def made_with(self) -> dict[str, Any]:
        """How the embeddings were made; where there are none, what a CPU does without them."""
        if self.embeddings is None:
            return {"device": "CPU", "gpu": False, "seconds": {}}
        return read_record(self.embeddings / EMBEDDED)

    def require(self) -> None:
        """Raise `Unavailable` where the data, the checkpoint or the embeddings are."""
        paths = [self.data / DATA, self.model, self.embeddings and self.embeddings / EMBEDDED]
        require_available(*(read_record(path) for path in paths if path is not None))


def require_available(*records: Mapping[str, Any]) -> None:
    """Raise `Unavailable` with the reason of the first record that is."""
    for record in records:
        if record["status"] != "available":
            raise Unavailable(record["reason"])


def write_run(
    folder: str | Path,
    run: Run,
    sources: Sources,
    seed: int,
    work: Callable[[Path], Mapping[str, Any]],
) -> None:
    """Write the folder of a run, with its ``run.json``.

    Parameters
    ----------
    work
        Does the run in a folder and gives entries of the record. What it raises as `Unavailable`
        is the record of the run; and it is not called where the sources are unavailable, so that
        such a run costs next to nothing.
    """
    about: dict[str, Any] = {**asdict(run), "seed": seed, "status": "regenerated", "reason": ""}
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        try:
            sources.require()
            about |= work(temporary)
        except Unavailable as error:
            log.warning("%s is unavailable: %s", run.name, error)
            about |= {"status": "unavailable", "reason": str(error)}
        write_record(temporary / RUN, about)
