"""The form of Ensembl gene ids."""

from __future__ import annotations

import re

__all__ = ["bare_id", "is_ensembl_id"]

# Species letters, number, version, GENCODE's mark of an id mapped to another assembly, and its mark
# of the Y copy of a pseudoautosomal gene.
_ID = re.compile(r"(ENS[A-Z]*G\d+)(\.\d+(_\d+)?)?(_PAR_Y)?")
# The mark of a Y copy in GENCODE releases before 25: R in place of the number's first zero.
_OLD_PAR_Y = re.compile(r"ENSGR(\d+)(\.\d+)?")


def is_ensembl_id(name: str) -> bool:
    """Whether `name` has the form of an Ensembl gene id, of any species."""
    return _ID.fullmatch(name) is not None or _OLD_PAR_Y.fullmatch(name) is not None


def bare_id(name: str) -> str:
    """An Ensembl id without its version; other names as they are.

    The Y copy of a pseudoautosomal gene (``ENSG00000182378.13_PAR_Y``) has the same sequence and
    the same id as the X copy, so it is that gene.
    """
    if match := _ID.fullmatch(name):
        return match[1]
    if match := _OLD_PAR_Y.fullmatch(name):
        return f"ENSG0{match[1]}"
    return name
