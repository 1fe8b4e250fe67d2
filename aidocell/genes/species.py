"""Telling genes of other species by the form of their names."""

from __future__ import annotations

import re

from aidocell.genes.tables import synonyms
from aidocell.genes.vocabulary import Vocabulary

__all__ = ["is_foreign_id", "is_human_name", "looks_like_other_species", "species_of"]

_ENSEMBL = re.compile(r"ENS([A-Z]+)G\d{6,}.*")
_ENSEMBL_SPECIES = {
    "MUS": "mouse",
    "RNO": "rat",
    "DAR": "zebrafish",
    "GAL": "chicken",
    "SSC": "pig",
    "BTA": "cattle",
    "CAF": "dog",
    "MMU": "macaque",
    "MFA": "macaque",
    "PTR": "chimpanzee",
    "OCU": "rabbit",
    "OAR": "sheep",
    "XET": "frog",
}
_IDS = {
    "fruit fly": re.compile(r"FBgn\d{7}"),
    "roundworm": re.compile(r"WBGene\d{8}"),
    "mouse": re.compile(r"MGI:\d+"),
    "zebrafish": re.compile(r"ZDB-GENE-\d+-\d+"),
    "yeast": re.compile(r"Y[A-P][LR]\d{3}[WC](-[A-Z])?"),
    "thale cress": re.compile(r"AT[1-5CM]G\d{5}"),
}
_MOUSE_ONLY = re.compile(r"Gm\d{3,}|[0-9A-Z]+Rik")


def is_foreign_id(name: str) -> bool:
    """Whether `name` is a gene id of a species other than human."""
    return _species_of_id(name) is not None


def species_of(name: str) -> str | None:
    """The species that `name` looks like, where it is not human; ``None`` if it may be human.

    Symbols tell species by their case: mouse and rat write ``Actb``, zebrafish ``actb``, where
    human has ``ACTB``.
    """
    if species := _species_of_id(name):
        return species
    if _MOUSE_ONLY.fullmatch(name):
        return "mouse"
    if is_human_name(name) or not is_human_name(name.upper()):
        return None
    return "zebrafish" if name.islower() else "mouse or rat"


def looks_like_other_species(name: str) -> bool:
    """Whether `name` is an id or a symbol in the way of a species other than human."""
    return species_of(name) is not None


def _species_of_id(name: str) -> str | None:
    if match := _ENSEMBL.fullmatch(name):
        return _ENSEMBL_SPECIES.get(match[1], f"another species (ENS{match[1]}G)")
    return next((species for species, form in _IDS.items() if form.fullmatch(name)), None)


def is_human_name(name: str) -> bool:
    """Whether `name` is a symbol of the built-in vocabulary, or another name of one of its genes."""
    return name in Vocabulary.builtin().index_of_symbol or name in synonyms()
