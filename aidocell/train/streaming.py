"""Cells of any number of stores in random order, in memory that does not grow with them.

Neighbouring cells form blocks. Each epoch shuffles the blocks, takes a window of some at a time into
memory and shuffles the cells of the window. The order is a function of seed and epoch alone, so any
place in it can be gone to at once. Epochs follow each other without a gap: a step that begins in one
ends in the next, no cell is dropped at an end, and every process can take its share of every step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from aidocell.errors import InputError
from aidocell.provenance import require_same
from aidocell.store import StoreReader, verify

__all__ = ["Batch", "StoredCells", "Stream"]


@dataclass(frozen=True)
class StoredCells:
    """Cells of stores of aligned counts, numbered one after another from 0.

    Attributes
    ----------
    paths
        In the order of their content's digests, whatever order they were given in.
    digests
        Digest of each store's counts, cell names and genes.
    starts
        Number of each store's first cell, and of all cells.
    measured
        Boolean, shape ``(stores, genes)``.
    empty
        Numbers of the cells without a count, in order.
    """

    paths: tuple[Path, ...]
    digests: tuple[str, ...]
    starts: np.ndarray
    measured: np.ndarray
    empty: np.ndarray

    @classmethod
    def of(cls, paths: Sequence[str | Path], *, genes_sha256: str) -> StoredCells:
        """Verify every byte of the stores and look at their cells.

        Raises
        ------
        InputError
            ``E_STORE_DAMAGED``; ``E_STORE_MISMATCH``: over other genes; ``E_USAGE``: the same
            counts twice.
        """
        looked = [_look(Path(path), genes_sha256) for path in paths]
        looked.sort(key=lambda found: found[0])
        digests = tuple(digest for digest, *_ in looked)
        if len(set(digests)) < len(digests):
            raise InputError(
                "E_USAGE", "two inputs hold the same cells and counts", fix="give each only once"
            )
        lengths = [lengths for *_, lengths in looked]
        starts = np.cumsum([0, *map(len, lengths)])
        return cls(
            paths=tuple(path for _, path, *_ in looked),
            digests=digests,
            starts=starts,
            measured=np.stack([measured for *_, measured, _ in looked]),
            empty=np.concatenate(
                [np.flatnonzero(n == 0) + start for n, start in zip(lengths, starts, strict=False)]
            ),
        )

    def __len__(self) -> int:
        return int(self.starts[-1])

    def file_of(self, cells: np.ndarray) -> np.ndarray:
        """Which store each cell lies in."""
        return np.searchsorted(self.starts, cells, side="right") - 1

    def blocks(self, size: int) -> np.ndarray:
        """First cells of blocks of at most `size` cells of one store, and the number of all cells."""
        ranges = zip(self.starts, self.starts[1:], strict=False)
        return np.concatenate(
            [*(np.arange(start, stop, size) for start, stop in ranges), self.starts[-1:]]
        )

    def rows(self, ranges: Sequence[tuple[int, int]]) -> list[sparse.csr_matrix]:
        """Raw counts of ranges of cells, each within one store; a store is opened once."""
        found: list[sparse.csr_matrix | None] = [None] * len(ranges)
        files = self.file_of(np.array([start for start, _ in ranges]))
        for file in np.unique(files):
            first = self.starts[file]
            with StoreReader(self.paths[file]) as store:
                for place in np.flatnonzero(files == file):
                    start, stop = ranges[place]
                    found[place] = store.rows(int(start - first), int(stop - first))
        return found

    def chosen(self, cells: np.ndarray, *, block_cells: int) -> sparse.csr_matrix:
        """Raw counts of some cells, whose numbers ascend; a block is in memory at a time."""
        bounds = self.blocks(block_cells)
        blocks = np.searchsorted(bounds, cells, side="right") - 1
        parts = []
        for block in np.unique(blocks):
            (rows,) = self.rows([(bounds[block], bounds[block + 1])])
            parts.append(rows[cells[blocks == block] - bounds[block]])
        return sparse.vstack(parts, format="csr")


@dataclass(frozen=True)
class Batch:
    """Cells of the stream with their raw counts.

    Attributes
    ----------
    cells, epochs
        Number of each cell, and the epoch in which it comes.
    counts
        Shape ``(cells, genes)``.
    """

    cells: np.ndarray
    epochs: np.ndarray
    counts: sparse.csr_matrix


class Stream:
    """An endless sequence of cells: each comes once in an epoch.

    Parameters
    ----------
    stored
        Where they lie.
    left_out
        Numbers of cells that never come, in order.
    seed
        Of the order.
    block_cells, blocks
        Cells of a block, and blocks of a window.
    """

    def __init__(
        self,
        stored: StoredCells,
        left_out: np.ndarray,
        *,
        seed: int,
        block_cells: int,
        blocks: int,
    ) -> None:
        self.stored, self.left_out = stored, left_out
        self._seed, self._size = seed, blocks
        self._bounds = stored.blocks(block_cells)
        self._kept = np.diff(self._bounds) - np.diff(np.searchsorted(left_out, self._bounds))
        self._plan: _Plan | None = None
        self._window: _Window | None = None

    def __len__(self) -> int:
        """Cells of an epoch."""
        return int(self._kept.sum())

    def order(self, epoch: int) -> Iterator[np.ndarray]:
        """Numbers of the cells of an epoch, a window at a time."""
        for number in range(len(self._planned(epoch).ends)):
            yield self._shuffled(epoch, number)[0]

    def batch(self, start: int, number: int) -> Batch:
        """So many cells from a place in the endless sequence on."""
        parts = []
        while number:
            epoch, place = divmod(start, len(self))
            plan = self._planned(epoch)
            which = int(np.searchsorted(plan.ends, place, side="right"))
            taken = min(number, int(plan.ends[which]) - place)
            first = place - (int(plan.ends[which - 1]) if which else 0)
            parts.append(self._loaded(epoch, which).part(first, first + taken))
            start, number = start + taken, number - taken
        return Batch(
            np.concatenate([part.cells for part in parts]),
            np.concatenate([part.epochs for part in parts]),
            sparse.vstack([part.counts for part in parts], format="csr"),
        )

    def _planned(self, epoch: int) -> _Plan:
        if self._plan is None or self._plan.epoch != epoch:
            order = np.random.default_rng([self._seed, epoch]).permutation(len(self._kept))
            self._plan = _Plan.of(epoch, order, self._kept, self._size)
        return self._plan

    def _ranges(self, epoch: int, number: int) -> list[tuple[int, int]]:
        blocks = self._planned(epoch).blocks[number * self._size :][: self._size]
        return [(int(self._bounds[block]), int(self._bounds[block + 1])) for block in blocks]

    def _shuffled(self, epoch: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of a window's cells in random order, and their rows in the window's blocks."""
        cells = np.concatenate([np.arange(*ends) for ends in self._ranges(epoch, number)])
        rows = np.flatnonzero(~np.isin(cells, self.left_out))
        rows = np.random.default_rng([self._seed, epoch, number]).permutation(rows)
        return cells[rows], rows

    def _loaded(self, epoch: int, number: int) -> _Window:
        window = self._window
        if window is None or (window.epoch, window.number) != (epoch, number):
            self._window = window = None  # before the next one takes its memory
            cells, rows = self._shuffled(epoch, number)
            counts = sparse.vstack(self.stored.rows(self._ranges(epoch, number)), format="csr")
            self._window = window = _Window(epoch, number, cells, rows, counts)
        return window


