import numpy as np
import pytest
from anndata import AnnData
from baselines.toys import CLASSES, toy
from sklearn.neighbors import KNeighborsClassifier

from aidocell.baselines import ingest
from aidocell.baselines.packages import borrowed

# each process compiles pynndescent's search for a minute
pytestmark = pytest.mark.xdist_group("ingest")


@pytest.fixture(scope="module")
def fitted():
    counts, y = toy()
    return ingest.fit(counts, np.random.default_rng(0).permutation(y), seed=0)


@pytest.fixture(scope="module")
def new():
    return toy(seed=1)[0]


@pytest.fixture(scope="module")
def probabilities(fitted, new):
    return ingest.predict_proba(fitted, new)


def centred(fitted, counts):
    return ingest._centred(ingest._normalised(counts), fitted.columns, fitted.mean)


def test_components_and_neighbours_are_those_of_centred_genes(fitted, new, probabilities):
    """Every step by scikit-learn, with all neighbours found; ingest looks for most of them."""
    assert fitted.classes_.tolist() == CLASSES
    components = fitted.cells.varm["PCs"]
    known, asked = fitted.cells.X @ components, centred(fitted, new).X @ components
    machine = KNeighborsClassifier(ingest.NEIGHBOURS).fit(known, fitted.cells.obs["label"])
    np.testing.assert_allclose(probabilities, machine.predict_proba(asked), atol=1e-9)
    np.testing.assert_allclose(fitted.cells.X.mean(axis=0), 0, atol=1e-5)


def test_labels_are_those_of_ingest_called_by_hand(fitted, new, probabilities):
    cells = AnnData(centred(fitted, new).X)
    cells.var_names = fitted.cells.var_names
    with borrowed("scanpy", seed=0) as scanpy, ingest._one_search_tree():
        scanpy.tl.ingest(cells, fitted.cells, obs="label", embedding_method="pca")
    assert fitted.classes_[probabilities.argmax(axis=1)].tolist() == cells.obs["label"].tolist()


def test_a_cell_is_called_the_same_alone_and_among_others(fitted, new, probabilities):
    np.testing.assert_array_equal(ingest.predict_proba(fitted, new[7])[0], probabilities[7])
    assert ingest.predict_proba(fitted, new[:0]).shape == (0, 3)


def test_order_of_training_cells_changes_nothing_that_matters(new):
    counts, y = toy()
    shuffled = np.random.default_rng(1).permutation(len(y))
    expected = ingest.predict_proba(ingest.fit(counts, y, seed=0), new)
    found = ingest.predict_proba(ingest.fit(counts[shuffled], y[shuffled], seed=0), new)
    np.testing.assert_array_equal(found, expected)
    assert np.array(CLASSES)[expected.argmax(axis=1)].tolist() == toy(seed=1)[1].tolist()


def test_fewer_cells_than_neighbours_are_no_error(new):
    counts, y = toy(2)
    assert ingest.predict_proba(ingest.fit(counts, y, seed=0), new).shape == (36, 3)
