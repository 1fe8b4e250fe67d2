"""A shard's work so far: what a killed job goes on from, and what it must not."""

import errno
import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from small import TINY, make_cells

from aidocell import blocks, store, tables
from aidocell.counts.align import align_file
from aidocell.embedding import _forward
from aidocell.errors import MachineError
from aidocell.model import checkpoint_info, load_model
from aidocell.planning import plan_shards
from aidocell.sharding import embed_shard
from aidocell.store import read_store
from aidocell.tables import about_table, new_table

OPTIONS = {"pooling": "mean", "precision": "float32", "attention": "sdpa"}
EMPTY = (0, 6, 7, 13, 39)  # cells without a count: at ends and borders of blocks


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Counts of 40 cells and their plan of one shard."""
    folder = tmp_path_factory.mktemp("planned")
    cells = make_cells(40)
    counted = ~np.isin(np.arange(40), EMPTY)
    cells.X = cells.X.multiply(counted[:, None]).tocsr()
    cells.write_h5ad(folder / "cells.h5ad")
    counts = folder / "counts.zarr.zip"
    align_file(folder / "cells.h5ad", counts, vocabulary=load_model(str(TINY)).genes)
    info = asdict(checkpoint_info(str(TINY)))
    plan_shards(counts, folder / "shards.json", checkpoint=info, **OPTIONS)
    return folder


def embed(planned, output, **options):
    counts, plan = planned / "counts.zarr.zip", planned / "shards.json"
    embed_shard(counts, plan, "0-40", output, model=str(TINY), device="cpu", **options)


@pytest.fixture(scope="module")
def expected(planned):
    """The undisturbed shard's bytes."""
    embed(planned, planned / "0-40.zarr.zip")
    return sha256(planned / "0-40.zarr.zip")


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


@pytest.fixture
def forward(monkeypatch):
    """Counts the cells that pass the model, and kills the job or fails at one of them."""

    class Forward:
        cells = 0
        kill_at = None
        largest = None

        def __call__(self, model, rows, *rest):
            if self.cells == self.kill_at:
                raise Killed
            if self.largest and rows.shape[0] > self.largest:
                raise torch.cuda.OutOfMemoryError("out of memory, says a stand-in")
            self.cells += rows.shape[0]
            return _forward(model, rows, *rest)

    stand_in = Forward()
    monkeypatch.setattr("aidocell.embedding._forward", stand_in)
    return stand_in


def kill(planned, output, forward, *, after, **options):
    forward.kill_at = after
    with pytest.raises(Killed):
        embed(planned, output, **options)
    forward.kill_at, forward.cells = None, 0


@pytest.mark.parametrize("block_cells", [3, 7])
def test_the_size_of_blocks_changes_no_byte_and_nothing_stays_behind(
    tmp_path, planned, expected, block_cells
):
    embed(planned, tmp_path / "0-40.zarr.zip", block_cells=block_cells)
    assert sha256(tmp_path / "0-40.zarr.zip") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["0-40.zarr.zip"]


def test_a_killed_shard_goes_on_from_its_blocks(tmp_path, planned, expected, forward):
    output = tmp_path / "0-40.zarr.zip"
    kill(planned, output, forward, after=20, block_cells=7)
    assert not output.exists()
    embed(planned, output, block_cells=7)
    assert forward.cells == 35 - 17  # of rows 0 to 20 three have no count; row 21 on is left
    assert sha256(output) == expected


def test_work_is_saved_by_time_in_whole_cells(tmp_path, planned, expected, forward, monkeypatch):
    monkeypatch.setattr(blocks, "_SECONDS_BETWEEN_SAVES", 0)
    output = tmp_path / "0-40.zarr.zip"
    kill(planned, output, forward, after=20)
    embed(planned, output)
    assert forward.cells == 35 - 20
    assert sha256(output) == expected


def test_killed_again_and_again_it_still_ends_with_the_same_bytes(
    tmp_path, planned, expected, forward
):
    output = tmp_path / "0-40.zarr.zip"
    for _ in range(4):
        kill(planned, output, forward, after=9, block_cells=5)
    embed(planned, output, block_cells=11)
    assert sha256(output) == expected


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def changed(change, **about):
    """A block that is whole and of something else."""

    def rewrite(path):
        table, record = pq.read_table(path), {**about_table(path), **about}
        table = change(table).replace_schema_metadata(None)
        with new_table(path, table.schema, about=record) as writer:
            writer.write_table(table)

    return rewrite


def reordered(table):
    return table.take(list(range(table.num_rows))[::-1])


def not_finite(table):
    rows = table["vector"].to_pylist()
    rows[0][0] = float("nan")
    return table.set_column(1, "vector", pa.array(rows, table.schema.field("vector").type))


