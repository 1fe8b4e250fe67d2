import logging
import os
import random
import warnings

import numpy as np
import pytest
import scanpy
from anndata import AnnData
from baselines.toys import CLASSES, GENES, toy

from aidocell.baselines import METHODS, Unavailable, celltypist, reference
from aidocell.baselines.celltypist_model import label_cells, read_model
from aidocell.baselines.packages import borrowed
from aidocell.errors import InputError


def prepared(counts, genes=GENES):
    """As the docstring of the method says, with scanpy alone."""
    cells = AnnData(counts.astype(np.float32))
    cells.var_names = genes
    scanpy.pp.normalize_total(cells, target_sum=1e4)
    scanpy.pp.log1p(cells)
    return cells


def by_hand(counts, y, new, genes=GENES, **settings):
    """The package's own model, and what it says of new cells."""
    with borrowed("celltypist", seed=0) as package:
        model = package.train(prepared(counts, genes), labels=y, n_jobs=1, **settings)
        cells = prepared(new, genes)
        if not model.scaler.with_mean:
            cells.X = cells.X.toarray()  # the package cannot do it while they are sparse
        return model, package.annotate(cells, model=model, majority_voting=False)


@pytest.fixture(scope="module")
def noisy():
    """Classes that are hard to tell apart, so that equal labels say something."""
    counts, y = toy(20)
    new, _ = toy(20, seed=1)
    rng = np.random.default_rng(2)
    return counts, rng.permutation(y), new


@pytest.mark.parametrize("classes", [2, 3])
def test_labels_and_probabilities_are_those_of_the_package_called_by_hand(noisy, classes):
    counts, y, new = noisy
    kept = np.isin(y, CLASSES[:classes])
    counts, y = counts[kept], y[kept]
    _, result = by_hand(counts, y, new, random_state=0)
    fitted = celltypist.fit(counts, y, seed=0, genes=GENES)
    probabilities = celltypist.predict_proba(fitted, new)
    called = fitted.classes_[probabilities.argmax(axis=1)]
    assert called.tolist() == result.predicted_labels["predicted_labels"].tolist()
    theirs = result.probability_matrix.to_numpy()
    np.testing.assert_allclose(probabilities, theirs / theirs.sum(axis=1, keepdims=True))


def test_the_largest_decision_wins_where_sigmoids_round_to_one_or_zero():
    decision = np.array([[40.0, 50.0, 0.0], [-900.0, -800.0, -1000.0]])
    shares = celltypist.probabilities(decision)
    assert shares.argmax(axis=1).tolist() == [1, 1]
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_training_cells_without_counts_are_left_out():
    counts, y = toy()
    empty = counts.copy().tolil()
    empty[0] = 0
    fitted = celltypist.fit(empty.tocsr(), y, seed=0, genes=GENES)
    expected = celltypist.fit(counts[1:], y[1:], seed=0, genes=GENES)
    np.testing.assert_array_equal(
        celltypist.predict_proba(fitted, counts), celltypist.predict_proba(expected, counts)
    )


def test_genes_named_twice_are_told_apart():
    counts, y = toy()
    genes = np.where(np.arange(40) < 2, "same", GENES)
    fitted = celltypist.fit(counts, y, seed=0, genes=genes)
    assert celltypist.predict_proba(fitted, counts).shape == (36, 3)


def test_borrowing_the_package_leaves_no_trace_in_the_process(monkeypatch):
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    counts, y = toy()
    root = logging.getLogger()
    before = random.getstate(), np.random.get_state()[1].tolist()
    handlers, level, filters = list(root.handlers), root.level, list(warnings.filters)
    with borrowed("celltypist", seed=1):
        os.environ["PL_GLOBAL_SEED"] = "1"
        random.random(), np.random.random()
    celltypist.fit(counts, y, seed=1, genes=GENES)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert (list(root.handlers), root.level, list(warnings.filters)) == (handlers, level, filters)
    assert "PL_GLOBAL_SEED" not in os.environ


