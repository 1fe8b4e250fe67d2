"""Cells of many stores in random order: each once an epoch, in little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pretraining import GENES, make_store, write_counts
from scipy import sparse
from small import make_cells

from aidocell.errors import InputError
from aidocell.store import StoreReader, read_store, write_store
from aidocell.train.pretrain_options import PretrainOptions
from aidocell.train.streaming import StoredCells, Stream


def stored(sizes, empty=()):
    """Cells of stores of these sizes, whose counts nobody asks for."""
    return StoredCells(
        paths=(),
        digests=(),
        starts=np.cumsum([0, *sizes]),
        measured=np.ones((len(sizes), 1), bool),
        empty=np.array(empty, int),
    )


def epoch_of(stream, epoch=0):
    return np.concatenate(list(stream.order(epoch)))


@settings(deadline=None)
@given(
    sizes=some.lists(some.integers(1, 60), min_size=1, max_size=5),
    block_cells=some.integers(1, 30),
    blocks=some.integers(1, 6),
    seed=some.integers(0, 2**32 - 1),
    data=some.data(),
)
def test_every_cell_that_is_not_left_out_comes_once_an_epoch(
    sizes, block_cells, blocks, seed, data
):
    every = sum(sizes)
    left_out = data.draw(some.lists(some.integers(0, every - 1), unique=True))
    stream = Stream(
        stored(sizes),
        np.sort(left_out).astype(int),
        seed=seed,
        block_cells=block_cells,
        blocks=blocks,
    )
    expected = np.setdiff1d(np.arange(every), left_out)
    for epoch in (0, 3):
        windows = list(stream.order(epoch))
        assert sorted(np.concatenate(windows)) == expected.tolist()
        assert all(len(window) <= block_cells * blocks for window in windows)
    assert len(stream) == len(expected)


def test_another_epoch_or_seed_has_another_order_and_the_same_one_the_same():
    def order(seed, epoch):
        stream = Stream(stored([300, 200]), np.array([], int), seed=seed, block_cells=10, blocks=4)
        return epoch_of(stream, epoch).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_neighbours_in_a_file_come_far_apart():
    stream = Stream(stored([4000]), np.array([], int), seed=0, block_cells=20, blocks=10)
    places = np.argsort(epoch_of(stream))
    assert np.median(np.abs(np.diff(places))) > 40
    assert abs(np.corrcoef(places, np.arange(4000))[0, 1]) < 0.2


@pytest.fixture(scope="module")
def three_stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [
        make_store(folder / f"{seed}.zarr.zip", cells, seed=seed)
        for seed, cells in ((1, 30), (2, 17), (3, 8))
    ]


@pytest.fixture(scope="module")
def cells(three_stores):
    return StoredCells.of(three_stores, genes_sha256=GENES.sha256)


def whole(cells):
    return sparse.vstack([read_store(path).X for path in cells.paths]).toarray()


def test_a_batch_has_the_counts_of_its_cells_wherever_it_begins(cells):
    counts = whole(cells)
    stream = Stream(cells, np.array([3, 31]), seed=0, block_cells=5, blocks=3)
    order = np.concatenate([epoch_of(stream, epoch) for epoch in range(3)])
    for start in (0, 4, 40, 50, 60, 104):
        batch = stream.batch(start, 12)
        np.testing.assert_array_equal(batch.cells, order[start : start + 12])
        np.testing.assert_array_equal(batch.epochs, np.arange(start, start + 12) // 53)
        np.testing.assert_array_equal(batch.counts.toarray(), counts[batch.cells])


def test_chosen_cells_have_their_counts(cells):
    chosen = np.array([0, 4, 5, 33, 54])
    found = cells.chosen(chosen, block_cells=7)
    np.testing.assert_array_equal(found.toarray(), whole(cells)[chosen])


def test_the_order_in_which_files_are_given_changes_nothing(cells, three_stores):
    turned = StoredCells.of(three_stores[::-1], genes_sha256=GENES.sha256)
    assert turned.paths == cells.paths
    assert turned.digests == cells.digests


@pytest.mark.parametrize(("devices", "accumulate"), [(2, 1), (2, 3), (5, 2)])
def test_processes_see_disjoint_cells_which_together_are_those_of_the_step(
    cells, devices, accumulate
):
    options = PretrainOptions(batch_size=2, accumulate=accumulate, devices=devices)
    stream = Stream(cells, np.array([], int), seed=0, block_cells=5, blocks=3)
    for step in range(3):
        own = [stream.batch(*options.share(step, rank)).cells for rank in range(devices)]
        together = stream.batch(step * options.step_cells, options.step_cells).cells
        np.testing.assert_array_equal(np.concatenate(own), together)
        if options.step_cells <= 20 and step == 0:
            assert len(set(together)) == options.step_cells


def test_cells_without_a_count_are_found(tmp_path):
    counts = make_cells(10).X.toarray()
    counts[[2, 7]] = 0
    path = write_counts(tmp_path / "counts.zarr.zip", sparse.csr_matrix(counts))
    found = StoredCells.of([path], genes_sha256=GENES.sha256)
    assert found.empty.tolist() == [2, 7]


def test_a_store_over_other_genes_is_refused(three_stores):
    with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*gene list"):
        StoredCells.of(three_stores, genes_sha256="0" * 64)


def test_a_store_given_twice_is_refused(three_stores):
    with pytest.raises(InputError, match=r"E_USAGE.*same cells"):
        StoredCells.of([*three_stores, three_stores[0]], genes_sha256=GENES.sha256)


def test_a_store_with_one_changed_byte_is_refused(three_stores, tmp_path):
    path = tmp_path / "changed.zarr.zip"
    content = bytearray(three_stores[0].read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="E_STORE_DAMAGED"):
        StoredCells.of([path], genes_sha256=GENES.sha256)


def test_a_store_without_counts_is_refused(three_stores, tmp_path):
    adata = read_store(three_stores[0])
    adata.X = None
    write_store(adata, tmp_path / "none.zarr.zip", provenance={"genes_sha256": GENES.sha256})
    with pytest.raises(InputError, match=r"E_FILE_FORMAT.*aidocell align"):
        StoredCells.of([tmp_path / "none.zarr.zip"], genes_sha256=GENES.sha256)


def peak_of_an_epoch(path, **window):
    cells = StoredCells.of([path], genes_sha256=GENES.sha256)
    stream = Stream(cells, cells.empty, seed=0, **window)
    tracemalloc.start()
    for start in range(0, len(stream), 64):
        stream.batch(start, 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_grows_with_the_window_and_not_with_the_cells(tmp_path):
    counts = make_cells(400).X
    small = write_counts(tmp_path / "small.zarr.zip", sparse.vstack([counts] * 3))
    large = write_counts(tmp_path / "large.zarr.zip", sparse.vstack([counts] * 15))
    window = {"block_cells": 100, "blocks": 4}
    few, many = (peak_of_an_epoch(path, **window) for path in (small, large))
    assert many < 2 * few
    with StoreReader(large) as store:
        assert store.shape[0] == 6000
