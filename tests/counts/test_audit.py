from __future__ import annotations

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from aidocell.counts import InputOptions, check
from aidocell.counts.audit import input_sha256
from aidocell.counts.remarks import describe, remarks
from aidocell.errors import InputError
from aidocell.files import sha256_file
from aidocell.genes import ROUTES, Vocabulary

ROOT = Path(__file__).parents[2]
PBMC = ROOT / "resources/pbmc3k.h5ad"


def write(path: Path, symbols, counts, *, ids=None) -> Path:
    counts = sparse.csr_matrix(np.array(counts, np.float32))
    var = pd.DataFrame(index=list(symbols))
    if ids is not None:
        var["gene_ids"] = list(ids)
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(counts.shape[0])])
    ad.AnnData(counts, obs=obs, var=var).write_h5ad(path)
    return path


@pytest.fixture
def messy(tmp_path) -> dict:
    symbols = ["TAP2", "TAP2-1", "NAA38", "MS4A1", "CD20", "QARS", "Cd3e", "dunno", "MT-ND1__chrM"]
    ids = ["ENSG00000999999", "ENSG00000204267.5", "ENSG00000128534", *[""] * 6]
    counts = [[1, 2, 4, 8, 16, 32, 64, 128, 256], [0, 0, 0, 0, 0, 0, 0, 3, 0], [0] * 9]
    return check(write(tmp_path / "m.h5ad", symbols, counts, ids=ids), InputOptions(), min_share=0)


def test_figures_count_the_file(messy):
    assert messy["accepted"] is True
    assert (messy["cells"], messy["genes"]) == (3, 9)
    assert (messy["umis"], messy["nonzero"]) == (514, 10)
    assert (messy["median_counts"], messy["median_genes"]) == (3.0, 1.0)
    assert messy["format"] == "h5ad"
    assert messy["vocabulary"] == 19_264
    assert messy["measured"] == 3
    assert messy["gene_columns"] == {"ids": "gene_ids", "symbols": "index"}


def test_routes_are_counted_in_genes_and_umis(messy):
    found = {route: (n["genes"], n["umis"]) for route, n in messy["routes"].items() if n["genes"]}
    assert found == {
        "ensembl_id": (2, 6),
        "symbol": (2, 9),
        "previous": (1, 16),
        "ambiguous": (1, 32),
        "other_species": (1, 64),
        "unresolved": (1, 131),
        "chrM": (1, 256),
    }
    assert sum(route["umis"] for route in messy["routes"].values()) == messy["umis"]
    assert sum(route["share"] for route in messy["routes"].values()) == pytest.approx(1)
    assert messy["share_resolved"] == pytest.approx(31 / 514)
    assert tuple(messy["routes"]) == ROUTES


def test_lists_name_what_was_added_up_ambiguous_in_conflict_and_left_out(messy):
    assert messy["added_up"] == [
        {"gene": "MS4A1", "rows": ["MS4A1", "CD20"]},
        {"gene": "TAP2", "rows": ["TAP2", "TAP2-1"]},
    ]
    assert messy["added_up_genes"] == 2
    assert messy["ambiguous"] == [{"name": "QARS", "umis": 32}]
    conflict = {"row": 2, "id": "ENSG00000128534", "symbol": "NAA38"}
    assert messy["conflicts"] == [{**conflict, "kept": "LSM8", "other": "NAA38"}]
    assert messy["conflicts_total"] == 1
    assert [row["name"] for row in messy["unresolved_top"]] == [
        "MT-ND1__chrM", "dunno", "Cd3e", "QARS",
    ]  # fmt: skip
    assert messy["empty_cells"] == {"n": 2, "first": ["cell1", "cell2"]}


def test_warnings_say_what_is_odd(messy):
    assert [warning["id"] for warning in messy["warnings"]] == [
        "empty-cells",
        "few-genes-per-cell",
        "low-overlap",
        "ambiguous-symbols",
        "id-symbol-conflicts",
        "other-species",
    ]
    texts = {warning["id"]: warning["text"] for warning in messy["warnings"]}
    assert (
        "2 cells have no count in the vocabulary and will be left out: cell1, cell2"
        in (texts["empty-cells"])
    )
    assert "(32 UMIs): QARS" in texts["ambiguous-symbols"]
    assert "ENSG00000128534 (LSM8) over NAA38" in texts["id-symbol-conflicts"]


def test_audit_is_plain_json(messy):
    assert json.loads(json.dumps(messy, allow_nan=False)) == messy


def test_text_tells_routes_and_lists(messy):
    text = describe(messy)
    assert "3 cells × 9 genes, 514 UMIs" in text
    assert "by Ensembl id: 2 rows, 6 UMIs (1.17%)" in text
    assert "added up: 2: MS4A1 (MS4A1 + CD20), TAP2 (TAP2 + TAP2-1)" in text
    assert "ambiguous: QARS (32 UMIs)" in text
    assert "warning (low-overlap)" in text


