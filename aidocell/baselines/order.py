"""One order for the same training cells, however they were given."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from scipy import sparse

__all__ = ["canonical_order"]


def canonical_order(X: np.ndarray | sparse.csr_matrix, y: np.ndarray) -> np.ndarray:
    """Positions that sort cells by label and content, for methods that draw batches or samples.

    Parameters
    ----------
    X
        Embeddings, shape ``(cells, hidden)``, or raw counts in CSR form, shape ``(cells, genes)``.
    y
        Label of each cell.

    Returns
    -------
    order
        Shape ``(cells,)``. The content is compared by a hash, so that neighbours in this order
        have nothing in common but the label.
    """
    rows = _sparse_rows(X) if sparse.issparse(X) else _dense_rows(X)
    keys = np.array([blake2b(row, digest_size=16).hexdigest() for row in rows], dtype="U32")
    return np.lexsort([keys, np.asarray(y).astype(str)])


def _dense_rows(values: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in np.ascontiguousarray(values, dtype=np.float64)]


def _sparse_rows(counts: sparse.csr_matrix) -> list[bytes]:
    """Columns and values of each row that are not zero, whatever the types they are kept in."""
    counts = sparse.csr_matrix(counts, dtype=np.float64, copy=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    columns = counts.indices.astype(np.int64)
    bounds = zip(counts.indptr[:-1], counts.indptr[1:], strict=True)
    return [columns[a:b].tobytes() + counts.data[a:b].tobytes() for a, b in bounds]
