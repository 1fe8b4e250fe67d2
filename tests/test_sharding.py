import glob
import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from small import make_cells

import aidocell
from aidocell.counts import InputOptions
from aidocell.counts.align import align_file
from aidocell.embedding import _forward
from aidocell.errors import InputError, MachineError
from aidocell.gathering import gather
from aidocell.lock import hold
from aidocell.model import checkpoint_info, load_model
from aidocell.planning import plan_shards
from aidocell.sharding import embed_shard
from aidocell.standalone import embed_file, embedded
from aidocell.store import StoreReader, read_store

OPTIONS = {"pooling": "mean", "precision": "float32", "attention": "sdpa"}


@pytest.fixture
def counts(tmp_path, cells_file, tiny_checkpoint):
    path = tmp_path / "counts.zarr.zip"
    align_file(cells_file, path, vocabulary=load_model(tiny_checkpoint).genes)
    return path


def run_shards(counts, checkpoint, folder, *, size, order=1):
    plan = plan_shards(
        counts,
        folder / "shards.json",
        checkpoint=asdict(checkpoint_info(checkpoint)),
        shard_cells=size,
        **OPTIONS,
    )
    paths = []
    for start, stop in plan["shards"][::order]:
        paths.append(folder / f"{start}-{stop}.zarr.zip")
        embed_shard(counts, folder / "shards.json", f"{start}-{stop}", paths[-1], model=checkpoint)
    output = folder / "embeddings.zarr.zip"
    gather(counts, folder / "shards.json", paths, output)
    return output


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_shards_of_any_size_and_order_give_the_bytes_of_the_whole(
    tmp_path, counts, tiny_checkpoint
):
    outputs = []
    for name, size, order in (("whole", 40, 1), ("seven", 7, 1), ("backwards", 13, -1)):
        (tmp_path / name).mkdir()
        outputs.append(run_shards(counts, tiny_checkpoint, tmp_path / name, size=size, order=order))
    assert len({sha256(path) for path in outputs}) == 1


def test_shards_equal_the_python_function_and_the_command(
    tmp_path, counts, cells_file, tiny_checkpoint
):
    sharded = read_store(run_shards(counts, tiny_checkpoint, tmp_path, size=9))
    embed_file(cells_file, tiny_checkpoint, tmp_path / "e.zarr.zip")
    alone = read_store(tmp_path / "e.zarr.zip")
    model = load_model(tiny_checkpoint)
    by_hand = aidocell.embed(
        model, aidocell.align(aidocell.read_counts(cells_file), genes=model.genes)
    )
    assert np.array_equal(sharded.obsm["X_aidocell"], by_hand)
    assert np.array_equal(alone.obsm["X_aidocell"], by_hand)
    assert sharded.obs_names.tolist() == alone.obs_names.tolist()
    assert set(sharded.obs) >= {"cell_type", "donor"}


def test_provenance_says_what_was_asked_for_and_what_it_became(
    tmp_path, cells_file, tiny_checkpoint
):
    embed_file(cells_file, tiny_checkpoint, tmp_path / "e.zarr.zip")
    record = read_store(tmp_path / "e.zarr.zip").uns["aidocell"]
    assert record["options"] == {"pooling": "mean", "precision": "auto", "attention": "auto"}
    assert record["resolved"]["attention"] == "sdpa"
    assert record["model"]["sha256"] == checkpoint_info(tiny_checkpoint).sha256
    assert record["input_sha256"] == sha256(cells_file)
    assert str(tmp_path) not in str(record)


def test_gathered_embeddings_name_the_input_of_today_and_keep_its_older_shards(
    tmp_path, counts, cells_file, tiny_checkpoint
):
    run_shards(counts, tiny_checkpoint, tmp_path, size=40)
    shard, output = tmp_path / "0-40.zarr.zip", tmp_path / "embeddings.zarr.zip"
    assert read_store(shard).uns["aidocell"]["input_sha256"] == sha256(cells_file)
    again = ad.read_h5ad(cells_file)
    again.uns["note"] = "the same counts in a file of other bytes"
    again.write_h5ad(cells_file)
    align_file(cells_file, counts, vocabulary=load_model(tiny_checkpoint).genes, overwrite=True)
    gather(counts, tmp_path / "shards.json", [shard], output)
    assert read_store(output).uns["aidocell"]["input_sha256"] == sha256(cells_file)


def test_a_plan_is_kept_until_its_key_changes(tmp_path, counts, tiny_checkpoint):
    info = asdict(checkpoint_info(tiny_checkpoint))
    first = plan_shards(counts, tmp_path / "p.json", checkpoint=info, shard_cells=10, **OPTIONS)
    kept = plan_shards(counts, tmp_path / "p.json", checkpoint=info, shard_cells=5, **OPTIONS)
    assert kept == first
    other = plan_shards(
        counts, tmp_path / "p.json", checkpoint=info, shard_cells=5, **{**OPTIONS, "pooling": "max"}
    )
    assert other["key"] != first["key"]
    assert len(other["shards"]) == 8


