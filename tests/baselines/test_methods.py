import numpy as np
import pytest
from baselines.toys import CLASSES, GENES, toy
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from aidocell.baselines import METHODS, actinn, pca_knn, scanvi, singlecellnet
from aidocell.baselines.genes import log_normalise

# fine-tuning needs a checkpoint, see tests/train
ALONE = [name for name in METHODS if name != "finetune"]
LEARNING = [name for name in ALONE if name != "majority"]


def features(name, counts):
    return counts.toarray().astype(np.float32) if METHODS[name].needs == "embedding" else counts


@pytest.fixture(scope="module", autouse=True)
def small_settings():
    """Settings that learn, and learn fast, from a few dozen cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actinn, "RATE", 1e-2)
        patch.setattr(scanvi, "MOST_EPOCHS", 20)
        patch.setattr(scanvi, "LEAST_STEPS", 20)
        patch.setattr(singlecellnet, "TREES", 100)
        yield


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    """Fit a method by its name; the reference is a model of the same classes."""
    path = tmp_path_factory.mktemp("reference") / "toy.pkl"
    METHODS["celltypist"].module.fit(*toy(), seed=0, genes=GENES).model.write(str(path))
    extras = {"genes": GENES, "reference": path}

    def fit(name, counts, y, *, seed=0):
        method = METHODS[name]
        named = {key: extras[key] for key in method.takes}
        return method.module.fit(features(name, counts), y, seed=seed, **named)

    return fit


def probabilities_of(name, fitted, counts):
    return METHODS[name].module.predict_proba(fitted, features(name, counts))


@pytest.mark.parametrize("name", ALONE)
def test_probabilities_have_one_column_a_class_and_sum_to_one(name, fit):
    counts, y = toy()
    fitted = fit(name, counts, y)
    probabilities = probabilities_of(name, fitted, counts[:5])
    assert fitted.classes_.tolist() == CLASSES
    assert probabilities.shape == (5, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("name", LEARNING)
def test_separable_classes_are_told_apart_on_new_cells(name, fit):
    counts, y = toy()
    new, truth = toy(seed=1)
    fitted = fit(name, counts, y)
    called = probabilities_of(name, fitted, new).argmax(axis=1)
    assert fitted.classes_[called].tolist() == truth.tolist()


@pytest.mark.parametrize("name", ALONE)
def test_two_fits_agree(name, fit):
    counts, y = toy()
    first, second = (probabilities_of(name, fit(name, counts, y, seed=3), counts) for _ in range(2))
    # bit for bit, but for the order of additions in torch's products
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-6 if name == "scanvi" else 0)


@pytest.mark.parametrize("name", ALONE)
def test_order_of_training_cells_changes_nothing_that_matters(name, fit):
    counts, y = toy()
    shuffled = np.random.default_rng(1).permutation(len(y))
    expected = probabilities_of(name, fit(name, counts, y), counts)
    found = probabilities_of(name, fit(name, counts[shuffled], y[shuffled]), counts)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("name", ALONE)
def test_a_cell_is_called_the_same_alone_and_among_others(name, fit):
    counts, y = toy()
    new, _ = toy(seed=1)
    fitted = fit(name, counts, y)
    among = probabilities_of(name, fitted, new)
    for i in (0, len(y) - 1):
        alone = probabilities_of(name, fitted, new[i])
        np.testing.assert_allclose(alone[0], among[i], atol=1e-6)


def test_majority_gives_the_shares_of_the_training_cells():
    module = METHODS["majority"].module
    fitted = module.fit(np.zeros((4, 2)), np.array(["b", "a", "b", "b"]), seed=0)
    np.testing.assert_array_equal(
        module.predict_proba(fitted, np.zeros((2, 2))), [[0.25, 0.75]] * 2
    )


def test_counts_are_normalised_to_ten_thousand_and_empty_cells_stay_zero():
    counts = sparse.csr_matrix([[1, 3, 0], [0, 0, 0]])
    expected = [[np.log1p(2500), np.log1p(7500), 0], [0, 0, 0]]
    np.testing.assert_allclose(log_normalise(counts).toarray(), expected)
    assert counts.toarray().tolist() == [[1, 3, 0], [0, 0, 0]]


def test_genes_logistic_is_plain_logistic_regression_on_all_genes():
    counts, y = toy()
    dense = np.log1p(counts.toarray() / counts.sum(axis=1).A1[:, None] * 1e4)
    expected = LogisticRegression(max_iter=10_000).fit(dense, y).predict_proba(dense)
    module = METHODS["genes-logistic"].module
    found = module.predict_proba(module.fit(counts, y, seed=0), counts)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_genes_svm_decides_as_the_linear_machine_on_dense_genes(classes):
    counts, y = toy()
    counts, y = counts[np.isin(y, CLASSES[:classes])], y[np.isin(y, CLASSES[:classes])]
    new, _ = toy(seed=1)
    machine = LinearSVC(max_iter=10_000).fit(log_normalise(counts).toarray(), y)
    module = METHODS["genes-svm"].module
    fitted = module.fit(counts, y, seed=0)
    called = fitted.classes_[module.predict_proba(fitted, new).argmax(axis=1)]
    assert called.tolist() == machine.predict(log_normalise(new).toarray()).tolist()


def test_pca_logistic_equals_dense_z_scores_and_full_pca():
    counts, y = toy()
    dense = log_normalise(counts).toarray()
    pipeline = make_pipeline(
        StandardScaler(), PCA(35, svd_solver="full"), LogisticRegression(max_iter=10_000)
    )
    expected = pipeline.fit(dense, y).predict_proba(dense)
    module = METHODS["pca-logistic"].module
    found = module.predict_proba(module.fit(counts, y, seed=0), counts)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_pca_knn_equals_full_pca_and_neighbours():
    counts, y = toy()
    dense = log_normalise(counts).toarray()
    pipeline = make_pipeline(PCA(35, svd_solver="full"), KNeighborsClassifier(5))
    expected = pipeline.fit(dense, y).predict_proba(dense)
    module = METHODS["pca-knn"].module
    found = module.predict_proba(module.fit(counts, y, seed=0), counts)
    np.testing.assert_array_equal(found, expected)


def test_pca_knn_works_on_the_most_variable_genes_of_the_training_cells(monkeypatch):
    monkeypatch.setattr(pca_knn, "VARIABLE_GENES", 15)
    counts, y = toy()
    fitted = pca_knn.fit(counts, y, seed=0)
    variance = log_normalise(counts).toarray().var(axis=0)
    expected = np.argsort(variance)[-15:]
    assert sorted(fitted[0].get_support(indices=True)) == sorted(expected)


def test_fewer_cells_than_neighbours_is_no_error():
    module = METHODS["knn"].module
    X, y = np.array([[0.0], [1.0]]), np.array(["a", "b"])
    np.testing.assert_array_equal(
        module.predict_proba(module.fit(X, y, seed=0), X), [[0.5, 0.5]] * 2
    )


@pytest.mark.parametrize("name", ["logistic", "knn", "mlp"])
@pytest.mark.parametrize("classes", [2, 3])
def test_arrays_restore_the_classifier_exactly(name, classes):
    counts, y = toy()
    keep = np.isin(y, CLASSES[:classes])
    X, y = features(name, counts)[keep], y[keep]
    module = METHODS[name].module
    fitted = module.fit(X, y, seed=0)
    restored = module.from_arrays(module.to_arrays(fitted, X, y), fitted.classes_)
    new = features(name, toy(seed=1)[0])
    np.testing.assert_array_equal(
        module.predict_proba(restored, new), module.predict_proba(fitted, new)
    )


def test_arrays_of_a_perceptron_that_do_not_fit_are_refused():
    counts, y = toy()
    X, module = features("mlp", counts), METHODS["mlp"].module
    fitted = module.fit(X, y, seed=0)
    arrays = module.to_arrays(fitted, X, y)
    for name in ("hidden_coef", "hidden_intercept", "coef", "intercept"):
        with pytest.raises(ValueError, match="has shape"):
            module.from_arrays({**arrays, name: arrays[name][..., :-1]}, fitted.classes_)
