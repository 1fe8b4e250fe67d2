import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score

from aidocell.baselines import METHODS, logistic
from aidocell.errors import InputError
from aidocell.records import read_record
from aidocell.tasks.annotate import TABLES, evaluate, write_evaluation

EVERY = [name for name, method in METHODS.items() if method.quick and name != "mlp"]  # slow
LEARNING = [name for name in EVERY if name != "majority"]


def run(toy, *, labels=None, methods=EVERY, rows=slice(None), **options):
    labels = toy.labels if labels is None else labels
    return evaluate(
        labels[rows],
        toy.cells[rows],
        methods=methods,
        embeddings=toy.embeddings[rows],
        counts=toy.counts[rows],
        **{"draws": 50, **options},
    )


def pooled(evaluation, metric="macro_f1"):
    rows = evaluation.metrics.query("fold == 'all' and metric == @metric")
    return rows.set_index("method")["value"]


def test_separable_classes_reach_one_and_majority_does_not(toy):
    values = pooled(run(toy))
    assert (values[LEARNING] == 1).all()
    assert values["majority"] == pytest.approx(1 / 6)  # one class of three: F1 0.5, 0 and 0


def test_shuffled_labels_give_chance_for_every_method(make_toy):
    toy = make_toy(300)
    labels = np.random.default_rng(0).permutation(toy.labels)
    values = pooled(run(toy, labels=labels, methods=[*EVERY, "mlp"], folds=3), "accuracy")
    assert values.between(1 / 3 - 0.1, 1 / 3 + 0.1).all()


def test_pooled_macro_f1_is_that_of_all_out_of_fold_predictions(make_toy):
    toy = make_toy(90)
    labels = toy.labels.copy()
    labels[::4] = "B"
    result = run(toy, labels=labels)
    values = result.metrics.set_index(["method", "fold", "metric"])["value"]
    for name, table in result.predictions.groupby("method"):
        expected = f1_score(table["true"], table["predicted"], average="macro", zero_division=0)
        assert pooled(result)[name] == expected
        for fold, part in table.groupby("fold"):
            expected = f1_score(part["true"], part["predicted"], average="macro", zero_division=0)
            assert values[name, str(fold), "macro_f1"] == expected


@pytest.mark.parametrize("name", EVERY)
def test_no_method_sees_the_cells_it_is_tested_on(toy, name):
    """Whatever the test cells of a fold hold, the method fitted for that fold is the same."""
    fold = run(toy, methods=["majority"]).predictions.set_index("cell")["fold"]
    in_first = (fold[toy.cells] == 1).to_numpy()
    before = run(toy, methods=[name]).predictions.set_index("cell")
    # one test cell of fold 1 stays as it is: its prediction shows the fitted method
    witness = np.flatnonzero(in_first)[0]
    changed = in_first.copy()
    changed[witness] = False
    counts = toy.counts.tolil()
    counts[changed] = np.random.default_rng(0).poisson(50, (changed.sum(), 40))
    toy.counts = counts.tocsr()
    toy.embeddings[changed] = np.random.default_rng(1).normal(size=(changed.sum(), 8)) * 1000
    after = run(toy, methods=[name]).predictions.set_index("cell")
    cell = toy.cells[witness]
    probabilities = [column for column in before if column.startswith("p_")]
    assert before.loc[cell, "fold"] == after.loc[cell, "fold"] == 1
    assert before.loc[cell, probabilities].tolist() == after.loc[cell, probabilities].tolist()


def test_the_order_of_the_cells_changes_nothing(toy):
    order = np.random.default_rng(2).permutation(60)
    first, second = run(toy), run(toy, rows=order)
    for name in (*TABLES, "predictions"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))
    assert first.summary == second.summary


def test_no_donor_is_on_both_sides(toy):
    result = run(toy, methods=["majority"], folds=4, groups=toy.donors)
    donor = pd.Series(toy.donors, index=toy.cells)[result.predictions["cell"]].to_numpy()
    assert result.predictions.groupby(donor)["fold"].nunique().tolist() == [1, 1, 1, 1]
    assert result.summary["groups"] == 4