@dataclass(frozen=True)
class _Plan:
    """Blocks of an epoch in random order, and the places in it where windows end."""

    epoch: int
    blocks: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, epoch: int, blocks: np.ndarray, kept: np.ndarray, size: int) -> _Plan:
        starts = np.arange(0, len(blocks), size)
        return cls(epoch, blocks, np.add.reduceat(kept[blocks], starts).cumsum())


@dataclass(frozen=True)
class _Window:
    """Cells that are in memory: numbers in random order, their rows in `counts`."""

    epoch: int
    number: int
    cells: np.ndarray
    rows: np.ndarray
    counts: sparse.csr_matrix

    def part(self, start: int, stop: int) -> Batch:
        cells = self.cells[start:stop]
        return Batch(cells, np.full(len(cells), self.epoch), self.counts[self.rows[start:stop]])


def _look(path: Path, genes_sha256: str) -> tuple[str, Path, np.ndarray, np.ndarray]:
    """Digest of a verified store, its path, what it measured, and the stored counts of each cell."""
    verify(path)
    with StoreReader(path) as store:
        if "counts" not in store.contents or "counts_digest" not in store.provenance:
            raise InputError(
                "E_FILE_FORMAT",
                f"{path} holds no aligned counts",
                fix="make one with `aidocell align`",
            )
        found = store.provenance.get("genes_sha256")
        require_same("gene list", genes_sha256, found, where=str(path))
        measured = store.var["measured"].to_numpy(bool)
        return store.provenance["counts_digest"], path, measured, store.row_lengths