def renamed(path):
    path.rename(path.with_name("0-9.parquet"))


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        cut,
        renamed,
        lambda path: path.write_text("no table"),
        changed(reordered),
        changed(not_finite),
        changed(lambda table: table.slice(1)),
        changed(lambda table: table, key="of another device"),
        changed(lambda table: table, left_out=["cell0", "cell1"]),
    ],
)
def test_a_block_that_is_damaged_or_anothers_is_made_again(
    tmp_path, planned, expected, forward, damage
):
    output = tmp_path / "0-40.zarr.zip"
    kill(planned, output, forward, after=8, block_cells=7)
    (block,) = (tmp_path / ".0-40.zarr.zip.partial").iterdir()
    damage(block)
    embed(planned, output, block_cells=7)
    assert forward.cells == 35
    assert sha256(output) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["0-40.zarr.zip"]


def test_another_writer_that_deletes_the_blocks_does_no_harm(
    tmp_path, planned, expected, monkeypatch
):
    output = tmp_path / "0-40.zarr.zip"
    folder = tmp_path / ".0-40.zarr.zip.partial"
    close, closed = tables._close, []

    def disturbed(path):
        close(path)
        closed.append(path)
        shutil.rmtree(folder, ignore_errors=True)

    monkeypatch.setattr(tables, "_close", disturbed)
    embed(planned, output, block_cells=7)
    assert len(closed) == 5
    assert sha256(output) == expected


def test_a_shard_that_the_disk_gives_back_otherwise_gets_no_name(tmp_path, planned, monkeypatch):
    pack = store.pack

    def lying(source, target):
        (chunk,) = source.glob("obsm/X_aidocell/c/0/0")
        flip(chunk)
        pack(source, target)

    monkeypatch.setattr(store, "pack", lying)
    with pytest.raises(MachineError, match=r"E_STORE_DAMAGED.*other bytes"):
        embed(planned, tmp_path / "0-40.zarr.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", ["aidocell.tables._close", "aidocell.store.pack"])
def test_a_disk_that_fills_up_leaves_no_part_and_the_restart_finishes(
    tmp_path, planned, expected, monkeypatch, forward, writer
):
    output = tmp_path / "0-40.zarr.zip"

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, full)
        with pytest.raises(MachineError, match=r"E_DISK_FULL.*run the same command again"):
            embed(planned, output, block_cells=7)
    assert not output.exists()
    assert not list(tmp_path.rglob("*.tmp*"))
    forward.cells = 0
    embed(planned, output, block_cells=7)
    assert forward.cells == (4 if writer.endswith("pack") else 35)  # the last block is not saved
    assert sha256(output) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["0-40.zarr.zip"]


def test_a_disk_without_room_is_refused_before_the_work(tmp_path, planned, forward, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("aidocell.files.shutil.disk_usage", lambda _: usage)
    with pytest.raises(MachineError, match=r"E_DISK_FULL.*rows 0-40 needs"):
        embed(planned, tmp_path / "0-40.zarr.zip")
    assert forward.cells == 0
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def batches_of_eight(monkeypatch):
    """As on a GPU; a CPU takes one cell at a time."""
    monkeypatch.setattr("aidocell.embedding._batch_size", lambda *_: 8)


def test_a_shard_that_runs_out_of_gpu_memory_goes_on_with_half_the_batch(
    tmp_path, planned, forward, batches_of_eight, caplog
):
    embed(planned, planned / "whole.zarr.zip")
    forward.largest = 3
    embed(planned, tmp_path / "0-40.zarr.zip", block_cells=10)
    whole, halved = read_store(planned / "whole.zarr.zip"), read_store(tmp_path / "0-40.zarr.zip")
    assert halved.obs_names.equals(whole.obs_names)
    assert abs(halved.obsm["X_aidocell"] - whole.obsm["X_aidocell"]).max() < 1e-5
    # 8, then 4, then 2 for the rest of the shard and not of its first block alone
    assert [r.args for r in caplog.records if "ran out" in r.message] == [(8, 4), (4, 2)]


def test_a_cell_that_does_not_fit_keeps_what_was_done(
    tmp_path, planned, expected, forward, batches_of_eight, monkeypatch
):
    output = tmp_path / "0-40.zarr.zip"
    monkeypatch.setattr("aidocell.embedding._batch_size", lambda *_: 1)

    def none_fits(model, rows, *rest):
        if forward.cells == 20:
            raise torch.cuda.OutOfMemoryError("out of memory, says a stand-in")
        return forward(model, rows, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("aidocell.embedding._forward", none_fits)
        with pytest.raises(MachineError, match=r"E_GPU_MEMORY.*larger GPU"):
            embed(planned, output, block_cells=7)
    assert not output.exists()
    embed(planned, output, block_cells=7)
    assert sha256(output) == expected
