"""Many short texts (names of cells, a column of labels) in little more than their own bytes.

A million Python strings take over 70 MB, and an index of them more; held like this they take the
bytes of the text and eight for each. Blocks of them become Python strings where they are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["BLOCK", "Texts"]

BLOCK = 1 << 16  # texts that are Python strings at a time


class Texts(Sequence):
    """A sequence of texts, each of which may be missing (``None``).

    Parameters
    ----------
    array
        The texts as Arrow has them.
    """

    def __init__(self, array: pa.ChunkedArray | pa.Array) -> None:
        chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
        self._array = pa.chunked_array(chunks, pa.large_string())

    @classmethod
    def of(cls, values: Iterable[str | None]) -> Texts:
        """Texts from an iterable, which is never held whole."""
        values, blocks = iter(values), []
        while block := list(islice(values, BLOCK)):
            blocks.append(_packed(block))
        return cls(pa.chunked_array(blocks, pa.large_string()))

    @classmethod
    def same(cls, value: str, number: int) -> Texts:
        """One text, `number` times."""
        return cls(pa.repeat(pa.scalar(value, pa.large_string()), number))

    @classmethod
    def joined(cls, parts: Iterable[Texts]) -> Texts:
        """Texts one after another."""
        chunks = [chunk for part in parts for chunk in part.arrow.chunks]
        return cls(pa.chunked_array(chunks, pa.large_string()))

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, place: int | slice) -> str | Texts | None:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step != 1:
                raise ValueError("texts are sliced without a step")
            return Texts(self._array.slice(start, max(stop - start, 0)))
        return self._array[int(place)].as_py()

    def __iter__(self) -> Iterator[str | None]:
        for block in self.blocks():
            yield from block

    @property
    def arrow(self) -> pa.ChunkedArray:
        """The texts as Arrow has them, of type ``large_string``."""
        return self._array

    @property
    def has_missing(self) -> bool:
        return self._array.null_count > 0

    def blocks(self) -> Iterator[list[str | None]]:
        """All texts in order, as lists of at most :data:`BLOCK`."""
        for start in range(0, len(self), BLOCK):
            yield self._array.slice(start, BLOCK).to_pylist()

    def where(self, chosen: np.ndarray) -> Texts:
        """The texts at the true places of a boolean array, shape ``(len(self),)``."""
        if chosen.all():
            return self
        return Texts(self._array.filter(pa.array(chosen)))

    def at(self, places: np.ndarray) -> Texts:
        """The texts at `places`, int64; a place of -1 gives a missing one."""
        return Texts(self._array.take(pa.array(places, mask=places < 0)))

    def places_in(self, others: Texts) -> np.ndarray:
        """Where each text is in `others`, int64, -1 for those that are not there."""
        found = pc.index_in(self._array, value_set=others._array.combine_chunks())
        return np.concatenate(
            [np.zeros(0, np.int64), *(_filled(part) for part in found.chunks)], dtype=np.int64
        )

    def unique(self) -> Texts:
        """Each text once, in the order in which they first occur."""
        return Texts(pc.unique(self._array))

    def repeated(self) -> list[str]:
        """Texts that occur more than once, in the order in which they occur again."""
        hashes = np.empty(len(self), np.uint64)
        for number, block in enumerate(self.blocks()):
            hashes[number * BLOCK : number * BLOCK + len(block)] = _hashes(block)
        hashes.sort()
        suspects = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        return self._seen_twice(suspects) if len(suspects) else []

    def _seen_twice(self, suspects: np.ndarray) -> list[str]:
        seen: set[str | None] = set()
        twice: dict[str | None, None] = {}
        for block in self.blocks():
            for place in np.flatnonzero(np.isin(_hashes(block), suspects)):
                if block[place] in seen:
                    twice[block[place]] = None
                seen.add(block[place])
        return list(twice)

    def to_index(self) -> pd.Index:
        """A pandas index of Python strings, for what is small or must be whole."""
        return pd.Index(self._array.to_pylist(), dtype=object)


def _packed(block: list[str | None]) -> pa.LargeStringArray:
    """The texts in buffers of just their size; Arrow's own builder leaves three times as much."""
    encoded = [b"" if text is None else text.encode() for text in block]
    offsets = np.zeros(len(block) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    there = np.array([text is not None for text in block])
    mask = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    return pa.LargeStringArray.from_buffers(
        len(block), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)), mask
    )


def _filled(part: pa.Array) -> np.ndarray:
    return part.fill_null(-1).to_numpy(zero_copy_only=False)


def _hashes(block: list[str | None]) -> np.ndarray:
    return pd.util.hash_array(np.array(block, dtype=object), categorize=False)
