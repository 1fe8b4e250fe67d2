"""Snakemake's markers of jobs that were not seen to end, for shards that are finished all the same.

Snakemake deletes and makes again what such a marker stands for. On a cluster it hears of an end only
after minutes, so that a run that is killed would lose all shards of the last minutes. A shard that lies
whole under its final name is finished: its name holds the key of all that went into it.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

from aidocell.errors import InputError
from aidocell.seal import SUFFIX, verify

__all__ = ["keep_finished_shards"]

_SHARD = re.compile(rf"samples/[^/]+/shards/[0-9a-f]{{12}}/\d+-\d+{re.escape(SUFFIX)}")


def keep_finished_shards(folder: Path, results: Path) -> int:
    """Remove the markers of whole shards; how many there were.

    Parameters
    ----------
    folder
        Where Snakemake was started; it must not live.
    results
        The study's results, in `folder`.
    """
    kept = 0
    for marker, output in _markers(folder / ".snakemake/incomplete"):
        prefix = f"{results.name}/"
        is_shard = output.startswith(prefix) and _SHARD.fullmatch(output.removeprefix(prefix))
        if is_shard and _is_whole(folder / output):
            marker.unlink()
            kept += 1
    return kept


def _markers(incomplete: Path) -> Iterator[tuple[Path, str]]:
    """Each marker with the output it stands for: its name is that path in base 64, in pieces if long."""
    for marker in [path for path in incomplete.rglob("*") if path.is_file()]:
        pieces = [piece.removeprefix("@") for piece in marker.relative_to(incomplete).parts]
        try:
            yield marker, urlsafe_b64decode("".join(pieces)).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue  # no marker of an output


def _is_whole(shard: Path) -> bool:
    try:
        verify(shard)
    except InputError:
        return False
    return True
