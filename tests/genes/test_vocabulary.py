from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from aidocell.errors import InputError
from aidocell.genes import Vocabulary, vocabulary_of


def test_builtin_vocabulary_has_19264_genes_in_model_order():
    genes = Vocabulary.builtin()
    assert len(genes) == 19_264
    assert genes.symbols[:3] == ("A1BG", "A1CF", "A2M")
    assert genes.symbols[-1] == "ZZZ3"
    assert genes.symbols[9939:9941] == ("MT-ATP6", "MT-ATP6__chrM")
    assert sum(map(bool, genes.ensembl_ids)) == 19_202
    assert genes.is_builtin


def test_sha256_is_over_symbols_and_ids_in_order():
    genes = Vocabulary(("B", "A"), ("ENSG00000000002", ""))
    assert genes.sha256 == hashlib.sha256(b"B\tENSG00000000002\nA\t\n").hexdigest()
    assert genes.sha256 != Vocabulary(("A", "B"), ("", "ENSG00000000002")).sha256


def test_file_of_a_checkpoint_is_read_in_its_order_and_other_columns_do_not_matter(tmp_path):
    path = tmp_path / "genes.tsv"
    path.write_text("extra\tensembl_id\tsymbol\nx\tENSG00000000002\tB\ny\t\tA\n")
    genes = Vocabulary.read(path)
    assert genes == Vocabulary(("B", "A"), ("ENSG00000000002", ""))
    assert not genes.is_builtin


def test_file_without_ensembl_ids_gives_symbols_alone(tmp_path):
    path = tmp_path / "genes.tsv"
    path.write_text("symbol\nB\nA\n")
    assert Vocabulary.read(path).ensembl_ids == ("", "")


def test_windows_line_ends_and_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "genes.tsv"
    path.write_bytes("\ufeffsymbol\tensembl_id\r\nA\tENSG00000000001\r\n".encode())
    assert Vocabulary.read(path) == Vocabulary(("A",), ("ENSG00000000001",))


def test_ids_are_known_without_version_and_not_for_mitochondrial_duplicates():
    ids = ("ENSG00000000001.4", "ENSG00000000001.4", "")
    genes = Vocabulary(("MT-ND1", "MT-ND1__chrM", "A"), ids)
    assert genes.index_of_ensembl == {"ENSG00000000001": 0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("symbol\tensembl_id\n", "no genes in a column 'symbol'"),
        ("gene\tensembl_id\nA\t\n", "no genes in a column 'symbol'"),
        ("symbol\tensembl_id\nA\t\n\t\n", "gene 2 has an empty symbol"),
        ("symbol\tensembl_id\nA\t\nA\t\n", "symbol repeats: A"),
        ("symbol\tensembl_id\nA\tENSG1.1\nB\tENSG1.2\n", "Ensembl id repeats: ENSG1"),
    ],
)
def test_bad_list_is_refused_with_file_and_reason(tmp_path, content, message):
    path = tmp_path / "genes.tsv"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        Vocabulary.read(path)
    assert error.value.id == "E_MODEL_CONFIG"
    assert message in error.value.what
    assert str(path) in error.value.what


def test_list_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "genes.tsv"
    path.write_bytes(b"symbol\n\xff\xfe\n")
    with pytest.raises(InputError, match="E_MODEL_CONFIG"):
        Vocabulary.read(path)
    with pytest.raises(InputError, match="E_MODEL_CONFIG"):
        Vocabulary.read(tmp_path / "absent.tsv")


def test_genes_need_numpy_alone():
    code = (
        "import sys, aidocell.genes as g; g.Resolver(g.Vocabulary.builtin());"
        "print(sorted({'torch', 'pandas', 'scipy', 'anndata'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_index_of_symbol_gives_the_position():
    genes = Vocabulary.builtin()
    for index in np.linspace(0, len(genes) - 1, 50).astype(int):
        assert genes.index_of_symbol[genes.symbols[index]] == index


def test_a_misspelt_checkpoint_is_not_taken_for_the_built_in_list(tmp_path):
    for name in ("nomodel", str(tmp_path / "nomodel"), "~/no/model", str(tmp_path)):
        with pytest.raises(InputError, match="E_MODEL_MISSING"):
            vocabulary_of(name)
    assert vocabulary_of("genbio-ai/AIDO.Cell-3M").is_builtin


def test_the_home_of_the_user_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model/genes.tsv").write_text("symbol\tensembl_id\nA\t\n")
    assert vocabulary_of("~/model").symbols == ("A",)
