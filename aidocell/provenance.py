"""What a result was made from: stage revisions, run keys and the check that two agree."""

from __future__ import annotations

import hashlib
import json

from aidocell.errors import InputError, printable

__all__ = ["REVISION", "VERSION", "require_same", "run_key"]

VERSION = "0.1.0"

# Raised by hand when a stage's results change; a package upgrade alone spoils no finished work.
REVISION = {
    "model": 1,
    "check": 1,
    "qc": 2,
    "align": 2,
    "plan": 1,
    "embed": 1,
    "gather": 2,
    "annotate": 4,
    "finetune": 2,
    "pretrain": 1,
    "report": 1,
    "benchmark": 1,
}


def run_key(**parts: object) -> str:
    """Hex sha256 of everything that can change a result, given as JSON-able values by name."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def require_same(
    what: str,
    expected: object,
    found: object,
    *,
    where: str,
    fix: str = "use outputs of one checkpoint, gene list and set of options, or make it anew",
) -> None:
    """Refuse a mix of results.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``: `found`, read from `where`, is not `expected`.
    """
    if expected != found:
        raise InputError(
            "E_STORE_MISMATCH",
            f"{where} has {what} {_short(found)}, expected {_short(expected)}",
            fix=fix,
        )


def _short(value: object) -> str:
    text = printable(value)
    return text if len(text) <= 24 else text[:12] + "…"
