import gzip
import logging
import os
from pathlib import Path

import pandas as pd
import pytest
from small import ROOT

from aidocell.config import check_config
from aidocell.counts.metadata import cell_table
from aidocell.errors import InputError
from aidocell.study import locate, read_sheet, stamp
from aidocell.texts import Texts

SCHEMA = ROOT / "workflow/schemas/config.schema.json"
CONFIG = check_config({"samples": "s", "model": "m", "input": {"layer": "raw"}}, SCHEMA)
HEADER = "sample\tpath\n"


@pytest.fixture
def sheet(tmp_path):
    """Read a sheet of this content."""

    def read(content: str | bytes, *, config=CONFIG):
        path = tmp_path / "samples.tsv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_sheet(path, config, SCHEMA, root=tmp_path)

    return read


def refused(sheet, content, text, *, id="E_SHEET"):
    with pytest.raises(InputError, match=rf"error\[{id}\]: .*{text}"):
        sheet(content)


def test_the_sheet_of_the_repository_is_valid():
    samples = read_sheet(ROOT / "config/samples.tsv", CONFIG, SCHEMA, root=ROOT)
    assert samples["pbmc3k"].columns == {"donor": "donor1"}
    assert Path(samples["pbmc3k"].path).is_file()


def test_samples_come_in_the_order_of_the_sheet(sheet):
    assert list(sheet(HEADER + "b\tx\na\ty\n")) == ["b", "a"]


@pytest.mark.parametrize(
    "content",
    [
        b"sample\tpath\tdonor\r\na\tx.h5ad\td1\r\n",
        b"sample\tpath\tdonor\ra\tx.h5ad\td1\r",
        b"\xef\xbb\xbfsample\tpath\tdonor\na\tx.h5ad\td1",
        b"sample\tpath\tdonor\na\tx.h5ad\td1\n\n\t\t\n   \n",
        b"# made by hand\nsample\tpath\tdonor\n# not yet: b\ty.h5ad\n#c\tz\td\na\tx.h5ad\td1\n",
        b' sample\t"path"\tdonor \n a \t x.h5ad\t d1 \n',
        b'"sample"\t"path"\t"donor"\n"a"\t"x.h5ad"\t" d1 "\n',
    ],
    ids=["Windows", "old Mac", "BOM", "empty lines", "comments", "spaces", "quotes"],
)
def test_what_editors_and_spreadsheets_make_of_a_sheet_is_read_alike(sheet, content):
    (sample,) = sheet(content).values()
    assert (sample.name, sample.path, sample.columns) == ("a", "x.h5ad", {"donor": "d1"})


def test_quotes_of_a_spreadsheet_are_taken_off_and_others_stay(sheet):
    (sample,) = sheet('sample\tpath\tnote\na\t"b, ""c"".h5ad"\tthe "old" one"\n').values()
    assert sample.path == 'b, "c".h5ad'
    assert sample.columns == {"note": 'the "old" one"'}


def test_an_open_quote_swallows_no_line(sheet):
    assert list(sheet('sample\tpath\tnote\na\tx\t"odd\nb\ty\tz\n')) == ["a", "b"]


