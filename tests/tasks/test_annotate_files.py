import json

import numpy as np
import pandas as pd
import pytest
from labelled_stores import stores, write_sample

from aidocell.baselines import METHODS
from aidocell.errors import InputError
from aidocell.tasks.annotate import evaluate
from aidocell.tasks.annotate_files import annotate_apply, annotate_train
from aidocell.tasks.evaluate_files import annotate_evaluate


@pytest.fixture
def study(make_toy, provenance, tmp_path):
    """Two samples with equal barcodes."""
    return [
        write_sample(make_toy(seed=seed), tmp_path / name, provenance)
        for seed, name in enumerate(["s1", "s2"])
    ]


def test_a_study_is_evaluated_over_all_its_samples(study, tmp_path):
    result = annotate_evaluate(
        tmp_path / "out",
        label="cell_type",
        embeddings=stores(study, "embeddings"),
        counts=stores(study, "counts"),
        samples=["s1", "s2"],
        group="sample",
        folds=2,
    )
    assert result.summary["methods"][:2] == ["logistic", "knn"]
    assert result.summary["methods"] == [name for name, m in METHODS.items() if m.quick]
    predictions = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    samples = predictions["cell"].str.split(":").str[0]
    assert set(samples) == {"s1", "s2"}
    assert predictions.groupby(samples)["fold"].nunique().tolist() == [1, 1]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["label"], summary["group"]) == ("cell_type", "sample")
    assert summary["embedding"]["model"]["id"] == "some/model"


def test_counts_are_matched_to_the_embedded_cells_by_name(toy, provenance, tmp_path):
    embedded = np.random.default_rng(0).permutation(60)[:45]
    folder = write_sample(toy, tmp_path / "s", provenance, embedded=embedded)
    found = annotate_evaluate(
        tmp_path / "out",
        label="cell_type",
        embeddings=stores([folder], "embeddings"),
        counts=stores([folder], "counts"),
        methods=["genes-logistic"],
    )
    expected = evaluate(
        toy.labels[embedded],
        toy.cells[embedded],
        methods=["genes-logistic"],
        counts=toy.counts[embedded],
    )
    pd.testing.assert_frame_equal(found.predictions, expected.predictions)


def test_counts_alone_are_enough_for_the_methods_on_genes(study, tmp_path):
    result = annotate_evaluate(
        tmp_path / "out", label="cell_type", counts=stores(study[:1], "counts")
    )
    assert result.summary["methods"] == ["genes-logistic", "pca-logistic", "pca-knn", "majority"]
    assert result.summary["embedding"] is None


def test_counts_of_something_else_are_refused(study, tmp_path):
    with pytest.raises(InputError, match="counts digest") as caught:
        annotate_evaluate(
            tmp_path / "out",
            label="cell_type",
            embeddings=stores(study[:1], "embeddings"),
            counts=stores(study[1:], "counts"),
        )
    assert caught.value.id == "E_STORE_MISMATCH"


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"id": "other", "sha256": "8" * 64}},
        {"genes_sha256": "8" * 64},
        {"options": {"pooling": "max", "precision": "auto", "attention": "auto"}},
        {"options": {"pooling": "mean", "precision": "bfloat16", "attention": "auto"}},
    ],
)
def test_samples_of_different_runs_are_not_mixed(study, make_toy, provenance, tmp_path, changes):
    other = write_sample(make_toy(seed=3), tmp_path / "s3", provenance, **changes)
    with pytest.raises(InputError, match="s3") as caught:
        annotate_train(
            stores([study[0], other], "embeddings"),
            tmp_path / "c",
            label="cell_type",
            samples=["s1", "s3"],
        )
    assert caught.value.id == "E_STORE_MISMATCH"
    assert not (tmp_path / "c").exists()


def test_train_and_apply_label_another_sample(study, make_toy, tmp_path):
    annotate_train(
        stores(study[:1], "embeddings"), tmp_path / "c", label="cell_type", group="donor", folds=4
    )
    card = (tmp_path / "c" / "README.md").read_text()
    assert "cells of one donor were never on both sides" in card
    table = annotate_apply(
        stores(study[1:], "embeddings"), tmp_path / "out.parquet", classifier=tmp_path / "c"
    )
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), table)
    other = make_toy(seed=1)
    assert table["cell"].tolist() == other.cells.tolist()
    assert (table["predicted"] == other.labels).mean() > 0.9


