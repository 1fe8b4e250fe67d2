import json
import os
import random

import pytest

from aidocell.errors import InputError
from aidocell.records import read_record, write_record

CONTENT = {"b": [1, 2.5, None, 1e-7], "a": {"Zürich\n": True}, "path": os.fsdecode(b"M\xfcller")}


def test_a_record_is_readable_json_with_its_seal_last_and_comes_back(tmp_path):
    write_record(tmp_path / "r.json", CONTENT)
    read = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert list(read) == [*CONTENT, "seal"]
    assert read_record(tmp_path / "r.json") == CONTENT
    assert "Zürich" in (tmp_path / "r.json").read_text(encoding="utf-8")


def test_a_record_has_the_same_bytes_each_time(tmp_path):
    for name in "xy":
        write_record(tmp_path / name, CONTENT)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_every_flipped_bit_and_every_cut_of_a_record_is_noticed(tmp_path):
    path = tmp_path / "r.json"
    write_record(path, CONTENT)
    whole = path.read_bytes()
    damaged = [whole[:end] for end in range(len(whole))]
    for bit in random.Random(0).sample(range(8 * len(whole)), 400):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"E_STORE_DAMAGED.*r\.json.*delete it"):
            read_record(path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '"x"', "{}", '{"a": NaN}', '{"a": 1, "seal": "0"}', "[" * 99_999]
)
def test_what_is_no_record_is_damage_and_not_a_bug(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(InputError, match=r"E_STORE_DAMAGED.*r\.json"):
        read_record(tmp_path / "r.json")


def test_a_record_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"E_FILE_MISSING.*r\.json"):
        read_record(tmp_path / "r.json")