def test_odd_separators_of_lines_do_not_shift_line_numbers(sheet):
    refused(sheet, "sample\tpath\tnote\na\tx\tone\x0b\u2028\x85two\n\tx\t\n", "line 3: 'sample' is")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", r"no column 'sample' \(columns: none\)"),
        ("\n\n", "no column 'sample'"),
        ("sample,path\na,b\n", r"no column 'sample' \(columns: sample,path\); .*tabs"),
        ("sample\tfile\na\tb\n", r"no column 'path' \(columns: sample, file\)"),
        ("Sample\tpath\na\tb\n", "no column 'sample'"),
        (HEADER, "lists no sample"),
        (HEADER + "#a\tx\n", "lists no sample"),
        (HEADER + "\tx\n", "line 2: 'sample' is empty"),
        (HEADER + "a\t\n", "line 2: 'path' is empty"),
        (HEADER + "a\t  \n", "line 2: 'path' is empty"),
        (HEADER + 'a\t""\n', "line 2: 'path' is empty"),
        (HEADER + "\n#\na\tx\n\na\ty\n", "line 6: sample 'a' is there twice"),
        (HEADER + "a\n", "line 2 has 1 fields, the header has 2; add or drop tabs"),
        (HEADER + "a\tx\ty\n", "line 2 has 3 fields"),
        ("sample\tpath\tx\tx\na\tb\tc\td\n", "column 'x' twice"),
        ("sample\tpath\t\na\tb\t\n", "column 3 of .* has no name"),
        ("sample\tpath\tround\na\tb\tmaybe\n", "line 2: round is 'maybe'; write true or false"),
        (b"\xff\xfes\x00a\x00", "not UTF-8"),
        (b"sample\tpath\nM\xfcller\tx\n", "not UTF-8"),
    ],
)
def test_a_faulty_sheet_is_refused_with_its_line(sheet, content, text):
    refused(sheet, content, text)


@pytest.mark.parametrize(
    "name",
    [
        "../x", "..", ".", "a/b", "/abs", "a b", "-a", "_a", "a.b", "Zürich", "a:b", "=1+1",
        "a" * 65, "$(touch x)", "a\\b", "a\x00", "a{b}", "名",
    ],
)  # fmt: skip
def test_a_name_that_makes_no_safe_folder_is_refused(sheet, name):
    refused(sheet, HEADER + f"ok\tx\n{name}\ty\n", "line 3: ", id="E_SAMPLE_NAME")


@pytest.mark.parametrize("name", ["a", "0", "A-b_9", "a" * 64, "NA", "nan", "null", "True"])
def test_a_plain_name_is_taken_as_it_is(sheet, name):
    assert list(sheet(HEADER + f"{name}\tx\n")) == [name]


@pytest.mark.parametrize("missing", ["no.tsv", "."])
def test_a_sheet_that_cannot_be_read_is_refused(tmp_path, missing):
    with pytest.raises(InputError, match=r"E_SHEET.*cannot be read.*'samples' in the config"):
        read_sheet(tmp_path / missing, CONFIG, SCHEMA, root=tmp_path)


def test_options_of_a_sample_win_over_the_configuration(sheet):
    samples = sheet(
        "sample\tpath\tlayer\tgene_ids\tcells\tround\n"
        "own\tx\tcounts\tname\tlist.txt\tTrue\n"
        "none\tx\t\t\t\t\n"
    )
    assert samples["own"].reading == {
        "layer": "counts", "gene_ids": "name", "cells": "list.txt", "round": True,
    }  # fmt: skip
    assert samples["none"].reading == {
        "layer": "raw", "gene_ids": None, "cells": None, "round": False,
    }  # fmt: skip


@pytest.mark.parametrize(("text", "value"), [("no", False), ("0", False), ("", True), ("1", True)])
def test_rounding_can_be_switched_off_for_one_sample(sheet, text, value):
    config = {**CONFIG, "input": {**CONFIG["input"], "round": True}}
    assert (
        sheet(f"sample\tpath\tround\na\tx\t{text}\n", config=config)["a"].reading["round"] is value
    )


def test_thresholds_of_a_sample_are_typed_and_win_over_the_configuration(sheet):
    header = "sample\tpath\tmin_genes\tmax_mito\tdoublets\tmads\n"
    samples = sheet(header + "a\tx\t300\t7.5\tscore\tnull\nb\tx\t500.0\t\t\t\n")
    assert samples["a"].qc == {
        **CONFIG["qc"], "min_genes": 300, "max_mito": 7.5, "doublets": "score", "mads": None,
    }  # fmt: skip
    assert samples["b"].qc == {**CONFIG["qc"], "min_genes": 500}
    assert type(samples["b"].qc["min_genes"]) is int
    assert samples["a"].columns == {}