def test_cells_of_a_study_carry_their_sample(study, tmp_path):
    both = {"samples": ["s1", "s2"]}
    annotate_train(stores(study, "embeddings"), tmp_path / "c", label="cell_type", **both)
    table = annotate_apply(
        stores(study, "embeddings"), tmp_path / "out.parquet", classifier=tmp_path / "c", **both
    )
    assert table["cell"].is_unique
    assert table["cell"].str.match(r"s[12]:cell\d{3}").all()


def test_a_sample_without_the_label_column_is_counted_as_unlabelled(
    study, make_toy, provenance, tmp_path
):
    bare = write_sample(make_toy(seed=3), tmp_path / "s3", provenance, obs={"donor": "d"})
    result = annotate_evaluate(
        tmp_path / "out",
        label="cell_type",
        embeddings=stores([study[0], bare], "embeddings"),
        samples=["s1", "s3"],
        methods=["majority"],
    )
    assert result.summary["cells"]["unlabelled"] == 60


@pytest.mark.parametrize(("option", "value"), [("label", "celltype"), ("group", "patient")])
def test_a_missing_column_is_refused_with_those_that_are_there(study, tmp_path, option, value):
    given = {"label": "cell_type", option: value}
    with pytest.raises(InputError, match="cell_type, donor") as caught:
        annotate_evaluate(tmp_path / "out", embeddings=stores(study[:1], "embeddings"), **given)
    assert caught.value.id == "E_LABEL_MISSING"
    assert f"--{option}" in caught.value.fix
    assert not (tmp_path / "out").exists()


def test_stores_of_the_wrong_kind_are_named(study, tmp_path):
    for kind, given in [("embeddings", "counts"), ("counts", "embeddings")]:
        with pytest.raises(InputError, match=f"no {kind}") as caught:
            annotate_evaluate(
                tmp_path / "out", label="cell_type", **{kind: stores(study[:1], given)}
            )
        assert caught.value.id == "E_FILE_FORMAT"


def test_an_output_that_is_there_is_noticed_before_any_work(study, tmp_path):
    (tmp_path / "out").mkdir()
    for attempt in (
        lambda: annotate_evaluate(tmp_path / "out", label="x", embeddings=["missing"]),
        lambda: annotate_train(["missing"], tmp_path / "out", label="x"),
        lambda: annotate_apply(["missing"], tmp_path / "out", classifier="missing"),
    ):
        with pytest.raises(InputError) as caught:
            attempt()
        assert caught.value.id == "E_OUTPUT_EXISTS"


@pytest.mark.parametrize("method", ["majority", "genes-logistic", "nonsense"])
def test_a_method_that_cannot_be_kept_is_refused_with_those_that_can(study, tmp_path, method):
    with pytest.raises(InputError, match="choose logistic, knn or mlp") as caught:
        annotate_train(
            stores(study, "embeddings"), tmp_path / "c", label="cell_type", method=method
        )
    assert caught.value.id == "E_CONFIG"


def test_of_many_labelled_cells_the_same_few_serve_every_method(study, tmp_path):
    given = {
        "label": "cell_type",
        "embeddings": stores(study, "embeddings"),
        "counts": stores(study, "counts"),
        "samples": ["s1", "s2"],
        "methods": ["knn", "genes-logistic"],
        "folds": 2,
    }
    drawn = annotate_evaluate(tmp_path / "drawn", max_cells=50, **given)
    every = annotate_evaluate(tmp_path / "all", max_cells=None, **given)
    cells = drawn.summary["cells"]
    assert (cells["used"], cells["not_drawn"]) == (50, every.summary["cells"]["used"] - 50)
    assert "cells-drawn" in {warning["id"] for warning in drawn.summary["warnings"]}
    by_method = drawn.predictions.groupby("method")["cell"].apply(list)
    assert by_method["knn"] == by_method["genes-logistic"]
    turned = {name: given[name][::-1] for name in ("embeddings", "counts", "samples")}
    again = annotate_evaluate(tmp_path / "turned", max_cells=50, **{**given, **turned})
    pd.testing.assert_frame_equal(again.predictions, drawn.predictions)
