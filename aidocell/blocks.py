"""The embeddings of a range of cells, and the work of a job so far, kept in blocks of them.

A shard is minutes to hours of work, so what is done is saved every half minute or so, in a hidden
folder beside the shard's final name; a job that was killed goes on from there. A block ends where a
batch does, so the batches of a resumed job are those of an undisturbed one, on a GPU too.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aidocell.embedding import Embedder
from aidocell.errors import AidocellError, InputError
from aidocell.store import StoreReader
from aidocell.tables import about_table, new_table, verify_table

__all__ = ["BLOCK_CELLS", "Block", "WorkSoFar", "embed_blocks", "join_blocks"]

log = logging.getLogger(__name__)

BLOCK_CELLS = 4096  # read at a time; saved work is a part of them
_SECONDS_BETWEEN_SAVES = 30
_SUFFIX = ".parquet"


@dataclass(frozen=True)
class Block:
    """Embeddings of the rows `start` to `stop` of a sample's counts.

    Attributes
    ----------
    names
        Cells with a count, in order.
    vectors
        Their embeddings, float32 (cells, hidden).
    left_out
        Cells of these rows without a count in the model's genes, in order.
    """

    start: int
    stop: int
    names: pd.Index
    vectors: np.ndarray
    left_out: list[str]

    def covers(self, cells: pd.Index, width: int) -> bool:
        """Whether this is of exactly these cells, in their order, and all its numbers are finite."""
        expected = cells[~cells.isin(self.left_out)]
        there = len(expected) + len(self.left_out) == len(cells) and expected.equals(self.names)
        shape = (len(self.names), width)
        return there and self.vectors.shape == shape and bool(np.isfinite(self.vectors).all())


def join_blocks(blocks: Sequence[Block]) -> Block:
    """Successive blocks as one."""
    names = pd.Index(np.concatenate([block.names.to_numpy(object) for block in blocks]))
    vectors = np.concatenate([block.vectors for block in blocks])
    left_out = [name for block in blocks for name in block.left_out]
    return Block(blocks[0].start, blocks[-1].stop, names, vectors, left_out)


def embed_blocks(
    embedder: Embedder,
    store: StoreReader,
    rows: tuple[int, int],
    *,
    done: int,
    block_cells: int,
    advance: Callable[[int], None],
) -> Iterator[Block]:
    """Embed rows of opened counts from `done` on, in memory bounded by `block_cells` of them.

    Ranges of `block_cells` count from ``rows[0]`` whatever is done, so that batches stay the same.
    """
    start, stop = rows
    while done < stop:
        end = min(start + ((done - start) // block_cells + 1) * block_cells, stop)
        yield from _blocks_of_range(embedder, store, done, end, advance)
        done = end


def _blocks_of_range(
    embedder: Embedder, store: StoreReader, start: int, stop: int, advance: Callable[[int], None]
) -> Iterator[Block]:
    counts, cells = store.rows(start, stop), store.cells(start, stop)
    has_counts = counts.getnnz(axis=1) > 0
    counted = np.flatnonzero(has_counts)
    parts = [np.empty((0, embedder.model.config.hidden_size), np.float32)]
    first, embedded, saved_at = 0, 0, time.monotonic()
    for batch in embedder.batches(counts[has_counts]):
        parts.append(batch)
        embedded += len(batch)
        advance(len(batch))
        if embedded < len(counted) and time.monotonic() - saved_at >= _SECONDS_BETWEEN_SAVES:
            last = int(counted[embedded])
            yield _block(start, first, last, cells, has_counts, parts)
            first, parts, saved_at = last, parts[:1], time.monotonic()
    if left_out := stop - start - len(counted):
        advance(left_out)
    yield _block(start, first, stop - start, cells, has_counts, parts)


def _block(
    start: int,
    first: int,
    last: int,
    cells: pd.Index,
    has_counts: np.ndarray,
    parts: Sequence[np.ndarray],
) -> Block:
    """The rows `first` to `last` of a range of cells that begins at the sample's row `start`."""
    vectors = np.concatenate(parts)
    if not np.isfinite(vectors).all():
        raise InputError(
            "E_MODEL_CONFIG",
            f"the checkpoint gives NaN or infinity for rows {start + first}-{start + last}",
            fix="use --precision float32, or another checkpoint",
        )
    names, counted = cells[first:last], has_counts[first:last]
    left_out = names[~counted].tolist()
    return Block(start + first, start + last, names[counted], vectors, left_out)


class WorkSoFar:
    """The hidden folder beside a shard that holds its blocks; two writers of it do no harm.

    Parameters
    ----------
    folder
        Need not be there.
    key
        Of all that the vectors depend on, the kind of device included; blocks with another are not
        used.
    width
        Length of an embedding.
    """

    def __init__(self, folder: Path, *, key: str, width: int) -> None:
        self._folder, self._key, self._width = folder, key, width

    def saved(self, store: StoreReader, rows: tuple[int, int]) -> list[Block]:
        """Blocks that follow each other from the first row on, each checked against the counts."""
        start, stop = rows
        blocks: list[Block] = []
        while start < stop and (block := self._next(store, start, stop)) is not None:
            blocks.append(block)
            start = block.stop
        return blocks

    def save(self, block: Block) -> None:
        """Save a block, so that it need not be made again.

        Another writer of the same shard that is ready deletes the folder, which costs this one no
        more than what it would have saved.
        """
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.vectors.ravel()), self._width)
        table = pa.table({"cell": pa.array(block.names, pa.string()), "vector": vectors})
        about = {"key": self._key, "left_out": block.left_out}
        path = self._folder / f"{block.start}-{block.stop}{_SUFFIX}"
        try:
            with new_table(path, table.schema, about=about) as writer:
                writer.write_table(table)
        except FileNotFoundError as error:
            log.warning("rows %d-%d are not saved yet: %s", block.start, block.stop, error)

    def clear(self) -> None:
        """Delete the folder, which another writer may be deleting or filling."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _next(self, store: StoreReader, start: int, stop: int) -> Block | None:
        ends = {path: _last_row(path) for path in self._folder.glob(f"{start}-*{_SUFFIX}")}
        for path, end in sorted(ends.items(), key=lambda item: -item[1]):
            if start < end <= stop and (block := self._usable(path, store, start, end)):
                return block
        return None

    def _usable(self, path: Path, store: StoreReader, start: int, stop: int) -> Block | None:
        """The block in `path`; None where it is torn or another's, since it can be made again."""
        try:
            about = about_table(path)
            verify_table(path)
            table = pq.read_table(path)
        except (AidocellError, pa.ArrowException) as error:
            log.warning("saved work is not used: %s", error)
            return None
        vectors = table["vector"].combine_chunks().flatten().to_numpy()
        names, left_out = pd.Index(table["cell"].to_pylist(), dtype=object), about["left_out"]
        block = Block(start, stop, names, vectors.reshape(len(names), -1), left_out)
        same = about["key"] == self._key
        return block if same and block.covers(store.cells(start, stop), self._width) else None


def _last_row(path: Path) -> int:
    end = path.name.removesuffix(_SUFFIX).partition("-")[2]
    return int(end) if end.isascii() and end.isdigit() else -1
