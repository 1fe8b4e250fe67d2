import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from aidocell.errors import InputError, MachineError
from aidocell.files import (
    atomic,
    read_json,
    refuse_existing,
    remove,
    sha256_file,
    write_json,
)
from aidocell.temporaries import NAME_ADDED


def write(path, content="new"):
    with atomic(path) as temporary:
        temporary.write_text(content)


def write_folder(path, *names):
    with atomic(path) as temporary:
        temporary.mkdir()
        for name in names:
            (temporary / name).write_text(name)


def write_and_fail(path, failure):
    with atomic(path) as temporary:
        temporary.mkdir()
        (temporary / "half").touch()
        raise failure


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_body_ends_and_nothing_else_stays(tmp_path):
    with atomic(tmp_path / "new" / "out") as temporary:
        temporary.write_text("x")
        assert temporary.parent == tmp_path / "new"
        assert names(tmp_path / "new") == [temporary.name]
        assert temporary.name.startswith(".")
    assert names(tmp_path / "new") == ["out"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failing_body_leaves_what_was_there(tmp_path, failure):
    (tmp_path / "out").write_text("old")
    with pytest.raises(failure):
        write_and_fail(tmp_path / "out", failure())
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "old"


def test_a_body_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "out"):
        pass


def test_a_file_replaces_a_file(tmp_path):
    write(tmp_path / "out", "old")
    write(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "new"


def test_a_folder_replaces_a_folder_as_a_whole(tmp_path):
    write_folder(tmp_path / "out", "a", "b")
    write_folder(tmp_path / "out", "b", "c")
    assert names(tmp_path / "out") == ["b", "c"]
    assert names(tmp_path) == ["out"]


def test_a_folder_replaces_a_file(tmp_path):
    write(tmp_path / "out")
    write_folder(tmp_path / "out", "a")
    assert names(tmp_path / "out") == ["a"]


def test_a_link_is_replaced_and_what_it_led_to_stays(tmp_path):
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "out").symlink_to("kept")
    write(tmp_path / "out")
    assert not (tmp_path / "out").is_symlink()
    assert (tmp_path / "kept").read_text() == "kept"


def test_two_writers_of_one_output_do_no_harm(tmp_path):
    with atomic(tmp_path / "out") as first, atomic(tmp_path / "out") as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "out").read_text() == "first"
    assert names(tmp_path) == ["out"]


def test_everything_is_flushed_before_it_gets_its_name(tmp_path, monkeypatch):
    flushed = []
    fsync = os.fsync

    def watched(descriptor):
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        if not flushed[-1].startswith(tmp_path.name):
            assert not (tmp_path / "out").exists()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_folder(tmp_path / "out", "a", "b")
    assert sorted(flushed[:2]) == ["a", "b"]
    assert flushed[2:] == [tmp_path.name]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch, code):
    full = OSError(code, os.strerror(code))
    text = r"E_DISK_FULL.*no space left while writing .*out"
    with pytest.raises(MachineError, match=text) as failed:
        write_and_fail(tmp_path / "out", full)
    assert failed.value.exit_status == 3

    def fsync(descriptor):
        raise full

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(MachineError, match=text):
        write(tmp_path / "out")
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_otherwise_is_named_as_such(tmp_path, code):
    with pytest.raises(MachineError, match=r"E_DISK_FAILED.*the disk failed at .*out"):
        write_and_fail(tmp_path / "out", OSError(code, os.strerror(code)))
    assert list(tmp_path.iterdir()) == []


def write_to_full_device(path):
    with atomic(path) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("x")


def test_a_device_that_is_really_full_is_named(tmp_path):
    with pytest.raises(MachineError, match="E_DISK_FULL"):
        write_to_full_device(tmp_path / "out")
    assert names(tmp_path) == []


def test_other_failures_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "out"):
        (tmp_path / "no input").read_text()
    with pytest.raises(NotADirectoryError):
        write_and_fail(tmp_path / "out", NotADirectoryError(errno.ENOTDIR, "no", "input/x"))
    assert names(tmp_path) == []


def unwritable(tmp_path):
    """Outputs that cannot be, by what is wrong."""
    (tmp_path / "file").touch()
    return {
        "below a file": tmp_path / "file" / "out",
        "deep below a file": tmp_path / "file" / "a" / "b",
        "a name that is too long": tmp_path / ("x" * 250),
        "a path that is too long": tmp_path / "/".join(["x" * 200] * 30),
    }


