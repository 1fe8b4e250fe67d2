"""A fine-tuning that was killed anywhere goes on to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small import TINY, make_cells

from aidocell.errors import InputError, MachineError
from aidocell.lock import hold
from aidocell.train import finetune_loop
from aidocell.train.finetune import STATE, finetune
from aidocell.train.finetune_files import finetune_file


class Killed(BaseException):
    """Stands for the end of a process."""


def interrupted(monkeypatch, steps, folder, *cells, **arguments):
    """A training that ends right after so many steps, each of them saved."""
    step, done = finetune_loop._Training._step, []

    def counted(self, batches):
        if len(done) == steps:
            raise Killed
        done.append(None)
        return step(self, batches)

    with monkeypatch.context() as patched:
        patched.setattr(finetune_loop._Training, "_step", counted)
        with pytest.raises(Killed):
            finetune(*cells, folder=folder, save_seconds=0, **arguments)


def weights(tuned):
    return {name: w.detach().clone() for name, w in tuned.network.state_dict().items()}


@pytest.fixture(scope="module")
def options(quick):
    return quick(batch_size=12, head="mlp", class_weights=True)


@pytest.fixture(scope="module")
def uninterrupted(model, cells, options):
    return finetune(*cells, model=model, options=options)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5])
def test_a_resumed_training_has_the_weights_of_an_uninterrupted_one_bit_by_bit(
    model, cells, options, uninterrupted, tmp_path, monkeypatch, steps
):
    interrupted(monkeypatch, steps, tmp_path, *cells, model=model, options=options)
    resumed = finetune(*cells, model=model, options=options, folder=tmp_path, resume=True)
    expected, found = weights(uninterrupted), weights(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert resumed.history.equals(uninterrupted.history)
    assert resumed.content == uninterrupted.content


@pytest.mark.parametrize("mode", ["frozen", "lora"])
def test_other_modes_go_on_too(model, cells, quick, tmp_path, monkeypatch, mode):
    options = quick(mode=mode)
    expected = weights(finetune(*cells, model=model, options=options))
    interrupted(monkeypatch, 6, tmp_path, *cells, model=model, options=options)
    found = weights(finetune(*cells, model=model, options=options, folder=tmp_path, resume=True))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.fixture
def begun(model, cells, options, tmp_path, monkeypatch):
    """A folder with the state of a training that has just begun."""
    interrupted(monkeypatch, 1, tmp_path, *cells, model=model, options=options)
    return tmp_path


def test_a_state_is_not_gone_on_from_unasked(model, cells, options, begun):
    with pytest.raises(InputError, match=r"E_OUTPUT_EXISTS.*unfinished.*--resume"):
        finetune(*cells, model=model, options=options, folder=begun)


def test_a_state_of_other_options_cells_or_seed_is_refused(model, cells, quick, options, begun):
    counts, labels = cells
    for changed in (
        {"options": quick(batch_size=12, head="mlp")},
        {"options": options, "seed": 7},
        {"options": options, "groups": labels},
    ):
        with pytest.raises(InputError, match="E_STORE_MISMATCH"):
            finetune(counts, labels, model=model, folder=begun, resume=True, **changed)
    with pytest.raises(InputError, match="E_STORE_MISMATCH"):
        finetune(counts[1:], labels[1:], model=model, options=options, folder=begun, resume=True)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
def test_a_state_with_one_changed_byte_is_refused(model, cells, options, begun, place):
    path = begun / STATE
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"E_FILE_DAMAGED.*begin anew"):
        finetune(*cells, model=model, options=options, folder=begun, resume=True)


ASKED = {"label": "cell_type", "group": "donor"}


def folder_bytes(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.fixture(scope="module")
def longer(quick):
    return quick(batch_size=4, epochs=6)


PROCESS = """
import sys
from aidocell.train.finetune_files import finetune_file
from aidocell.train.options import FinetuneOptions

options = FinetuneOptions(batch_size=4, epochs=6, device="cpu", validation_share=0.2)
finetune_file(*sys.argv[1:4], label="cell_type", group="donor", options=options, save_seconds=0)
"""


def test_a_process_that_is_killed_outright_goes_on_to_the_same_bytes(cells_file, longer, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, cells_file, TINY, killed],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    state, seen = tmp_path / ".killed.partial" / STATE, set()
    while len(seen) < 4:
        assert process.poll() is None
        if state.exists():
            seen.add(state.stat().st_mtime_ns)
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    with pytest.raises(InputError, match=r"E_OUTPUT_EXISTS.*unfinished work.*--resume"):
        finetune_file(cells_file, str(TINY), killed, options=longer, **ASKED)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums of another order would differ in their last bits
    try:
        finetune_file(cells_file, str(TINY), killed, options=longer, resume=True, **ASKED)
        finetune_file(cells_file, str(TINY), whole, options=longer, **ASKED)
    finally:
        torch.set_num_threads(threads)
    assert folder_bytes(killed) == folder_bytes(whole)
    hidden = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert not hidden


def test_unfinished_work_is_begun_anew_with_overwrite(cells_file, quick, tmp_path):
    work = tmp_path / ".out.partial"
    work.mkdir()
    (work / STATE).write_bytes(b"torn")
    finetune_file(
        cells_file,
        str(TINY),
        tmp_path / "out",
        options=quick(mode="frozen", epochs=1),
        overwrite=True,
        **ASKED,
    )
    assert not work.exists()


def test_a_second_process_on_one_output_is_refused(cells_file, quick, tmp_path):
    with hold(tmp_path / ".out.lock"), pytest.raises(MachineError, match="E_LOCKED"):
        finetune_file(cells_file, str(TINY), tmp_path / "out", options=quick(), **ASKED)


def test_a_refused_input_leaves_nothing(cells_file, quick, tmp_path):
    before = set(tmp_path.iterdir())
    with pytest.raises(InputError, match="E_LABEL_MISSING"):
        finetune_file(cells_file, str(TINY), tmp_path / "out", label="celltype", options=quick())
    assert set(tmp_path.iterdir()) == before


def test_cells_without_a_count_or_label_are_left_out_by_name(quick, tmp_path, caplog):
    adata = make_cells(40)
    counts = adata.X.toarray()
    counts[3] = 0
    adata.X = counts
    adata.obs.loc["cell5", "cell_type"] = np.nan
    adata.write_h5ad(tmp_path / "cells.h5ad")
    options = quick(mode="frozen", epochs=1)
    finetune_file(
        tmp_path / "cells.h5ad", str(TINY), tmp_path / "out", label="cell_type", options=options
    )
    assert "1 cell without a count (first: cell3)" in caplog.text
    assert "1 cell without a label" in caplog.text
