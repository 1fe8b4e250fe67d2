import random
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from aidocell.errors import InputError
from aidocell.tables import about_table, new_table, read_table, verify_table, write_table

TABLE = pd.DataFrame(
    {
        "cell": [f"cell{i}" for i in range(6)],
        "x": [0.5, np.nan, 2, 3, 4, 5],
        "type": pd.Categorical(["B", "T"] * 3),
    }
)
ABOUT = {"seed": 1, "where": "Zürich", "inner": {"none": None}}


@pytest.fixture
def path(tmp_path):
    write_table(TABLE, tmp_path / "t.parquet", about=ABOUT)
    return tmp_path / "t.parquet"


def test_a_table_comes_back_with_what_it_was_made_from(path):
    read = read_table(path)
    assert read.attrs == about_table(path) == ABOUT
    pd.testing.assert_frame_equal(read, TABLE)


def test_any_reader_of_parquet_takes_a_sealed_table(path):
    pd.testing.assert_frame_equal(pd.read_parquet(path), TABLE)


def test_a_part_of_a_table_is_read_after_the_whole_is_checked(path):
    read = read_table(path, columns=["cell"], filters=[("type", "==", "T")])
    assert read["cell"].tolist() == ["cell1", "cell3", "cell5"]


def test_a_table_has_the_same_bytes_each_time(path, tmp_path):
    write_table(TABLE, tmp_path / "again", about=ABOUT)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_flipped_bits_and_cuts_anywhere_in_a_table_are_noticed(path):
    whole = path.read_bytes()
    chance = random.Random(0)
    damaged = [whole[:end] for end in (0, 3, 8, *chance.sample(range(len(whole)), 60))]
    for bit in chance.sample(range(8 * len(whole)), 200):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"E_STORE_DAMAGED.*t\.parquet"):
            verify_table(path)


def test_a_table_without_a_seal_is_none_of_ours(tmp_path):
    TABLE.to_parquet(tmp_path / "plain.parquet")
    with pytest.raises(InputError, match=r"E_STORE_DAMAGED.*its seal is missing"):
        read_table(tmp_path / "plain.parquet")
    with pytest.raises(InputError, match="E_STORE_DAMAGED"):
        about_table(tmp_path / "plain.parquet")


def test_a_table_that_is_not_there_is_named(tmp_path):
    for ask in (read_table, about_table, verify_table):
        with pytest.raises(InputError, match=r"E_FILE_MISSING.*none\.parquet"):
            ask(tmp_path / "none.parquet")


def write_in_groups(path, groups):
    schema = pa.schema([("x", pa.float64())])
    with new_table(path, schema, about={}) as writer:
        for group in range(groups):
            values = np.random.default_rng(group).random(20_000)
            writer.write_table(pa.table({"x": values}, schema=schema))
    verify_table(path)


def test_row_groups_pass_one_by_one_in_bounded_memory(tmp_path):
    peaks = []
    for groups in (2, 20):
        tracemalloc.start()
        before = pa.total_allocated_bytes()
        write_in_groups(tmp_path / "big.parquet", groups)
        peaks.append(tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - before)
        tracemalloc.stop()
    assert len(read_table(tmp_path / "big.parquet")) == 400_000
    assert peaks[1] < 2 * peaks[0]
    verify_table(tmp_path / "big.parquet")


def test_a_failing_writer_leaves_nothing(tmp_path):
    schema = pa.schema([("x", pa.int64())])
    with (
        pytest.raises(ZeroDivisionError),
        new_table(tmp_path / "t.parquet", schema, about={}) as writer,
    ):
        writer.write_table(pa.table({"x": [1 // 0]}, schema=schema))
    assert list(tmp_path.iterdir()) == []
