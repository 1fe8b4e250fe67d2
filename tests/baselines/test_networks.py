"""What is particular to ACTINN, scANVI and SingleCellNet."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from baselines.toys import toy
from scipy import sparse

from aidocell.baselines import METHODS, Unavailable, actinn, scanvi, singlecellnet
from aidocell.baselines.order import canonical_order
from aidocell.baselines.packages import normalised
from aidocell.baselines.variable import variable_genes


def test_actinn_leaves_out_genes_at_the_extremes_of_the_training_cells():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1, 2, 400), (60, 400))
    counts[:, 7] = 0
    per_cell = np.log2(counts / counts.sum(axis=1, keepdims=True) * 1e4 + 1)
    kept = np.flatnonzero(per_cell.sum(axis=0) > 0)
    sums = per_cell[:, kept].sum(axis=0)
    kept = kept[(sums >= np.percentile(sums, 1)) & (sums <= np.percentile(sums, 99))]
    variation = per_cell[:, kept].std(axis=0) / per_cell[:, kept].mean(axis=0)
    low, high = np.percentile(variation, [1, 99])
    expected = kept[(variation >= low) & (variation <= high)]
    fitted = actinn.fit(sparse.csr_matrix(counts), np.array(["a", "b"] * 30), seed=0)
    assert fitted.columns.tolist() == expected.tolist()
    assert [w.shape[1] for w in fitted.weights] == [100, 50, 25, 2]


def test_an_epoch_of_actinn_is_that_of_plain_torch_with_the_penalty_in_the_loss(monkeypatch):
    monkeypatch.setattr(actinn, "EPOCHS", 1)
    counts, y = toy()
    fitted = actinn.fit(counts, y, seed=0)
    rng = np.random.default_rng(0)
    weights, biases = actinn._new_layers((len(fitted.columns), 100, 50, 25, 3), rng)
    order = canonical_order(counts, y)[rng.permutation(len(y))]
    dense = counts.toarray()[order]
    values = np.log2(dense / dense.sum(axis=1, keepdims=True) * 1e4 + 1)[:, fitted.columns]
    hidden = torch.from_numpy(values.astype(np.float32))
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = torch.relu(hidden @ weight + bias)
    target = torch.from_numpy(np.unique(y[order], return_inverse=True)[1])
    logits = hidden @ weights[-1] + biases[-1]
    loss = torch.nn.functional.cross_entropy(logits, target)
    loss = loss + 0.005 * sum((weight**2).sum() / 2 for weight in weights)
    optimiser = torch.optim.Adam([*weights, *biases], lr=1e-4)
    loss.backward()
    optimiser.step()
    for found, expected in zip(fitted.weights, weights, strict=True):
        np.testing.assert_allclose(found, expected.detach(), atol=2e-6)


def test_actinn_without_a_gene_is_unavailable():
    with pytest.raises(Unavailable, match="no gene"):
        actinn.fit(sparse.csr_matrix((4, 5)), np.array(["a", "b"] * 2), seed=0)


def test_scanvi_leaves_no_trace_in_the_process_nor_on_the_disk(
    tmp_path, monkeypatch, capfd, caplog
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scanvi, "MOST_EPOCHS", 1)
    monkeypatch.setattr(scanvi, "LEAST_STEPS", 2)
    counts, y = toy()
    scanvi.fit(counts, y, seed=0)  # what is imported now, is not imported between the two looks
    capfd.readouterr()
    before = _state()
    scanvi.predict_proba(scanvi.fit(counts, y, seed=5), counts)
    assert _state() == before
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def _state():
    cudnn = torch.backends.cudnn
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        (cudnn.deterministic, cudnn.benchmark),
        dict(os.environ),
    )


def test_no_batch_of_scanvi_has_one_cell():
    for cells in range(2, 700):
        size = scanvi._batch_size(cells)
        assert 2 <= size <= 128
        assert cells % size != 1


@pytest.mark.parametrize(("cells", "epochs"), [(100, 500), (533, 125), (10_000, 10), (10**6, 3)])
def test_scanvi_makes_as_many_steps_as_it_takes(cells, epochs):
    assert scanvi._labelled_epochs(cells) == epochs


def test_scanvi_leaves_out_cells_without_a_count(monkeypatch):
    monkeypatch.setattr(scanvi, "MOST_EPOCHS", 2)
    monkeypatch.setattr(scanvi, "LEAST_STEPS", 2)
    counts, y = toy()
    counts = sparse.vstack([counts, sparse.csr_matrix((1, 40))]).tocsr()
    fitted = scanvi.fit(counts, np.append(y, "B"), seed=0)
    assert np.isfinite(scanvi.predict_proba(fitted, counts)).all()


@pytest.mark.parametrize("name", ["singlecellnet", "scanvi", "ingest", "celltypist"])
def test_one_class_alone_is_unavailable(name):
    extras = {"genes": [f"g{i}" for i in range(40)]} if name == "celltypist" else {}
    with pytest.raises(Unavailable, match="one class alone"):
        METHODS[name].module.fit(toy()[0], np.full(36, "a"), seed=0, **extras)


def test_singlecellnet_needs_two_cells_of_each_class():
    counts, y = toy()
    y[0] = "rare"
    with pytest.raises(Unavailable, match="rare has 1 training cells"):
        singlecellnet.fit(counts, y, seed=0)


def test_singlecellnet_divides_by_what_the_class_of_shuffled_cells_leaves(monkeypatch):
    monkeypatch.setattr(singlecellnet, "TREES", 20)
    counts, y = toy()
    fitted = singlecellnet.fit(counts, y, seed=0)
    from pySingleCellNet.tools import classifier

    cells = normalised(counts, np.arange(40))
    classifier.classify_anndata(cells, fitted.classifier)
    votes = cells.obsm["SCN_score"]
    shares = votes[["0", "1", "2"]].to_numpy() / (1 - votes[["rand"]].to_numpy())
    np.testing.assert_allclose(singlecellnet.predict_proba(fitted, counts), shares)


def test_singlecellnet_is_the_same_in_every_process(monkeypatch):
    """The package walks through sets of names, whose order the hash seed of a process decides."""
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from baselines.toys import toy\n"
        "from aidocell.baselines import singlecellnet as m\n"
        "m.TREES = 5\n"
        "print(list(m.fit(*toy(), seed=0).classifier['topPairs']))"
    )
    other = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    monkeypatch.setattr(singlecellnet, "TREES", 5)
    pairs = list(singlecellnet.fit(*toy(), seed=0).classifier["topPairs"])
    assert other.stdout.strip() == str(pairs)
    assert len(pairs) > 20


def test_variable_genes_are_scanpys_among_those_expressed(monkeypatch):
    import scanpy

    monkeypatch.setattr("aidocell.baselines.variable.VARIABLE_GENES", 50)
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(rng.gamma(0.5, 2, 300), (80, 300)))
    cells = normalised(counts, np.arange(300))
    found = variable_genes(cells)
    expressed = np.flatnonzero(counts.sum(axis=0).A1)
    table = scanpy.pp.highly_variable_genes(cells[:, expressed], n_top_genes=50, inplace=False)
    assert found.tolist() == expressed[table["highly_variable"]].tolist()
    assert len(found) == 50


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_the_canonical_order_depends_on_labels_and_content_alone(form):
    counts, y = toy()
    X = counts.toarray() if form == "dense" else counts
    shuffled = np.random.default_rng(0).permutation(len(y))
    first, second = canonical_order(X, y), canonical_order(X[shuffled], y[shuffled])
    rows = counts.toarray()
    np.testing.assert_array_equal(rows[first], rows[shuffled][second])
    assert y[first].tolist() == sorted(y)


def test_the_canonical_order_sees_through_stored_zeros_and_types():
    counts, y = toy()
    stored = sparse.csr_matrix(counts.toarray() + 1.0)
    stored.data -= 1
    np.testing.assert_array_equal(canonical_order(stored, y), canonical_order(counts, y))