@pytest.mark.parametrize(
    ("column", "text", "wanted"),
    [
        ("min_genes", "many", "whole number"),
        ("min_genes", "1.5", "whole number"),
        ("min_genes", "true", "whole number"),
        ("min_genes", "9" * 5000, "whole number"),
        ("min_genes", "[" * 100_000, "whole number"),
        ("max_mito", "120", "at most 100"),
        ("max_mito", "NaN", "a number"),
        ("max_mito", "5%", "a number"),
        ("doublets", "maybe", "off, score, remove"),
        ("seed", "-1", "at least 0"),
        ("max_genes", "100", r"min_genes \(200\) is above max_genes \(100\)"),
    ],
)
def test_a_wrong_threshold_is_named_with_its_line(sheet, column, text, wanted):
    content = f"sample\tpath\t{column}\na\tx\t{text}\n"
    refused(sheet, content, f"line 2: .*{wanted}", id="E_CONFIG")


def test_a_column_that_looks_like_a_misspelt_option_is_warned_of(sheet, caplog):
    with caplog.at_level(logging.WARNING):
        (sample,) = sheet("sample\tpath\tmin_gene\tbatch\na\tx\t5\t1\n").values()
    assert sample.columns == {"min_gene": "5", "batch": "1"}
    (line,) = caplog.messages
    assert "'min_gene'" in line
    assert "'min_genes'" in line


def test_relative_paths_are_looked_for_here_and_then_in_the_workflow(sheet, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "x.h5ad").touch()
    (tmp_path / "both.h5ad").touch()
    Path("both.h5ad").touch()
    content = "sample\tpath\tmetadata\na\tx.h5ad\tx.h5ad\nb\tboth.h5ad\t\nc\tneither.h5ad\t\n"
    samples = sheet(content)
    assert samples["a"].path == samples["a"].metadata == str(tmp_path / "x.h5ad")
    assert samples["b"].path == "both.h5ad"
    assert samples["c"].path == "neither.h5ad"
    assert samples["b"].metadata is None


@pytest.mark.parametrize("path", ["x" * 5000, "a\x00b", "x.h5ad/y"])
def test_what_can_be_no_path_is_kept_for_the_check_to_name(sheet, tmp_path, path):
    (tmp_path / "x.h5ad").touch()
    sample = sheet(HEADER + f"a\t{path}\n")["a"]
    assert sample.path == path
    assert sample.stamp == "absent absent"


def test_the_row_of_a_sample_is_what_the_report_shows(sheet):
    assert sheet("sample\tpath\tdonor\tround\na\tx\td\t1\n")["a"].row == {
        "sample": "a", "path": "x", "donor": "d",
    }  # fmt: skip


def test_a_stamp_changes_when_a_file_is_replaced_by_an_older_one(tmp_path):
    path = tmp_path / "x.h5ad"
    path.write_bytes(b"one")
    before = stamp(str(path))
    assert stamp(str(path)) == before
    path.write_bytes(b"two")
    os.utime(path, (1_000_000, 1_000_000))
    assert stamp(str(path)) != before


def test_a_stamp_of_a_folder_changes_with_any_file_in_it(tmp_path):
    inner = tmp_path / "mtx" / "inner"
    inner.mkdir(parents=True)
    (inner / "matrix.mtx").write_text("1")
    seen = {stamp(str(tmp_path / "mtx"))}
    os.utime(inner / "matrix.mtx", (1_000_000, 1_000_000))
    seen.add(stamp(str(tmp_path / "mtx")))
    (inner / "more").touch()
    seen.add(stamp(str(tmp_path / "mtx")))
    (inner / "more").rename(inner / "renamed")
    seen.add(stamp(str(tmp_path / "mtx")))
    assert len(seen) == 4


def test_a_stamp_of_what_is_not_there_says_so(tmp_path):
    assert stamp(None) == stamp(str(tmp_path / "no")) == "absent"


def test_the_stamp_of_a_sample_covers_its_list_of_cells(sheet, tmp_path):
    for name in ("x", "list"):
        (tmp_path / name).write_text("1")
    content = "sample\tpath\tcells\na\tx\tlist\n"
    before = sheet(content)["a"].stamp
    (tmp_path / "list").write_text("12")
    assert sheet(content)["a"].stamp != before


