import csv
import json
from dataclasses import replace

from aidocell.report.tables import write_multiqc, write_samples_tsv


def _rows(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def test_the_sample_table_has_full_precision_and_a_row_for_every_sample(made):
    rows = _rows(made.report / "samples.tsv")
    assert [(r["sample"], r["verdict"]) for r in rows] == [
        ("pbmc_a", "pass"),
        ("pbmc_b", "warn"),
        ("spleen", "fail"),
    ]
    assert float(rows[0]["share_kept"]) == 150 / 152
    assert rows[2]["cells_kept"] == ""
    assert rows[2]["reasons"].startswith("refused: spleen.h5ad holds values")


def test_no_field_begins_like_a_formula(made, tmp_path):
    sample = made.study.samples[0]
    verdict = replace(sample.verdict, reasons=("=cmd|' /C calc'!A0", "\tb"))
    study = replace(made.study, samples=(replace(sample, name="-1+1", verdict=verdict),))
    write_samples_tsv(study, tmp_path / "samples.tsv")
    row = _rows(tmp_path / "samples.tsv")[0]
    assert row["sample"] == "'-1+1"
    assert row["reasons"].startswith("'=cmd")
    assert "\t" not in row["reasons"]


def test_multiqc_gets_the_same_figures(made, tmp_path):
    write_multiqc(made.study, tmp_path)
    content = json.loads((tmp_path / "aidocell_samples_mqc.json").read_text())
    assert content["plot_type"] == "table"
    assert content["data"]["pbmc_a"]["cells_kept"] == 150
    assert content["data"]["spleen"]["verdict"] == "fail"
    assert set(content["data"]["pbmc_a"]) <= set(content["headers"])