@pytest.mark.parametrize(
    "what",
    ["below a file", "deep below a file", "a name that is too long", "a path that is too long"],
)
def test_an_output_that_cannot_be_written_is_refused_before_and_while(tmp_path, what):
    output = unwritable(tmp_path)[what]
    with pytest.raises(InputError, match=r"E_USAGE.*cannot be written \("):
        refuse_existing(output, overwrite=True)
    with pytest.raises(InputError, match=r"E_USAGE.*cannot be written \("):
        write(output)
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused_before_and_while(tmp_path):
    tmp_path.chmod(0o500)
    for output in (tmp_path / "out", tmp_path / "new" / "out"):
        with pytest.raises(InputError, match=r"E_USAGE.*permission"):
            refuse_existing(output, overwrite=False)
        with pytest.raises(InputError, match=r"E_USAGE.*denied"):
            write(output)


def test_permission_is_asked_for_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda folder, mode: Path(folder) != tmp_path)
    with pytest.raises(InputError, match=rf"E_USAGE.*no permission to write to {tmp_path}"):
        refuse_existing(tmp_path / "new" / "er" / "out", overwrite=False)


def test_a_file_cannot_replace_a_folder(tmp_path):
    write_folder(tmp_path / "out", "summary.json")
    with pytest.raises(InputError, match=r"E_USAGE.*directory"):
        write(tmp_path / "out")
    assert names(tmp_path / "out") == ["summary.json"]


def test_an_output_that_is_there_is_replaced_only_when_told(tmp_path):
    refuse_existing(tmp_path / "out", overwrite=False)
    (tmp_path / "out").touch()
    refuse_existing(tmp_path / "out", overwrite=True)
    with pytest.raises(
        InputError, match=r"E_OUTPUT_EXISTS.*out is already there; give --overwrite"
    ):
        refuse_existing(tmp_path / "out", overwrite=False)


def test_a_folder_that_no_command_wrote_is_never_replaced(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    refuse_existing(home, overwrite=True)
    (home / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"E_OUTPUT_EXISTS.*did not write; choose another"):
        refuse_existing(home, overwrite=True)
    (home / "classifier.json").touch()
    refuse_existing(home, overwrite=True)


@pytest.mark.parametrize("output", [".", "..", "/", "a/.."])
def test_a_way_to_a_folder_is_no_output(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"E_USAGE.*not a name"):
        refuse_existing(output, overwrite=True)


def test_remove_takes_files_folders_links_and_nothing_at_all(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "broken").symlink_to("nothing")
    (tmp_path / "file").touch()
    write_folder(tmp_path / "folder", "a")
    for name in ("link", "broken", "file", "folder", "not there", "file/below"):
        remove(tmp_path / name)
    assert names(tmp_path) == ["kept"]


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_json_is_readable_and_comes_back(tmp_path):
    content = {"b": [1, 2.5, None], "a": "Zürich\n"}
    write_json(tmp_path / "x.json", content)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == content
    assert "Zürich" in (tmp_path / "x.json").read_text(encoding="utf-8")


def test_a_path_that_is_not_utf8_goes_through_json(tmp_path):
    path = os.fsdecode(b"M\xfcller.h5ad")
    write_json(tmp_path / "x.json", {"path": path})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["path"] == path


def test_json_has_no_nan_and_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert names(tmp_path) == []


def test_the_longest_name_that_is_accepted_can_be_written(tmp_path):
    output = tmp_path / ("x" * (255 - NAME_ADDED))
    refuse_existing(output, overwrite=False)
    write(output)
    with pytest.raises(InputError, match="too long"):
        refuse_existing(output.with_name(output.name + "x"), overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_never_replaces_its_own_input(tmp_path, overwrite):
    (tmp_path / "cells").write_text("the only copy")
    (tmp_path / "link").symlink_to("cells")
    for name in ("cells", "link"):
        with pytest.raises(InputError, match=r"E_USAGE.*the input itself"):
            refuse_existing(tmp_path / name, overwrite=overwrite, inputs=[tmp_path / "cells"])
    refuse_existing(tmp_path / "new", overwrite=False, inputs=[tmp_path / "cells"])
    refuse_existing(tmp_path / "cells", overwrite=True, inputs=[tmp_path / "gone"])


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', "\x00\x01"])
def test_a_record_that_is_none_is_damage_and_not_a_bug(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(InputError, match=r"E_STORE_DAMAGED.*r\.json.*delete it"):
        read_json(tmp_path / "r.json")
    write_json(tmp_path / "r.json", {"cells": 3})
    assert read_json(tmp_path / "r.json") == {"cells": 3}