def test_copies_of_a_cell_are_not_called_by_their_twin(toy):
    toy.counts = toy.counts[np.arange(60) // 6 * 6]  # ten cells, six times each
    toy.embeddings = toy.embeddings[np.arange(60) // 6 * 6]
    labels = np.array(["x", "y"] * 30, dtype=object)[np.arange(60) // 6]
    labels = np.random.default_rng(3).permutation(labels.reshape(10, 6), axis=0).ravel()
    result = run(toy, labels=labels, methods=["knn"], folds=2)
    assert "equal-cells" in {w["id"] for w in result.summary["warnings"]}
    sets = pd.Series(np.arange(60) // 6, index=toy.cells)[result.predictions["cell"]].to_numpy()
    assert result.predictions.groupby(sets)["fold"].nunique().max() == 1


def test_cells_without_label_and_small_classes_are_counted(toy):
    labels = pd.Series(toy.labels).replace({"T": None})
    labels[:3] = "rare"
    result = run(toy, labels=labels.to_numpy(), min_cells_per_class=5)
    assert result.summary["cells"] == {
        "seen": 60,
        "used": 38,
        "unlabelled": 19,
        "ungrouped": 0,
        "rare": 3,
        "not_drawn": 0,
    }
    assert result.summary["labels"] == {"B": 19, "NK": 19}
    assert result.summary["classes_dropped"] == {"rare": 3}
    assert [w["id"] for w in result.summary["warnings"]] == ["cells-unlabelled", "classes-dropped"]
    assert len(result.predictions) == 38 * len(EVERY)


def test_a_class_missing_from_training_gets_probability_zero(toy):
    labels, donors = toy.labels.copy(), toy.donors.copy()
    labels[donors == "d0"] = np.where(labels[donors == "d0"] == "T", "odd", "B")
    result = run(toy, labels=labels, methods=["logistic"], folds=4, groups=donors)
    odd = result.predictions.query("true == 'odd'")
    assert (odd["p_odd"] == 0).all()
    assert "class-in-one-fold" in {w["id"] for w in result.summary["warnings"]}


def test_a_solver_that_stops_short_is_a_warning_of_the_result(toy, monkeypatch, recwarn, caplog):
    monkeypatch.setattr(logistic, "MAX_ITERATIONS", 1)
    result = run(toy, methods=["logistic"], folds=2)
    notes = [w["text"] for w in result.summary["warnings"] if w["id"] == "not-converged"]
    assert [note.split(":")[0] for note in notes] == ["logistic, fold 1", "logistic, fold 2"]
    assert notes[0] in caplog.text
    assert not [w for w in recwarn if issubclass(w.category, ConvergenceWarning)]


def test_comparisons_hold_both_directions_of_every_pair(toy):
    table = run(toy, methods=["knn", "genes-logistic", "majority"]).comparisons
    assert len(table) == 3 * 2 * 3
    keys = ["method", "reference", "metric"]
    forward = table.set_index(keys)["difference"]
    for (method, reference, metric), difference in forward.items():
        assert forward[reference, method, metric] == pytest.approx(-difference)


def test_methods_without_embeddings_or_counts_run_alone(toy):
    only_counts = evaluate(
        toy.labels, toy.cells, methods=["genes-logistic", "majority"], counts=toy.counts, draws=20
    )
    only_vectors = evaluate(
        toy.labels, toy.cells, methods=["knn", "majority"], embeddings=toy.embeddings, draws=20
    )
    assert len(only_counts.predictions) == len(only_vectors.predictions) == 120


@pytest.mark.parametrize(
    ("methods", "text"),
    [
        (["logistik"], "'logistik' is no method"),
        ([], "no method"),
        (["knn", "knn"], "'knn' is named twice"),
        (["genes-logistic"], "needs raw counts"),
    ],
)
def test_methods_that_cannot_run_are_refused(toy, methods, text):
    with pytest.raises(InputError, match=text) as caught:
        evaluate(toy.labels, toy.cells, methods=methods, embeddings=toy.embeddings)
    assert caught.value.id == "E_CONFIG"


def test_labels_that_look_alike_are_warned_of(toy):
    labels = toy.labels.copy()
    labels[labels == "B"] = np.resize(["B", "B ", "b", "B\u200b"], (labels == "B").sum())
    summary = evaluate(labels, toy.cells, methods=["majority"], embeddings=toy.embeddings).summary
    (note,) = [note for note in summary["warnings"] if note["id"] == "labels-alike"]
    for name in ("'B'", "'B '", "'b'", r"'B\u200b'"):
        assert name in note["text"]


def test_input_that_does_not_fit_is_refused(toy):
    def attempt(**changes):
        given = {"labels": toy.labels, "cells": toy.cells, "embeddings": toy.embeddings, **changes}
        with pytest.raises(InputError) as caught:
            evaluate(methods=["knn"], **given)
        return caught.value.id

    broken = toy.embeddings.copy()
    broken[3, 2] = np.nan
    assert attempt(cells=["same"] * 60) == "E_CELL_NAMES"
    assert attempt(cells=["", *toy.cells[1:]]) == "E_CELL_NAMES"
    assert attempt(embeddings=toy.embeddings[:-1]) == "E_MATRIX_SHAPE"
    assert attempt(labels=toy.labels[:-1]) == "E_MATRIX_SHAPE"
    assert attempt(embeddings=broken) == "E_NOT_FINITE"
    assert attempt(counts=-toy.counts) == "E_NEGATIVE"
    assert attempt(labels=[None] * 60) == "E_LABEL_MISSING"
    assert attempt(labels=["one"] * 60) == "E_LABEL_CLASSES"


def test_written_tables_are_the_evaluation(toy, tmp_path):
    result = run(toy)
    write_evaluation(result, tmp_path / "annotate")
    assert sorted(p.name for p in (tmp_path / "annotate").iterdir()) == [
        "calibration.tsv",
        "comparisons.tsv",
        "confusion.tsv",
        "metrics.tsv",
        "per_class.tsv",
        "predictions.parquet",
        "summary.json",
    ]
    for name in TABLES:
        given = getattr(result, name)
        table = pd.read_csv(
            tmp_path / "annotate" / f"{name}.tsv",
            sep="\t",
            dtype={"fold": str} if name == "metrics" else {},
            float_precision="round_trip",
        ).fillna({"note": ""})
        pd.testing.assert_frame_equal(table, given, check_dtype=False)
    predictions = pd.read_parquet(tmp_path / "annotate" / "predictions.parquet")
    assert predictions.columns.tolist() == [
        *("cell", "fold", "method", "true", "predicted"),
        *("p_B", "p_NK", "p_T"),
    ]
    summary = read_record(tmp_path / "annotate" / "summary.json")
    del summary["tables"]  # what the tables beside it are, by sha256
    assert summary == result.summary


def test_equal_work_gives_equal_bytes(toy, tmp_path):
    for name in ("one", "two"):
        write_evaluation(run(toy, methods=["logistic", "majority"]), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_folder_that_is_there_is_kept_unless_it_may_be_replaced(toy, tmp_path):
    result = run(toy, methods=["majority"])
    write_evaluation(result, tmp_path / "out")
    with pytest.raises(InputError) as caught:
        write_evaluation(result, tmp_path / "out")
    assert caught.value.id == "E_OUTPUT_EXISTS"
    (tmp_path / "out" / "old").touch()
    write_evaluation(result, tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "old").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
