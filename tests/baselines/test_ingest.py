"""scanpy's ingest, with the training cells' mean and all neighbours."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from anndata import AnnData
from baselines.toys import CLASSES, toy
from scipy import sparse

from aidocell.baselines import ingest
from aidocell.baselines.packages import borrowed, normalised, swapped
from aidocell.baselines.variable import variable_genes


@pytest.fixture(scope="module")
def fitted():
    counts, y = toy()
    return ingest.fit(counts, np.random.default_rng(0).permutation(y), seed=0)


@pytest.fixture(scope="module")
def new():
    return toy(seed=1)[0]


def scanpy_by_hand(counts, y, new):
    """Labels by ``scanpy.tl.ingest``, whose search finds most neighbours."""
    import pynndescent

    # scanpy 1.11 asks an index for its number of search trees, which pynndescent 0.7 left empty
    one_tree = swapped(pynndescent, NNDescent=partial(pynndescent.NNDescent, n_search_trees=1))
    with borrowed("scanpy", seed=0) as scanpy, one_tree:
        genes = [str(i) for i in range(counts.shape[1])]
        cells, asked = normalised(counts, genes), normalised(new, genes)
        columns = variable_genes(cells)
        mean = np.asarray(cells.X[:, columns].mean(axis=0)).ravel()
        known, query = (AnnData(c.X[:, columns].toarray() - mean) for c in (cells, asked))
        known.obs["label"] = y
        known.obs["label"] = known.obs["label"].astype("category")
        components = min(50, min(known.shape) - 1)
        scanpy.pp.pca(known, n_comps=components, zero_center=False, svd_solver="arpack")
        scanpy.pp.neighbors(known, 15)
        scanpy.tl.ingest(query, known, obs="label", embedding_method="pca")
    return query.obs["label"].astype(object).to_numpy()


@pytest.mark.long  # compiles for a minute
def test_nearly_all_labels_are_those_of_ingest_called_by_hand():
    counts, y = toy(60)
    y = np.where(np.random.default_rng(0).random(len(y)) < 0.3, y[::-1], y)
    new = toy(60, seed=1)[0]
    found = ingest.predict_proba(fitted := ingest.fit(counts, y, seed=0), new)
    labels = fitted.classes_[found.argmax(axis=1)]
    assert (labels == scanpy_by_hand(counts, y, new)).mean() > 0.9


def test_components_are_those_of_scanpy(fitted):
    counts, _ = toy()
    with borrowed("scanpy", seed=0) as scanpy:
        cells = normalised(counts, [str(i) for i in range(counts.shape[1])])
        cells = cells[:, fitted.columns].copy()
        number = fitted.loadings.shape[1]
        scanpy.pp.pca(cells, n_comps=number, svd_solver="arpack")
    ours, theirs = fitted.components(counts), cells.obsm["X_pca"]
    signs = np.sign((ours * theirs).sum(axis=0))
    np.testing.assert_allclose(ours * signs, theirs, atol=1e-3)


def test_a_cell_is_called_the_same_alone_and_among_others(fitted, new):
    whole = ingest.predict_proba(fitted, new)
    alone = [ingest.predict_proba(fitted, new[i]) for i in range(new.shape[0])]
    np.testing.assert_array_equal(np.concatenate(alone), whole)
    assert ingest.predict_proba(fitted, new[:0]).shape == (0, 3)


def test_order_of_training_cells_changes_nothing(new):
    counts, y = toy()
    shuffled = np.random.default_rng(1).permutation(len(y))
    expected = ingest.predict_proba(ingest.fit(counts, y, seed=0), new)
    found = ingest.predict_proba(ingest.fit(counts[shuffled], y[shuffled], seed=0), new)
    np.testing.assert_array_equal(found, expected)
    assert np.array(CLASSES)[expected.argmax(axis=1)].tolist() == toy(seed=1)[1].tolist()


def test_fewer_cells_than_neighbours_are_no_error(new):
    counts, y = toy(2)
    assert ingest.predict_proba(ingest.fit(counts, y, seed=0), new).shape == (36, 3)


def test_cells_without_a_count_are_no_error(fitted):
    empty = sparse.csr_matrix((2, toy()[0].shape[1]))
    assert np.isfinite(ingest.predict_proba(fitted, empty)).all()
