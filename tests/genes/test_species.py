from __future__ import annotations

import pytest

from aidocell.genes import Resolver, Vocabulary, looks_like_other_species, species_of


@pytest.mark.parametrize(
    ("name", "species"),
    [
        ("ENSMUSG00000051951", "mouse"),
        ("ENSMUSG00000051951.5", "mouse"),
        ("ENSRNOG00000014303", "rat"),
        ("ENSDARG00000104632", "zebrafish"),
        ("ENSXYZG00000000001", "another species (ENSXYZG)"),
        ("FBgn0031208", "fruit fly"),
        ("WBGene00000001", "roundworm"),
        ("YAL001C", "yeast"),
        ("AT1G01010", "thale cress"),
        ("Actb", "mouse or rat"),
        ("mt-Nd1", "mouse or rat"),
        ("Gm12345", "mouse"),
        ("4930402H24Rik", "mouse"),
        ("actb", "zebrafish"),
    ],
)
def test_names_of_other_species_are_told(name, species):
    assert species_of(name) == species
    assert looks_like_other_species(name)


@pytest.mark.parametrize(
    "name",
    ["ACTB", "ENSG00000075624.3", "C1orf112", "C18orf21", "hsa-mir-21", "snoU13", "Y_RNA", "7SK",
     "RP11-34P13.7", "TAP2-1", "", "ENSGR0000182378"],
)  # fmt: skip
def test_human_and_unheard_of_names_are_not(name):
    assert species_of(name) is None


def test_human_vocabulary_holds_no_name_of_another_species():
    foreign = [name for name in Vocabulary.builtin().symbols if looks_like_other_species(name)]
    assert foreign == []


def test_checkpoint_of_another_species_knows_its_own_genes():
    mouse = Vocabulary(("Actb", "Cd3e"), ("ENSMUSG00000029580", ""))
    resolution = Resolver(mouse).resolve(["ENSMUSG00000029580.1", ""], ["", "Cd3e"])
    assert resolution.index.tolist() == [0, 1]