def test_locate_leaves_absolute_paths_alone(tmp_path):
    assert locate("/no/such/file", tmp_path) == "/no/such/file"


CELLS = ["AAAC-1", "AAAG-1", "AAAT-1"]
LABELS = pd.DataFrame({"barcode": ["AAAG-1", "AAAC-1", "GGGG-1"], "label": ["b", "a", "z"]})


def write_table(folder: Path, kind: str) -> str:
    path = folder / f"labels.{kind}"
    if kind == "parquet":
        LABELS.to_parquet(path)
    elif kind == "indexed.parquet":
        LABELS.set_index("barcode").to_parquet(path)
    elif kind == "r.tsv":  # as R's write.table: the header is one short
        path.write_text("label\nAAAG-1\tb\nAAAC-1\ta\nGGGG-1\tz\n")
    else:
        LABELS.to_csv(path, sep="," if "csv" in kind else "\t", index=False)
    return str(path)


def joined(*, metadata: str, columns: dict[str, str]) -> pd.DataFrame:
    return cell_table(Texts.of(CELLS), metadata=metadata, columns=columns).frame()


@pytest.mark.parametrize(
    "kind", ["tsv", "txt", "csv", "tsv.gz", "csv.gz", "parquet", "indexed.parquet", "r.tsv"]
)
def test_metadata_join_by_barcode_in_the_order_of_the_cells(tmp_path, kind):
    table = joined(metadata=write_table(tmp_path, kind), columns={"donor": "d", "x": ""})
    assert table.index.tolist() == CELLS
    assert table["label"].tolist()[:2] == ["a", "b"]
    assert table["label"].isna().tolist() == [False, False, True]
    assert table["donor"].tolist() == ["d"] * 3
    assert "x" not in table


def test_a_folder_named_like_a_format_decides_nothing(tmp_path):
    (tmp_path / "old.csv").mkdir()
    path = write_table(tmp_path / "old.csv", "tsv")
    assert joined(metadata=path, columns={})["label"].tolist()[:2] == ["a", "b"]


def test_values_of_metadata_stay_text_and_na_is_one(tmp_path):
    (tmp_path / "m.tsv").write_text("cell\tid\nAAAC-1\t007\nAAAG-1\tNA\nAAAT-1\t\n")
    table = joined(metadata=str(tmp_path / "m.tsv"), columns={})
    assert table["id"].tolist() == ["007", "NA", ""]


def test_columns_of_the_sheet_win_over_metadata(tmp_path):
    path = write_table(tmp_path, "tsv")
    assert joined(metadata=path, columns={"label": "q"})["label"].tolist() == ["q"] * 3


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        (
            "m.tsv",
            b"cell\tlabel\nAAAC\ta\n",
            r"none of the sample's cells \(its first: AAAC; .*AAAC-1",
        ),
        ("m.tsv", b"cell\tlabel\nAAAC-1\ta\nAAAC-1\tb\n", "has cell AAAC-1 twice"),
        ("m.tsv", b"cell\tlabel\n", "is empty"),
        ("m.tsv", b"", "cannot be read"),
        ("m.tsv", b"\xff\xfe\x00", "cannot be read"),
        ("m.parquet", b"PAR1", "cannot be read"),
        ("m.tsv.gz", b"no gzip", "cannot be read"),
        ("m.tsv.gz", gzip.compress(b"cell\tlabel\n" * 999, mtime=0)[:40], "cannot be read"),
        ("m.csv", b'cell,label\nA,"b\n', "cannot be read|none of"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"E_SHEET.*{text}"):
        joined(metadata=str(tmp_path / name), columns={})


@pytest.mark.parametrize("path", ["no.tsv", ".", "http://127.0.0.1:9/m.tsv"])
def test_metadata_that_are_no_file_are_refused_and_never_fetched(path):
    with pytest.raises(InputError, match=r"E_SHEET.*is no file"):
        joined(metadata=path, columns={})