def test_a_shard_of_another_plan_is_never_gathered(tmp_path, counts, tiny_checkpoint):
    (tmp_path / "old").mkdir()
    run_shards(counts, tiny_checkpoint, tmp_path / "old", size=40)
    info = asdict(checkpoint_info(tiny_checkpoint))
    plan_shards(counts, tmp_path / "p.json", checkpoint=info, **{**OPTIONS, "pooling": "max"})
    with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*run key"):
        gather(
            counts, tmp_path / "p.json", [tmp_path / "old/0-40.zarr.zip"], tmp_path / "e.zarr.zip"
        )


def test_a_missing_shard_is_noticed(tmp_path, counts, tiny_checkpoint):
    run_shards(counts, tiny_checkpoint, tmp_path, size=20)
    with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*cells"):
        gather(
            counts, tmp_path / "shards.json", [tmp_path / "0-20.zarr.zip"], tmp_path / "e.zarr.zip"
        )


def test_counts_that_changed_after_the_plan_are_refused(tmp_path, counts, tiny_checkpoint):
    info = asdict(checkpoint_info(tiny_checkpoint))
    plan_shards(counts, tmp_path / "p.json", checkpoint=info, **OPTIONS)
    make_cells(40, seed=1).write_h5ad(tmp_path / "other.h5ad")
    genes = load_model(tiny_checkpoint).genes
    align_file(tmp_path / "other.h5ad", counts, vocabulary=genes, overwrite=True)
    with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*counts digest"):
        embed_shard(
            counts, tmp_path / "p.json", "0-40", tmp_path / "s.zarr.zip", model=tiny_checkpoint
        )


def test_cells_without_counts_are_left_out_by_name(tmp_path, tiny_checkpoint):
    cells = make_cells(10)
    dense = cells.X.toarray()
    dense[[2, 7]] = 0
    cells.X = dense
    cells.write_h5ad(tmp_path / "cells.h5ad")
    embed_file(tmp_path / "cells.h5ad", tiny_checkpoint, tmp_path / "e.zarr.zip")
    embedded = read_store(tmp_path / "e.zarr.zip")
    assert embedded.obs_names.tolist() == [f"cell{i}" for i in range(10) if i not in (2, 7)]
    assert embedded.uns["aidocell"]["left_out"] == ["cell2", "cell7"]
    assert np.isfinite(embedded.obsm["X_aidocell"]).all()


def test_an_aligned_store_is_embedded_as_it_is(tmp_path, counts, cells_file, tiny_checkpoint):
    embed_file(counts, tiny_checkpoint, tmp_path / "a.zarr.zip")
    embed_file(cells_file, tiny_checkpoint, tmp_path / "b.zarr.zip")
    first, second = read_store(tmp_path / "a.zarr.zip"), read_store(tmp_path / "b.zarr.zip")
    assert np.array_equal(first.obsm["X_aidocell"], second.obsm["X_aidocell"])


def test_a_store_of_embeddings_passes_and_an_input_is_embedded(
    tmp_path, cells_file, tiny_checkpoint
):
    embed_file(cells_file, tiny_checkpoint, tmp_path / "e.zarr.zip")
    reading = InputOptions()
    with embedded(tmp_path / "e.zarr.zip", model=None, input_options=reading) as store:
        assert store == tmp_path / "e.zarr.zip"
    with embedded(cells_file, model=tiny_checkpoint, input_options=reading) as store:
        assert sha256(store) == sha256(tmp_path / "e.zarr.zip")
    with (
        pytest.raises(InputError, match=r"E_USAGE.*--model"),
        embedded(cells_file, model=None, input_options=reading),
    ):
        pass


def test_refused_input_leaves_nothing_beside_the_output(tmp_path, tiny_checkpoint):
    cells = make_cells(5)
    cells.X = np.log1p(cells.X.toarray() / 7)
    cells.write_h5ad(tmp_path / "normalised.h5ad")
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(InputError, match="E_NOT_COUNTS"):
        embed_file(tmp_path / "normalised.h5ad", tiny_checkpoint, folder / "e.zarr.zip")
    assert list(folder.iterdir()) == []


def test_a_matrix_without_any_count_is_refused(tmp_path, tiny_checkpoint):
    cells = make_cells(3)
    cells.X = cells.X * 0
    cells.write_h5ad(tmp_path / "zero.h5ad")
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(InputError, match=r"E_NO_CELLS.*none of the 3 cells"):
        embed_file(tmp_path / "zero.h5ad", tiny_checkpoint, folder / "e.zarr.zip")
    assert list(folder.iterdir()) == []


