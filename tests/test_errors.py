import copy
import multiprocessing
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidocell.errors import CATALOGUE, AidocellError, InputError, MachineError, printable

FILES = """
E_FILE_MISSING E_FILE_FORMAT E_FILE_DAMAGED E_FILE_LINK E_MATRIX_SHAPE E_MATRIX_TYPE E_NO_CELLS
E_NO_GENES E_NOT_COUNTS E_UNFILTERED E_FEATURES E_NEGATIVE E_NOT_FINITE E_EMPTY_CELLS
E_LAYER_MISSING E_CELL_NAMES E_GENES_UNKNOWN E_SPECIES E_GENE_COLUMN
"""
CONFIG = """
E_USAGE E_CONFIG E_SHEET E_SAMPLE_NAME E_LABEL_MISSING E_LABEL_CLASSES E_GROUP_LEAK
"""
OUTPUTS = """
E_MODEL_MISSING E_MODEL_CONFIG E_MODEL_UNSAFE E_MODEL_HASH E_STORE_DAMAGED E_STORE_MISMATCH
E_OUTPUT_EXISTS E_DISK_FULL E_DISK_FAILED E_MEMORY E_GPU_MEMORY E_LOCKED
"""


def test_the_catalogue_holds_every_id_that_is_promised_and_no_other():
    assert set(CATALOGUE) == set((FILES + CONFIG + OUTPUTS).split())


def test_every_entry_of_the_catalogue_says_what_it_means():
    assert all(len(meaning) > 5 for meaning in CATALOGUE.values())


def test_an_error_is_one_line_with_its_id_cause_and_remedy():
    error = InputError("E_SHEET", "line 3 is bad", fix="mend it")
    assert str(error) == "error[E_SHEET]: line 3 is bad; mend it"
    assert (error.id, error.what, error.fix) == ("E_SHEET", "line 3 is bad", "mend it")


def test_an_id_outside_the_catalogue_is_a_bug():
    with pytest.raises(KeyError, match="E_NEW"):
        InputError("E_NEW", "x", fix="y")


def test_exit_statuses_tell_whose_turn_it_is():
    assert InputError.exit_status == 2
    assert MachineError.exit_status == 3
    assert issubclass(InputError, AidocellError)
    assert issubclass(MachineError, AidocellError)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\nb", "a\\nb"),
        ("a\r\tb", "a\\r\\tb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\x00b", "a\\x00b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028", "\\u2028"),
        ("\udcff", "\\udcff"),
        ("Zürich 名 é", "Zürich 名 é"),
        (7, "7"),
    ],
)
def test_control_characters_are_escaped_and_letters_are_not(text, escaped):
    assert printable(text) == escaped


@given(st.text(), st.text())
def test_whatever_names_are_in_it_an_error_is_one_line_that_any_stream_takes(what, fix):
    line = str(InputError("E_FILE_FORMAT", what, fix=fix))
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    line.encode("utf-8")


def raise_it(error):
    raise error


@pytest.mark.parametrize("kind", [InputError, MachineError])
def test_an_error_survives_pickle_and_copy(kind):
    error = kind("E_LOCKED", "a\nb", fix="c")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is kind
        assert (twin.id, twin.what, twin.fix) == (error.id, error.what, error.fix)
        assert str(twin) == str(error)


def test_an_error_comes_out_of_a_process_of_a_pool_as_it_went_in():
    error = MachineError("E_GPU_MEMORY", "one cell", fix="a larger GPU")
    with (
        multiprocessing.get_context("fork").Pool(1) as pool,
        pytest.raises(MachineError, match=r"E_GPU_MEMORY.*one cell; a larger GPU"),
    ):
        pool.apply(raise_it, (error,))
