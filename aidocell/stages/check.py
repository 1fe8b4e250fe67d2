"""Is a sample what the model needs?"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from aidocell.counts.audit import check
from aidocell.counts.metadata import cell_table
from aidocell.counts.options import InputOptions
from aidocell.counts.source import open_counts
from aidocell.errors import InputError
from aidocell.genes import Vocabulary, vocabulary_of
from aidocell.lineage import require_one_origin
from aidocell.records import read_record, write_record
from aidocell.stages.admit import require_column

__all__ = ["audit_or_refusal", "check_sample", "require_audited"]

log = logging.getLogger(__name__)


def check_sample(
    path: str,
    options: InputOptions,
    output: str | Path,
    *,
    model: str,
    min_share: float,
    metadata: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    balance: str | None = None,
    sample: str | None = None,
) -> None:
    """Write the sample's audit; a refused sample's says why, and the study decides later.

    Parameters
    ----------
    metadata, columns
        What the sample sheet adds to the cells, as in :func:`aidocell.counts.metadata.cell_table`.
    balance
        The column over which a subset will be drawn; the cells have to have it.
    sample
        Its name in the study; admission refuses the audit of another.
    """
    genes = vocabulary_of(model)
    audit, error = audit_or_refusal(path, options, vocabulary=genes, min_share=min_share)
    if error is None:
        try:
            known = _columns(path, options, metadata, columns)
            require_column(
                known, balance, key="subset.balance", where="is among those of the cells"
            )
            audit["columns"] = known
        except InputError as misfit:
            audit, error = _refusal(path, misfit), misfit
    if error is not None:
        log.warning("refused: %s", error)
    write_record(output, {"sample": sample, **audit})


def _columns(
    path: str, options: InputOptions, metadata: str | None, columns: Mapping[str, str]
) -> list[str]:
    """Names of all that is known about the cells: from the file, the metadata and the sheet."""
    with open_counts(path, options) as source:
        added = cell_table(source.cells.names, metadata=metadata, columns=columns)
        return sorted({*source.cells.columns, *added.columns})


def audit_or_refusal(
    path: str | Path, options: InputOptions, *, vocabulary: Vocabulary | None, min_share: float
) -> tuple[dict, InputError | None]:
    """The audit of an INPUT, or the record of why it is refused and the error itself."""
    try:
        return check(path, options, vocabulary=vocabulary, min_share=min_share), None
    except InputError as error:
        return _refusal(path, error), error


def _refusal(path: str | Path, error: InputError) -> dict:
    reason = {"id": error.id, "what": error.what, "fix": error.fix}
    return {"accepted": False, "path": str(path), "error": reason}


def require_audited(
    audit: str | Path, path: str | Path, sha256: str, *, sample: str | None = None
) -> None:
    """Refuse to go on with a file that was replaced since it was checked, or is another sample's.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``: `sha256`, that of the file as it is now, is not that of its audit.
    """
    found = read_record(audit)
    parts = {"the sample sheet": {"sample": sample}, str(audit): {"sample": found.get("sample")}}
    require_one_origin(parts)
    if found.get("sha256") != sha256:
        raise InputError(
            "E_STORE_MISMATCH",
            f"{path} is not the file any more that {audit} was made from",
            fix=f"delete {audit}, then run the same command again",
        )