def test_an_output_that_a_living_process_holds_is_refused(tmp_path, cells_file, tiny_checkpoint):
    with hold(tmp_path / ".e.zarr.zip.lock"), pytest.raises(MachineError, match="E_LOCKED"):
        embed_file(cells_file, tiny_checkpoint, tmp_path / "e.zarr.zip")


def start_embedding(source, checkpoint, output):
    code = "import sys; from aidocell.standalone import embed_file; embed_file(*sys.argv[1:], block_cells=50)"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, (source, checkpoint, output))],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_checkpoint):
    folder = tmp_path_factory.mktemp("undisturbed")
    make_cells(500).write_h5ad(folder / "cells.h5ad")
    output = folder / "embeddings.zarr.zip"
    embed_file(folder / "cells.h5ad", tiny_checkpoint, output)
    return folder / "cells.h5ad", output


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def saved_blocks(output):
    # unlike pathlib, it does not mind folders that vanish meanwhile
    pattern = f"{output.parent}/.{output.name}.partial/*/.*.partial/[0-9]*.parquet"
    return [Path(name) for name in glob.glob(pattern, include_hidden=True)]  # noqa: PTH207


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_embed_goes_on_and_gives_the_same_bytes(
    tmp_path, undisturbed, tiny_checkpoint, monkeypatch, signal_number
):
    source, expected = undisturbed
    output = tmp_path / "killed.zarr.zip"
    process = start_embedding(source, tiny_checkpoint, output)
    wait_for(lambda: len(saved_blocks(output)) >= 2, process)
    process.send_signal(signal_number)
    assert process.wait() != 0
    assert not output.exists()
    last = max(int(path.name.split("-")[1].split(".")[0]) for path in saved_blocks(output))
    computed = count_cells(monkeypatch)
    embed_file(source, tiny_checkpoint, output)
    assert sum(computed) == 500 - last
    assert sha256(output) == sha256(expected)
    assert [p.name for p in tmp_path.iterdir()] == [output.name]


def count_cells(monkeypatch):
    """A list that gains the size of every batch which passes the model."""
    sizes = []

    def counted(model, rows, *rest):
        sizes.append(rows.shape[0])
        return _forward(model, rows, *rest)

    monkeypatch.setattr("aidocell.embedding._forward", counted)
    return sizes


def test_a_damaged_shard_of_a_killed_embed_is_made_again(
    tmp_path, cells_file, tiny_checkpoint, monkeypatch
):
    embed_file(cells_file, tiny_checkpoint, tmp_path / "expected.zarr.zip")
    output = tmp_path / "e.zarr.zip"

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("aidocell.standalone.gather", killed)
        with pytest.raises(KeyboardInterrupt):
            embed_file(cells_file, tiny_checkpoint, output)
    (shard,) = tmp_path.glob(".e.zarr.zip.partial/*/0-40.zarr.zip")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    embed_file(cells_file, tiny_checkpoint, output)
    assert sha256(output) == sha256(tmp_path / "expected.zarr.zip")


@pytest.mark.parametrize(
    ("harm", "alignments"), [("none", 0), ("counts", 1), ("record", 1), ("input", 1)]
)
def test_a_killed_embed_aligns_again_only_what_is_not_there_whole(
    tmp_path, tiny_checkpoint, monkeypatch, harm, alignments
):
    source, output = tmp_path / "cells.h5ad", tmp_path / "e.zarr.zip"
    make_cells(40).write_h5ad(source)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("aidocell.standalone.gather", killed)
        with pytest.raises(KeyboardInterrupt):
            embed_file(source, tiny_checkpoint, output)
    if harm == "input":
        make_cells(40, seed=9).write_h5ad(source)
    elif harm != "none":
        name = {"counts": "counts.zarr.zip", "record": "aligned.json"}[harm]
        harmed = tmp_path / ".e.zarr.zip.partial" / name
        content = bytearray(harmed.read_bytes())
        content[len(content) // 2] ^= 1
        harmed.write_bytes(content)
    calls = []

    def counted(*args, **options):
        calls.append(args)
        return align_file(*args, **options)

    monkeypatch.setattr("aidocell.standalone.align_file", counted)
    embed_file(source, tiny_checkpoint, output)
    assert len(calls) == alignments
    embed_file(source, tiny_checkpoint, tmp_path / "expected.zarr.zip")
    assert sha256(output) == sha256(tmp_path / "expected.zarr.zip")


def test_shard_holds_names_and_vectors_alone(tmp_path, counts, tiny_checkpoint):
    run_shards(counts, tiny_checkpoint, tmp_path, size=20)
    shard = read_store(tmp_path / "20-40.zarr.zip")
    assert isinstance(shard, ad.AnnData)
    assert shard.obs.shape == (20, 0)
    with StoreReader(counts) as store:
        assert shard.obs_names.tolist() == store.obs.index[20:].tolist()
