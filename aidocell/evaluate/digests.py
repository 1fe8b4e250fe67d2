"""What a cell's row holds, as a short text: equal rows have equal texts, however they are kept."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from scipy import sparse

__all__ = ["PARTS", "part_hashes", "row_digests"]

PARTS = 16  # of the genes, each by itself compared


def row_digests(
    matrix: np.ndarray | sparse.spmatrix,
    *,
    columns: np.ndarray | None = None,
    least: int = 1,
) -> np.ndarray:
    """One text a row; explicit zeros, the order of entries and the type of numbers do not matter.

    Parameters
    ----------
    matrix
        Raw counts, sparse, or embeddings, dense; ``(cells, columns)``.
    columns
        Boolean mask of the columns that count; all if not given. For sparse matrices alone.
    least
        Rows with fewer values that are not zero say too little to be compared.

    Returns
    -------
    digests
        Object array of str, shape ``(cells,)``; the empty text where a row says too little.
    """
    rows = _sparse_rows(matrix, columns) if sparse.issparse(matrix) else _dense_rows(matrix)
    texts = [blake2b(row, digest_size=16).hexdigest() if n >= least else "" for n, row in rows]
    return np.array(texts, dtype=object)


def part_hashes(counts: sparse.spmatrix, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A number for each sixteenth of the columns, by their place: equal where the counts are.

    Parameters
    ----------
    counts
        Raw counts, shape ``(cells, genes)``.
    columns
        Boolean mask of the columns that count.

    Returns
    -------
    hashes, sizes
        Shape ``(cells, PARTS)``: a hash of 64 bits, and how many values are not zero.
    """
    counts = _plain(counts, columns)
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    place = row * PARTS + counts.indices % PARTS
    # sums do not depend on the order of entries; the mixing is that of SplitMix64
    mixed = _mixed(_mixed(counts.indices.astype(np.uint64)) ^ counts.data.view(np.uint64))
    hashes = np.zeros(counts.shape[0] * PARTS, np.uint64)
    np.add.at(hashes, place, mixed)
    sizes = np.bincount(place, minlength=len(hashes))
    return hashes.reshape(-1, PARTS), sizes.reshape(-1, PARTS)


def _mixed(x: np.ndarray) -> np.ndarray:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _plain(counts: sparse.spmatrix, columns: np.ndarray | None) -> sparse.csr_matrix:
    """A copy in float64 without zeros, of these columns."""
    counts = sparse.csr_matrix(counts, dtype=np.float64, copy=True)
    counts.sum_duplicates()
    if columns is not None:
        counts.data *= columns[counts.indices]
    counts.eliminate_zeros()
    return counts


def _sparse_rows(counts: sparse.spmatrix, columns: np.ndarray | None) -> list[tuple[int, bytes]]:
    counts = _plain(counts, columns)
    places = counts.indices.astype(np.int64)
    bounds = zip(counts.indptr[:-1], counts.indptr[1:], strict=True)
    return [(b - a, places[a:b].tobytes() + counts.data[a:b].tobytes()) for a, b in bounds]


def _dense_rows(values: np.ndarray) -> list[tuple[int, bytes]]:
    single = np.ascontiguousarray(values, dtype=np.float32) + np.float32(0)  # -0 becomes 0
    return [(np.count_nonzero(row), row.tobytes()) for row in single]
