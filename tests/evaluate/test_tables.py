import pandas as pd

from aidocell.evaluate.tables import write_tsv


def test_numbers_come_back_exactly(tmp_path):
    values = [0.1 + 0.2, 1 / 3, 1e-17]
    write_tsv(pd.DataFrame({"x": values}), tmp_path / "t.tsv")
    assert (
        pd.read_csv(tmp_path / "t.tsv", sep="\t", float_precision="round_trip")["x"].tolist()
        == values
    )


def test_a_label_is_no_formula_and_stays_in_its_field(tmp_path):
    labels = ["=1+1", "@SUM(A1)", "CD4+ T", "a\tb\nc", "-x"]
    write_tsv(pd.DataFrame({"label": labels, "cells": [-1, 2, 3, 4, 5]}), tmp_path / "t.tsv")
    lines = (tmp_path / "t.tsv").read_text().splitlines()
    assert lines[1:] == ["'=1+1\t-1", "'@SUM(A1)\t2", "CD4+ T\t3", "a\\tb\\nc\t4", "'-x\t5"]