def test_the_package_says_nothing(capfd, caplog):
    counts, y = toy()
    with caplog.at_level(logging.INFO):
        celltypist.predict_proba(celltypist.fit(counts, y, seed=0, genes=GENES), counts)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_package_that_is_not_installed_is_named():
    with (
        pytest.raises(Unavailable, match="no_such_package cannot be imported"),
        borrowed("no_such_package", seed=0),
    ):
        pass


@pytest.mark.parametrize("settings", [{}, {"use_SGD": True}, {"with_mean": False}])
def test_a_model_that_is_read_labels_as_the_package_does(noisy, tmp_path, settings):
    counts, y, new = noisy
    model, result = by_hand(counts, y, new, random_state=0, **settings)
    model.write(str(tmp_path / "model.pkl"))
    labels, probabilities = label_cells(read_model(tmp_path / "model.pkl"), new, GENES)
    assert labels.tolist() == result.predicted_labels["predicted_labels"].tolist()
    np.testing.assert_allclose(probabilities, result.probability_matrix.to_numpy())


def test_genes_that_the_model_lacks_or_the_cells_lack_do_no_harm(noisy, tmp_path):
    counts, y, new = noisy
    model, _ = by_hand(counts[:, :30], y, new[:, :30], GENES[:30])
    model.write(str(tmp_path / "model.pkl"))
    with borrowed("celltypist", seed=0) as package:
        expected = package.annotate(prepared(new[:, 10:], GENES[10:]), model=model)
    labels, _ = label_cells(read_model(tmp_path / "model.pkl"), new[:, 10:], GENES[10:])
    assert labels.tolist() == expected.predicted_labels["predicted_labels"].tolist()
    with pytest.raises(InputError, match="E_GENES_UNKNOWN"):
        label_cells(model, new[:, 30:], GENES[30:])


@pytest.fixture
def model_file(tmp_path):
    counts, y = toy()
    folder = tmp_path / "data" / "models"
    folder.mkdir(parents=True)
    model, _ = by_hand(counts, np.where(y == "T", "T cells", y), counts)
    model.write(str(folder / "toy.pkl"))
    return folder / "toy.pkl"


def test_a_model_is_found_by_its_name(model_file, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLTYPIST_FOLDER", str(tmp_path))
    for name in ("toy", "toy.pkl", model_file, str(model_file)):
        assert read_model(name).cell_types.tolist() == ["B", "NK", "T cells"]
    monkeypatch.chdir(model_file.parent)
    monkeypatch.setenv("CELLTYPIST_FOLDER", str(tmp_path / "elsewhere"))
    for name in ("toy", "toy.pkl", "..", ".", "", "nothing"):
        with pytest.raises(InputError, match=r"E_MODEL_MISSING.*download_models"):
            read_model(name)


def test_the_reference_keeps_the_classes_that_it_knows(model_file):
    counts, y = toy()
    fitted = reference.fit(counts, y, seed=0, genes=GENES, reference=model_file)
    assert fitted.classes_.tolist() == ["B", "NK"]
    probabilities = reference.predict_proba(fitted, counts)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    known = y != "T"
    called = fitted.classes_[probabilities.argmax(axis=1)]
    assert called[known].tolist() == y[known].tolist()


def test_a_reference_learns_nothing_from_labels(model_file):
    counts, y = toy()
    wrong = np.random.default_rng(0).permutation(y)
    first, second = (
        reference.predict_proba(
            reference.fit(counts, labels, seed=0, genes=GENES, reference=model_file), counts
        )
        for labels in (y, wrong)
    )
    np.testing.assert_array_equal(first, second)


def test_a_reference_without_our_labels_or_genes_is_unavailable(model_file):
    counts, y = toy()
    fit = METHODS["reference"].module.fit
    with pytest.raises(Unavailable, match="knows none of the labels: x"):
        fit(counts, np.full(36, "x"), seed=0, genes=GENES, reference=model_file)
    with pytest.raises(Unavailable, match="none of the 40 genes"):
        fit(counts, y, seed=0, genes=[f"other{i}" for i in range(40)], reference=model_file)
    with pytest.raises(Unavailable, match="no reference model was named"):
        fit(counts, y, seed=0, genes=GENES, reference=None)
