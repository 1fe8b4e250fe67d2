"""Is a sample what the model needs?"""

from __future__ import annotations

import logging
from pathlib import Path

from aidocell.counts.audit import check
from aidocell.counts.metadata import cell_table
from aidocell.counts.options import InputOptions
from aidocell.counts.source import open_counts
from aidocell.errors import InputError
from aidocell.files import write_json
from aidocell.genes import Vocabulary, vocabulary_of

__all__ = ["audit_or_refusal", "check_sample"]

log = logging.getLogger(__name__)


def check_sample(
    path: str,
    options: InputOptions,
    output: str | Path,
    *,
    model: str,
    min_share: float,
    metadata: str | None = None,
) -> None:
    """Write the sample's audit; a refused sample's says why, and the study decides later.

    Parameters
    ----------
    metadata
        The sample's table of cells, which has to fit its barcodes, or None.
    """
    genes = vocabulary_of(model)
    audit, error = audit_or_refusal(path, options, vocabulary=genes, min_share=min_share)
    if error is None and metadata is not None:
        try:
            with open_counts(path, options) as source:
                cell_table(source.obs.index, metadata=metadata, columns={})
        except InputError as misfit:
            audit, error = _refusal(path, misfit), misfit
    if error is not None:
        log.warning("refused: %s", error)
    write_json(output, audit)


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
