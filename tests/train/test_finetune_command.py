"""`aidocell finetune` as its users meet it."""

from __future__ import annotations

import json
import sys

import pytest
from small import TINY

from aidocell.cli import main
from aidocell.train.finetuned_folder import load_finetuned

pytestmark = pytest.mark.usefixtures("plain_logging")
FAST = ("--mode", "frozen", "--epochs", "2", "--batch-size", "8", "--device", "cpu")


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command in this process: exit status, standard output, last line on stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["aidocell", "finetune", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, (said.err.splitlines() or [""])[-1]

    return run


@pytest.fixture
def asked(cells_file, tmp_path):
    return (cells_file, "--label", "cell_type", "--model", TINY, "--output", tmp_path / "out")


def test_it_writes_a_folder_that_labels_cells(run, asked, cells, tmp_path):
    status, out, _ = run(*asked, *FAST, "--group", "donor", "--class-weights", "--head", "mlp")
    assert (status, out) == (0, f"wrote {tmp_path / 'out'}\n")
    tuned = load_finetuned(tmp_path / "out", device="cpu")
    assert tuned.predict_proba(cells[0]).shape == (40, 2)
    content = json.loads((tmp_path / "out" / "classifier.json").read_text())
    assert content["training"]["label"] == "cell_type"
    assert content["training"]["seed"] == 42
    assert content["options"]["class_weights"] is True
    assert content["validation"]["set_apart"] == "by group"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.h5ad", "out"]


def test_an_output_that_is_there_is_kept_unless_asked(run, asked):
    assert run(*asked, *FAST)[0] == 0
    for more in ((), ("--resume",)):
        status, _, last = run(*asked, *FAST, *more)
        assert (status, last[:23]) == (2, "error[E_OUTPUT_EXISTS]:")
    assert run(*asked, *FAST, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--mode", "some"], "unknown mode 'some'"),
        (["--betas", "0.9"], "--betas is '0.9'"),
        (["--epochs", "0"], "--epochs"),
        (["--device", "cuda", "--devices", "99"], "error[E_USAGE]"),
        (["--mode", "frozen", "--devices", "2"], "one device"),
        (["--mode", "last", "--last-layers", "9"], "9 last layers"),
    ],
)
def test_options_that_make_no_sense_are_one_line_and_leave_nothing(
    run, asked, tmp_path, words, text
):
    status, _, last = run(*asked, "--device", "cpu", *words)
    assert status == 2
    assert last.startswith("error[E_USAGE]")
    assert text in last
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]


def test_unfinished_work_is_named_with_both_ways_to_go_on(run, asked, tmp_path):
    (tmp_path / ".out.partial").mkdir()
    status, _, last = run(*asked, *FAST)
    assert status == 2
    assert "unfinished work" in last
    assert "--resume" in last
    assert "--overwrite" in last
    assert run(*asked, *FAST, "--resume")[0] == 0
    assert not (tmp_path / ".out.partial").exists()
