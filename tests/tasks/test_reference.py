"""Cells labelled by an existing model, and how that agrees with other labels of theirs."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from labelled_stores import write_sample

from aidocell.baselines.celltypist_model import label_cells, read_model
from aidocell.baselines.packages import borrowed, normalised
from aidocell.errors import InputError
from aidocell.store import write_store
from aidocell.tables import about_table, write_table
from aidocell.tasks.reference import agreement_path, annotate_reference, compare_labels


@pytest.fixture(scope="module")
def model(make_toy, tmp_path_factory):
    """A model that CellTypist trained itself, on the three classes of the toy."""
    toy, path = make_toy(), tmp_path_factory.mktemp("models") / "own.pkl"
    cells = normalised(toy.counts, [str(i) for i in range(40)])
    cells.X = cells.X.toarray()
    with borrowed("celltypist", seed=0) as celltypist:
        celltypist.train(cells, labels=toy.labels, n_jobs=1, max_iter=100).write(str(path))
    return path


@pytest.fixture
def counts(make_toy, provenance, tmp_path):
    return write_sample(make_toy(seed=1), tmp_path / "s", provenance) / "counts.zarr.zip"


def test_cells_get_the_labels_that_the_model_gives(model, counts, make_toy, tmp_path):
    assert annotate_reference([counts], tmp_path / "out.parquet", reference=str(model)) is None
    table = pd.read_parquet(tmp_path / "out.parquet")
    toy = make_toy(seed=1)
    genes = [str(i) for i in range(40)]
    labels, probabilities = label_cells(read_model(str(model)), toy.counts, genes)
    assert table["cell"].tolist() == toy.cells.tolist()
    assert table["predicted"].tolist() == labels.tolist()
    assert table.columns.tolist() == ["cell", "predicted", "probability", "p_B", "p_NK", "p_T"]
    np.testing.assert_array_equal(table.filter(like="p_").to_numpy(), probabilities)
    assert (table["probability"] == probabilities.max(axis=1)).all()
    assert not agreement_path(tmp_path / "out.parquet").exists()
    assert len(about_table(tmp_path / "out.parquet")["reference"]["sha256"]) == 64


def test_beside_a_column_of_the_cells_the_agreement_is_told_by_type(
    model, counts, make_toy, tmp_path
):
    out = tmp_path / "out.parquet"
    agreement = annotate_reference([counts], out, reference=str(model), label="cell_type")
    found = pd.read_csv(tmp_path / "out.agreement.tsv", sep="\t").set_index("type")
    toy = make_toy(seed=1)
    for name, row in found.iterrows():
        theirs = pd.read_parquet(out).set_index("cell")["predicted"]
        counted = theirs[toy.cells[toy.labels == name]].value_counts()
        assert row["cells"] == counted.sum() == 20
        assert row["reference"] == counted.index[0] == name
        assert row["share"] == counted.iloc[0] / 20
        assert all(row[f"n_{other}"] == counted.get(other, 0) for other in ("B", "NK", "T"))
    assert agreement.lines()[0].split() == ["type", "cells", "reference", "share"]


def test_unknown_cells_of_our_own_table_are_not_compared(model, counts, make_toy, tmp_path, caplog):
    toy = make_toy(seed=1)
    ours = pd.DataFrame({"cell": toy.cells, "predicted": toy.labels, "unknown": np.arange(60) < 12})
    write_table(ours, tmp_path / "ours.parquet", about={})
    with caplog.at_level(logging.INFO):
        agreement = annotate_reference(
            [counts],
            tmp_path / "out.parquet",
            reference=str(model),
            compare=tmp_path / "ours.parquet",
        )
    assert agreement.types["cells"].sum() == 48
    assert "12 unknown cells" in caplog.text


def test_the_most_frequent_label_is_named_even_where_names_differ():
    agreement = compare_labels(list("aaabb"), ["x", "x", "y", "y", "x"])
    assert agreement.types["reference"].tolist() == ["x", "x"]
    assert agreement.types["share"].tolist() == [2 / 3, 1 / 2]
    assert agreement.cross.to_numpy().tolist() == [[2, 1], [1, 1]]


def test_names_of_types_stay_text_in_the_table(tmp_path):
    compare_labels(["=cmd()", "b"], ["x\ty", "x\ty"]).write(tmp_path / "a.tsv")
    lines = (tmp_path / "a.tsv").read_text().splitlines()
    assert lines[0] == "type\tcells\treference\tshare\tn_x\\ty"
    assert lines[1].startswith("'=cmd()\t1\tx\\ty\t1.0")


@pytest.mark.parametrize(
    ("table", "id"),
    [
        ({"cell": ["elsewhere"], "predicted": ["B"]}, "E_STORE_MISMATCH"),
        ({"cell": ["elsewhere"]}, "E_FILE_FORMAT"),
        ({"cell": ["a"], "predicted": ["B"], "fold": [1]}, "E_FILE_FORMAT"),
    ],
)
def test_tables_that_say_nothing_of_these_cells_are_refused(model, counts, tmp_path, table, id):
    write_table(pd.DataFrame(table), tmp_path / "t.parquet", about={})
    out = tmp_path / "out.parquet"
    with pytest.raises(InputError) as caught:
        annotate_reference([counts], out, reference=str(model), compare=tmp_path / "t.parquet")
    assert caught.value.id == id
    assert not out.exists()


def test_a_table_that_is_no_parquet_is_refused(model, counts, tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"nonsense" * 20)
    with pytest.raises(InputError) as caught:
        annotate_reference(
            [counts], tmp_path / "o.parquet", reference=str(model), compare=tmp_path / "t.parquet"
        )
    assert caught.value.id == "E_FILE_FORMAT"
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + b"nonsense" * 20)
    with pytest.raises(InputError) as caught:
        annotate_reference(
            [counts], tmp_path / "o.parquet", reference=str(model), compare=tmp_path / "t.parquet"
        )
    assert caught.value.id == "E_STORE_DAMAGED"


def test_cells_without_counts_are_left_out_by_name(model, provenance, make_toy, tmp_path, caplog):
    toy = make_toy(seed=1)
    counts = toy.counts.tolil()
    counts[3] = 0
    cells = ad.AnnData(X=counts.tocsr(), obs=pd.DataFrame(index=toy.cells))
    write_store(cells, tmp_path / "c.zarr.zip", provenance=provenance)
    annotate_reference([tmp_path / "c.zarr.zip"], tmp_path / "o.parquet", reference=str(model))
    assert len(pd.read_parquet(tmp_path / "o.parquet")) == 59
    assert toy.cells[3] in caplog.text


def test_a_model_that_is_not_there_or_knows_no_gene_is_refused(model, counts, tmp_path):
    for reference, id in (
        (str(tmp_path / "none.pkl"), "E_MODEL_MISSING"),
        ("none", "E_MODEL_MISSING"),
    ):
        with pytest.raises(InputError) as caught:
            annotate_reference([counts], tmp_path / "o.parquet", reference=reference)
        assert caught.value.id == id


def test_what_is_there_already_is_noticed_before_any_work(tmp_path):
    (tmp_path / "o.agreement.tsv").touch()
    with pytest.raises(InputError) as caught:
        annotate_reference(["none"], tmp_path / "o.parquet", reference="none", label="x")
    assert caught.value.id == "E_OUTPUT_EXISTS"
