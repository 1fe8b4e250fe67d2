"""Methods that learn from one file and are judged by another."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from labelled_stores import stores, write_sample
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from aidocell.baselines import METHODS, majority
from aidocell.baselines.genes import log_normalise
from aidocell.errors import InputError
from aidocell.tasks.annotate import evaluate_split
from aidocell.tasks.evaluate_files import annotate_evaluate
from aidocell.tasks.labelled import select
from aidocell.tasks.stored import Stores


def labelled(toy, *, rows=slice(None), groups=False, **changes):
    given = {
        "labels": toy.labels[rows],
        "cells": toy.cells[rows],
        "counts": toy.counts[rows],
        "groups": toy.donors[rows] if groups else None,
        **changes,
    }
    return select(**given)


@pytest.fixture
def pair(make_toy):
    return make_toy(60, seed=0), make_toy(45, seed=1)


def test_the_figure_is_that_of_scikit_learn_by_hand(pair):
    train, test = pair
    test.labels[:6] = "NK"  # some are called wrong
    result = evaluate_split(
        labelled(train), labelled(test), methods=["genes-logistic", "majority"], draws=50
    )
    by_hand = LogisticRegression(max_iter=5000).fit(log_normalise(train.counts), train.labels)
    expected = by_hand.predict(log_normalise(test.counts))
    found = result.predictions.query("method == 'genes-logistic'").set_index("cell")["predicted"]
    assert found[test.cells].tolist() == expected.tolist()
    values = result.metrics.query("method == 'genes-logistic' and metric == 'macro_f1'")
    assert values["fold"].tolist() == ["all", "1"]
    assert values["value"].tolist() == [f1_score(test.labels, expected, average="macro")] * 2
    assert result.summary["split"] == "files"
    assert result.summary["test"]["cells"]["used"] == 45


def test_classes_of_one_file_alone_are_named_and_hold_up_nothing(pair):
    train, test = pair
    test.labels[test.labels == "T"] = "new"
    result = evaluate_split(labelled(train), labelled(test), methods=["genes-logistic"], draws=20)
    texts = [n["text"] for n in result.summary["warnings"] if n["id"] == "class-in-one-file"]
    assert "'new'" in texts[0]
    assert "'T'" in texts[1]
    assert (result.predictions["p_new"] == 0).all()
    assert "p_T" in result.predictions


def test_test_cells_of_one_class_can_judge(pair):
    train, test = pair
    one = labelled(test, rows=test.labels == "B", least_classes=1)
    result = evaluate_split(labelled(train), one, methods=["genes-logistic"], draws=20)
    assert set(result.predictions["true"]) == {"B"}


def test_validation_cells_are_passed_on_but_neither_learned_from_nor_judged_by(
    pair, make_toy, monkeypatch
):
    valid, seen, fit = labelled(make_toy(30, seed=2)), {}, majority.fit

    def recorded(X, y, *, seed, validation):
        seen.update(cells=len(y), validation=validation)
        return fit(X, y, seed=seed)

    monkeypatch.setattr(majority, "fit", recorded)
    method = replace(METHODS["majority"], needs="counts", takes=("validation",))
    monkeypatch.setitem(METHODS, "majority", method)
    train, test = map(labelled, pair)
    result = evaluate_split(train, test, valid=valid, methods=["majority"], draws=20)
    X, y = seen["validation"]
    assert (valid.counts != X).nnz == 0
    assert y.tolist() == valid.labels.tolist()
    assert seen["cells"] == 60
    assert set(result.predictions["cell"]) == set(test.cells)
    assert result.summary["validation"]["cells"]["used"] == 30


def test_validation_cells_that_nobody_looks_at_are_warned_of(pair, make_toy):
    train, test = map(labelled, pair)
    valid = labelled(make_toy(30, seed=2))
    result = evaluate_split(train, test, valid=valid, methods=["majority"], draws=10)
    assert "validation-unused" in {note["id"] for note in result.summary["warnings"]}


@pytest.mark.parametrize("between", ["train", "valid"])
def test_a_cell_in_two_of_the_files_is_refused(pair, make_toy, between):
    train, test = pair
    valid = make_toy(30, seed=2)
    source = {"train": train, "valid": valid}[between]
    test.counts = sparse.vstack([test.counts[:-1], source.counts[4]], format="csr")
    parts = {"valid": labelled(valid), "methods": ["majority"]}
    with pytest.raises(InputError, match="share 1 cell") as caught:
        evaluate_split(labelled(train), labelled(test), **parts)
    assert caught.value.id == "E_GROUP_LEAK"
    borne = evaluate_split(labelled(train), labelled(test), **parts, draws=10, allow_leaks=True)
    assert borne.summary["leaks"] == {"groups": 0, "cells": 1}
    assert "leak" in {note["id"] for note in borne.summary["warnings"]}


def test_a_donor_in_both_files_is_refused(pair):
    train, test = pair
    test.donors = np.char.add("e", test.donors.astype(str)).astype(object)
    evaluate_split(
        labelled(train, groups=True), labelled(test, groups=True), methods=["majority"], draws=10
    )
    test.donors[0] = " d1 "
    with pytest.raises(InputError, match=r"share 1 group \(first: 'd1'\)") as caught:
        evaluate_split(
            labelled(train, groups=True), labelled(test, groups=True), methods=["majority"]
        )
    assert caught.value.id == "E_GROUP_LEAK"


def test_the_order_of_the_cells_of_either_file_changes_nothing(pair):
    train, test = pair
    rng = np.random.default_rng(0)
    first = evaluate_split(labelled(train), labelled(test), methods=["pca-knn"], draws=20)
    second = evaluate_split(
        labelled(train, rows=rng.permutation(60)),
        labelled(test, rows=rng.permutation(45)),
        methods=["pca-knn"],
        draws=20,
    )
    pd.testing.assert_frame_equal(first.metrics, second.metrics)
    pd.testing.assert_frame_equal(first.predictions, second.predictions)


# ---------------------------------------------------------------- stores


def written(toy, folder, provenance, *, donor="donor", **changes):
    obs = {"cell_type": pd.Categorical(toy.labels), donor: toy.donors}
    place = write_sample(toy, folder, provenance, obs=obs, **changes)
    return {name: stores([place], name) for name in ("embeddings", "counts")}


def judged(tmp_path, train, test, **options):
    return annotate_evaluate(
        tmp_path / "out",
        label="cell_type",
        **train,
        test=Stores(**test),
        overwrite=True,
        **{"methods": ["majority"], **options},
    )


def test_stores_are_judged_as_their_cells_are(pair, provenance, tmp_path):
    train, test = pair
    files = [written(toy, tmp_path / f"{i}", provenance) for i, toy in enumerate(pair)]
    result = judged(tmp_path, *files, methods=["knn", "genes-logistic"])
    expected = evaluate_split(labelled(train), labelled(test), methods=["genes-logistic"])
    found = result.predictions.query("method == 'genes-logistic'").reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected.predictions)
    assert set(result.predictions["method"]) == {"knn", "genes-logistic"}


def test_a_leaked_cell_is_found_though_it_has_no_label(pair, provenance, tmp_path):
    train, test = pair
    test.counts = sparse.vstack([test.counts[:-1], train.counts[4]], format="csr")
    test.labels[-1] = None
    files = [written(toy, tmp_path / f"{i}", provenance) for i, toy in enumerate(pair)]
    with pytest.raises(InputError, match=train.cells[4]) as caught:
        judged(tmp_path, *files)
    assert caught.value.id == "E_GROUP_LEAK"
    assert not (tmp_path / "out").exists()


def test_embeddings_alone_tell_a_leak(pair, provenance, tmp_path):
    train, test = pair
    test.embeddings[7] = train.embeddings[3]
    files = [written(toy, tmp_path / f"{i}", provenance) for i, toy in enumerate(pair)]
    alone = [{"embeddings": one["embeddings"]} for one in files]
    with pytest.raises(InputError) as caught:
        judged(tmp_path, *alone)
    assert caught.value.id == "E_GROUP_LEAK"


def test_files_of_other_genes_or_checkpoints_are_refused(pair, provenance, tmp_path):
    train = written(pair[0], tmp_path / "0", provenance)
    for name, changes in {
        "genes": {"genes_sha256": "9" * 64},
        "model": {"model": {"id": "other", "sha256": "8" * 64}},
    }.items():
        test = written(pair[1], tmp_path / name, provenance, **changes)
        with pytest.raises(InputError) as caught:
            judged(tmp_path, train, test)
        assert caught.value.id == "E_STORE_MISMATCH"


def test_donors_that_nobody_held_out_are_warned_of(pair, provenance, tmp_path):
    files = [
        written(toy, tmp_path / f"{i}", provenance, donor="Donor_ID") for i, toy in enumerate(pair)
    ]
    by_files = judged(tmp_path, *files)
    by_folds = annotate_evaluate(
        tmp_path / "folds", label="cell_type", methods=["majority"], **files[0]
    )
    for result, text in ((by_files, "in both files"), (by_folds, "names 4 donors")):
        notes = [n for n in result.summary["warnings"] if n["id"] == "donors-not-held-out"]
        assert text in notes[0]["text"]
    held_out = annotate_evaluate(
        tmp_path / "held", label="cell_type", methods=["majority"], group="Donor_ID", folds=2,
        **files[0],
    )  # fmt: skip
    assert held_out.summary["warnings"] == []
