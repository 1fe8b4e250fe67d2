"""What becomes of methods that cannot run, and what those that do are given."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score

from aidocell.baselines import METHODS, Method, Unavailable, majority
from aidocell.errors import InputError, MachineError
from aidocell.tasks.annotate import evaluate, write_evaluation


class Recorded(Method):
    """A method whose module is made up."""

    module = None


def add_method(monkeypatch, name, fit, *, needs="counts", takes=(), package=None):
    method = Recorded(file="none", needs=needs, title=name, takes=takes, package=package)
    module = SimpleNamespace(fit=fit, predict_proba=majority.predict_proba)
    monkeypatch.setattr(Recorded, "module", module)
    monkeypatch.setitem(METHODS, name, method)


def run(toy, methods, **options):
    return evaluate(
        toy.labels, toy.cells, methods=methods, counts=toy.counts, **{"draws": 20, **options}
    )


def raising(error):
    def fit(X, y, *, seed, **extras):
        raise error

    return fit


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("a class has one cell\nand more"), "a class has one cell"),
        (ImportError("No module named 'theirs'"), "theirs: ImportError: No module named 'theirs'"),
        (ValueError("x\ny"), "theirs: ValueError: x"),
        (InputError("E_USAGE", "not installed", fix="install it"), "not installed"),
    ],
)
def test_a_package_that_fails_is_a_row_and_holds_up_nothing(
    toy, monkeypatch, caplog, error, reason
):
    add_method(monkeypatch, "theirs", raising(error), package="theirs")
    result = run(toy, ["theirs", "majority"])
    row = result.metrics.query("method == 'theirs'")
    assert row[["fold", "metric", "note"]].to_numpy().tolist() == [
        ["all", "macro_f1", f"unavailable: {reason}"]
    ]
    assert row[["value", "low", "high"]].isna().all(axis=None)
    assert result.summary["unavailable"] == {"theirs": reason}
    assert set(result.predictions["method"]) == {"majority"}
    assert "Traceback" in caplog.text


def test_a_method_that_fails_in_a_later_fold_has_no_figures_at_all(toy, monkeypatch):
    calls = []

    def fit(X, y, *, seed):
        calls.append(len(y))
        if len(calls) == 3:
            raise Unavailable("enough")
        return majority.fit(X, y, seed=seed)

    add_method(monkeypatch, "theirs", fit)
    result = run(toy, ["theirs", "majority"])
    assert len(calls) == 3
    assert len(result.metrics.query("method == 'theirs'")) == 1
    assert len(result.run_times.query("method == 'theirs'")) == 2


@pytest.mark.parametrize("package", [None, "theirs"])
def test_errors_that_are_ours_or_the_machine_s_are_raised(toy, monkeypatch, package):
    full = MachineError("E_DISK_FULL", "no space", fix="make some")
    add_method(monkeypatch, "theirs", raising(full), package=package)
    with pytest.raises(MachineError):
        run(toy, ["theirs", "majority"])
    add_method(monkeypatch, "ours", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run(toy, ["ours"])


@pytest.mark.parametrize("id", ["E_MODEL_MISSING", "E_GPU_MEMORY"])
def test_weights_or_memory_that_lack_are_said_in_the_row(toy, monkeypatch, id):
    error = (MachineError if id == "E_GPU_MEMORY" else InputError)(id, "too little", fix="x")
    add_method(monkeypatch, "ours", raising(error))
    assert run(toy, ["ours", "majority"]).summary["unavailable"] == {"ours": "too little"}


def test_tables_are_written_though_nothing_could_run(toy, monkeypatch, tmp_path):
    add_method(monkeypatch, "theirs", raising(Unavailable("=no")), package="theirs")
    result = run(toy, ["theirs"])
    write_evaluation(result, tmp_path / "out")
    assert "nothing-ran" in {note["id"] for note in result.summary["warnings"]}
    metrics = pd.read_csv(tmp_path / "out/metrics.tsv", sep="\t")
    assert metrics["note"].tolist() == ["unavailable: =no"]
    predictions = pd.read_parquet(tmp_path / "out/predictions.parquet")
    assert list(predictions.columns[:5]) == ["cell", "fold", "method", "true", "predicted"]
    for name in ("per_class", "confusion", "comparisons", "calibration"):
        assert len(pd.read_csv(tmp_path / f"out/{name}.tsv", sep="\t")) == 0


def test_a_method_gets_exactly_what_it_takes_of_the_training_cells(toy, monkeypatch):
    seen = []

    def fit(X, y, *, seed, **extras):
        seen.append((len(y), extras))
        return majority.fit(X, y, seed=seed)

    add_method(monkeypatch, "ours", fit, takes=("genes", "groups", "validation"))
    genes = [f"g{i}" for i in range(40)]
    settings = {"genes": genes, "reference": "unused"}
    run(toy, ["ours"], groups=toy.donors, folds=4, settings=settings)
    for cells, extras in seen:
        assert set(extras) == {"genes", "groups", "validation"}
        assert extras["genes"] is genes
        assert len(extras["groups"]) == cells == 45
        assert len(np.unique(extras["groups"])) == 3
        assert extras["validation"] is None


@pytest.mark.parametrize(
    ("takes", "text"),
    [(("network",), "--model"), (("reference",), "--reference"), (("genes",), "genes")],
)
def test_a_method_without_its_settings_is_refused(toy, monkeypatch, takes, text):
    add_method(monkeypatch, "theirs", majority.fit, takes=takes, package="theirs")
    with pytest.raises(InputError, match=text) as caught:
        run(toy, ["theirs"])
    assert caught.value.id == "E_CONFIG"


def test_a_type_that_a_method_does_not_know_is_in_its_note(toy, monkeypatch):
    def fit(X, y, *, seed):
        return majority.fit(X, y[y != "T"], seed=seed)

    add_method(monkeypatch, "ours", fit)
    notes = run(toy, ["ours"]).metrics.query("fold == 'all'")["note"].unique()
    assert notes.tolist() == ["cannot call 'T'"]


def test_probabilities_that_are_no_numbers_are_not_taken_for_some(toy, monkeypatch):
    add_method(monkeypatch, "theirs", majority.fit, package="theirs")
    monkeypatch.setattr(
        METHODS["theirs"].module,
        "predict_proba",
        lambda fitted, X: np.full((X.shape[0], 3), np.nan),
    )
    assert "no numbers" in run(toy, ["theirs"]).summary["unavailable"]["theirs"]


def test_repeats_predict_each_cell_anew_and_pool_all_predictions(make_toy):
    toy = make_toy(60)
    labels = np.random.default_rng(0).permutation(toy.labels)
    result = evaluate(
        labels, toy.cells, methods=["pca-knn"], counts=toy.counts, folds=3, repeats=4, draws=50
    )
    table = result.predictions
    assert sorted(table["fold"].unique()) == list(range(1, 13))
    assert table.groupby("cell")["fold"].nunique().unique().tolist() == [4]
    assert table.groupby((table["fold"] - 1) // 3)["cell"].nunique().tolist() == [60] * 4
    values = result.metrics.set_index(["fold", "metric"])
    pooled = f1_score(table["true"], table["predicted"], average="macro")
    assert values.loc[("all", "macro_f1"), "value"] == pytest.approx(pooled, rel=1e-12)
    balanced = balanced_accuracy_score(table["true"], table["predicted"])
    assert values.loc[("all", "balanced_accuracy"), "value"] == pytest.approx(balanced)
    assert result.per_class["support"].sum() == 60
    macro = result.metrics.query("metric == 'macro_f1'").set_index("fold")["value"]
    by_fold = macro.drop(["all", "mean"]).to_numpy()
    half = stats.t.ppf(0.975, 11) * np.sqrt(by_fold.var(ddof=1) * (1 / 12 + 20 / 40))
    mean = values.loc[("mean", "macro_f1")]
    expected = [by_fold.mean(), by_fold.mean() - half, by_fold.mean() + half]
    assert mean[["value", "low", "high"]].tolist() == pytest.approx(expected)


def test_each_donor_is_left_out_once(toy):
    result = run(toy, ["genes-logistic", "majority"], groups=toy.donors, leave_one_group_out=True)
    donor = pd.Series(toy.donors, index=toy.cells)[result.predictions["cell"]].to_numpy()
    names = result.summary["groups_of_fold"]
    assert names == {"1": ["d0"], "2": ["d1"], "3": ["d2"], "4": ["d3"]}
    assert [names[str(n)][0] for n in result.predictions["fold"]] == donor.tolist()
    assert result.summary["folds"] == 4


@pytest.mark.parametrize("options", [{}, {"repeats": 2, "groups": ["a", "b"] * 30}])
def test_leaving_groups_out_needs_groups_and_no_repeats(toy, options):
    with pytest.raises(InputError) as caught:
        run(toy, ["majority"], leave_one_group_out=True, **options)
    assert caught.value.id == "E_CONFIG"
