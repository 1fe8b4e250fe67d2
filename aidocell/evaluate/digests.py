"""What a cell's row holds, as a short text: equal rows have equal texts, however they are kept."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from scipy import sparse

__all__ = ["row_digests"]


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


def _sparse_rows(counts: sparse.spmatrix, columns: np.ndarray | None) -> list[tuple[int, bytes]]:
    counts = sparse.csr_matrix(counts, dtype=np.float64, copy=True)
    counts.sum_duplicates()
    if columns is not None:
        counts.data *= columns[counts.indices]
    counts.eliminate_zeros()
    places = counts.indices.astype(np.int64)
    bounds = zip(counts.indptr[:-1], counts.indptr[1:], strict=True)
    return [(b - a, places[a:b].tobytes() + counts.data[a:b].tobytes()) for a, b in bounds]


def _dense_rows(values: np.ndarray) -> list[tuple[int, bytes]]:
    single = np.ascontiguousarray(values, dtype=np.float32) + np.float32(0)  # -0 becomes 0
    return [(np.count_nonzero(row), row.tobytes()) for row in single]