def test_text_of_a_refused_file_is_its_error():
    error = {"id": "E_NEGATIVE", "what": "x.h5ad holds -1", "fix": "give raw counts"}
    text = describe({"accepted": False, "path": "x.h5ad", "error": error})
    assert text.splitlines() == [
        "x.h5ad: refused",
        "  E_NEGATIVE: x.h5ad holds -1; give raw counts",
    ]


def test_single_names_of_another_species_are_counted_and_most_are_refused(tmp_path):
    few = write(tmp_path / "few.h5ad", ["CD3E", "NKG7", "Cd3e"], [[1, 1, 1]])
    assert check(few, InputOptions())["routes"]["other_species"]["genes"] == 1
    most = write(tmp_path / "most.h5ad", ["CD3E", "Nkg7", "Cd3e"], [[1, 1, 1]])
    with pytest.raises(InputError) as error:
        check(most, InputOptions())
    assert error.value.id == "E_SPECIES"
    assert str(most) in error.value.what


def test_unknown_genes_are_refused_with_the_file(tmp_path):
    path = write(tmp_path / "x.h5ad", ["CD3E", "dunno"], [[1, 2]])
    with pytest.raises(InputError) as error:
        check(path, InputOptions())
    assert error.value.id == "E_GENES_UNKNOWN"
    assert str(path) in error.value.what
    assert check(path, InputOptions(), min_share=0.3)["accepted"]


def test_vocabulary_of_a_checkpoint_is_used(tmp_path):
    path = write(tmp_path / "x.h5ad", ["CD3E", "LOCAL1"], [[1, 2]])
    own = Vocabulary(("LOCAL1", "CD3E"), ("", ""))
    audit = check(path, InputOptions(), vocabulary=own)
    assert (audit["measured"], audit["vocabulary"]) == (2, 2)
    assert audit["genes_sha256"] == own.sha256
    assert audit["share_resolved"] == 1.0


def test_file_without_any_count_is_accepted_with_a_warning(tmp_path):
    audit = check(write(tmp_path / "x.h5ad", ["CD3E"], [[0], [0]]), InputOptions())
    assert audit["umis"] == 0
    assert audit["share_resolved"] == 0.0
    assert audit["empty_cells"]["n"] == 2
    json.dumps(audit, allow_nan=False)


def test_deep_cells_are_counted(tmp_path):
    path = write(tmp_path / "x.h5ad", ["CD3E"], [[100_000], [100_001]])
    audit = check(path, InputOptions())
    assert audit["deep_cells"] == 1
    assert "deep-cells" in [warning["id"] for warning in audit["warnings"]]


def test_digest_is_that_of_the_file_and_of_a_folder_depends_on_names_and_contents(tmp_path):
    path = write(tmp_path / "x.h5ad", ["CD3E"], [[1]])
    assert check(path, InputOptions())["sha256"] == sha256_file(path) == input_sha256(path)
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("1")
    (folder / "sub" / "b").write_text("2")
    first = input_sha256(folder)
    assert input_sha256(folder) == first
    (folder / "a").rename(folder / "c")
    assert input_sha256(folder) != first
    (folder / "c").rename(folder / "a")
    assert input_sha256(folder) == first
    (folder / "a").write_text("3")
    assert input_sha256(folder) != first


# ------------------------------------------------------------------ real cells


@pytest.fixture(scope="module")
def pbmc() -> dict:
    return check(PBMC, InputOptions())


def test_pbmc3k_has_its_known_figures(pbmc):
    assert (pbmc["cells"], pbmc["genes"]) == (2_700, 32_738)
    assert (pbmc["nonzero"], pbmc["umis"]) == (2_286_884, 6_390_631)
    assert (pbmc["median_counts"], pbmc["median_genes"]) == (2197, 817)
    assert pbmc["measured"] == 18_840
    assert pbmc["routes"]["ensembl_id"]["genes"] == 18_549
    assert pbmc["conflicts_total"] == 11
    assert pbmc["share_resolved"] > 0.95
    assert [warning["id"] for warning in pbmc["warnings"]] == [
        "ambiguous-symbols",
        "id-symbol-conflicts",
    ]


def even_totals(totals: np.ndarray) -> bool:
    audit = {
        "empty_cells": {"n": 0, "first": []},
        "deep_cells": 0,
        "median_genes": 1000,
        "share_resolved": 1.0,
        "measured": 18_000,
        "vocabulary": 19_264,
        "routes": {"ambiguous": {"genes": 0}, "other_species": {"genes": 0}},
        "conflicts_total": 0,
    }
    return bool(remarks(audit, cell_umis=totals))


def test_cells_down_sampled_to_one_depth_are_noticed_and_real_depths_are_not():
    totals = np.asarray(ad.read_h5ad(PBMC).X.sum(axis=1)).ravel()
    assert not even_totals(totals)
    assert even_totals(np.minimum(totals, np.quantile(totals, 0.8)))
    assert not even_totals(np.zeros(100))
    assert not even_totals(np.full(19, 500))
