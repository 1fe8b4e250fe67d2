"""Models of CellTypist: read from files of strangers, and applied as the package applies them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from aidocell.baselines import Unavailable
from aidocell.baselines.celltypist_pickle import Array, Estimator, UnsafePickle, read_pickle
from aidocell.baselines.packages import borrowed, normalised
from aidocell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celltypist import Model
    from scipy import sparse

__all__ = ["LOGGERS", "decide", "label_cells", "model_path", "read_model", "require_genes"]

LOGGERS = ["celltypist.logger"]
CELLS_AT_ONCE = 1_000  # the package fills a block's matrix, eight bytes a cell and gene
_PICKLE_STARTS = b"\x80(c}"  # of protocol 2 on; of the first two, as CellTypist never wrote
MAX_BYTES = 2**29  # the largest published model has a tenth of it


def read_model(reference: str | Path) -> Model:
    """A model of CellTypist, from its file, none of whose instructions are run.

    The package reads models by unpickling, which runs whatever the file says. Here the numbers and
    names are taken out by :func:`aidocell.baselines.celltypist_pickle.read_pickle`, checked, and
    put into estimators made here. A model trained by stochastic gradient descent becomes a
    logistic regression with the same coefficients: the two decide alike.

    Parameters
    ----------
    reference
        A file, or the name of a model in CellTypist's folder (``$CELLTYPIST_FOLDER/data/models``,
        else ``~/.celltypist/data/models``), with or without ``.pkl``. Only text with a path
        separator is a path; only a name without one is looked up there. Nothing is downloaded.

    Raises
    ------
    InputError
        ``E_MODEL_MISSING``, ``E_MODEL_UNSAFE``, ``E_MODEL_CONFIG``, ``E_FILE_DAMAGED``, and
        ``E_USAGE`` where the package is not installed.
    """
    path = model_path(reference)
    try:
        with borrowed("celltypist", seed=0, loggers=LOGGERS) as celltypist:
            return celltypist.Model(*_parts(path))
    except Unavailable as error:
        raise InputError(
            "E_USAGE", str(error), fix="install it, or label without a reference"
        ) from error


def label_cells(
    model: Model, counts: sparse.csr_matrix, genes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Labels as ``celltypist.annotate(cells, model)`` gives them, without majority voting.

    Parameters
    ----------
    counts
        Raw counts, shape ``(cells, genes)``; they are normalised to log1p of counts per 10,000.
    genes
        Symbol of each column.

    Returns
    -------
    labels
        The type of largest decision value, shape ``(cells,)``, dtype object.
    probabilities
        Shape ``(cells, types)``, in the order of ``model.cell_types``. Each type is judged against
        all others by itself, so that a cell's probabilities do not add up to one.

    Raises
    ------
    InputError
        ``E_GENES_UNKNOWN``: the model knows none of the genes.
    """
    require_genes(model, genes)
    decision, probabilities = _annotated(model, counts, genes)
    return model.cell_types[decision.argmax(axis=1)], probabilities


def decide(model: Model, counts: sparse.csr_matrix, genes: Sequence[str]) -> np.ndarray:
    """The package's decision values, shape ``(cells, types)``, as ``model.cell_types``."""
    return _annotated(model, counts, genes)[0]


def require_genes(model: Model, genes: Sequence[str]) -> None:
    """Raise ``E_GENES_UNKNOWN`` where the model knows none of the genes."""
    if not set(map(str, genes)) & set(model.features):
        raise InputError(
            "E_GENES_UNKNOWN",
            f"none of the {len(genes)} genes is among the {len(model.features)} of the model",
            fix="give gene symbols in the model's spelling, of the same species",
        )


def _annotated(
    model: Model, counts: sparse.csr_matrix, genes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Decision values and probabilities, each cell by itself."""
    parts = []
    with borrowed("celltypist", seed=0, loggers=LOGGERS) as celltypist:
        for start in range(0, counts.shape[0], CELLS_AT_ONCE):
            cells = normalised(counts[start : start + CELLS_AT_ONCE], genes)
            cells.X = cells.X.toarray()  # it does so itself, but fails where the mean stays
            result = celltypist.annotate(cells, model=model, majority_voting=False)
            parts.append((result.decision_matrix.to_numpy(), result.probability_matrix.to_numpy()))
    empty = np.zeros((0, len(model.cell_types)))
    decision, probabilities = zip(*parts, strict=True) if parts else ([empty], [empty])
    return np.concatenate(decision), np.concatenate(probabilities)


def model_path(reference: str | Path) -> Path:
    """The file of a model, given as for :func:`read_model` (``E_MODEL_MISSING``)."""
    text = str(reference)
    if isinstance(reference, Path) or os.sep in text or (os.altsep and os.altsep in text):
        path = Path(reference)
    else:
        path = _named(text)
    if not path.is_file():
        here = f"write ./{text} for the file in this folder, or " if Path(text).is_file() else ""
        raise InputError(
            "E_MODEL_MISSING",
            f"there is no CellTypist model {text} ({path} is not a file)",
            fix=f"{here}give a model file by a path with a / in it, or fetch a published one by its name with "
            "`python -c 'import celltypist; celltypist.models.download_models(model=\"NAME.pkl\")'`",
        )
    return path


def _named(name: str) -> Path:
    """Where CellTypist keeps the model of this name; it has no separator in it."""
    folder = os.environ.get("CELLTYPIST_FOLDER") or Path.home() / ".celltypist"
    path = Path(folder) / "data" / "models" / name
    return path if name.endswith(".pkl") else path.with_name(f"{name}.pkl")


def _parts(path: Path) -> tuple[LogisticRegression, StandardScaler, dict[str, str]]:
    try:
        content = _content(path)
        return _model(read_pickle(content), path)
    except UnsafePickle as error:
        raise InputError(
            "E_MODEL_UNSAFE",
            f"{path} is more than a CellTypist model ({error}); nothing of it was run",
            fix="get the model from its publisher",
        ) from error
    except OSError as error:
        raise InputError(
            "E_FILE_MISSING", f"{path} cannot be read ({error})", fix="check its permissions"
        ) from error
    except _NoModel as error:
        what = f"{path} is no CellTypist model ({error})"
        raise InputError("E_FILE_FORMAT", what, fix="give a file that CellTypist wrote") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            "E_FILE_DAMAGED",
            f"{path} is no readable CellTypist model ({error})",
            fix="copy or download it again",
        ) from error


class _NoModel(Exception):
    """A file of something else."""


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if content and content[0] not in _PICKLE_STARTS:
        raise _NoModel("it is no pickle")
    if len(content) > MAX_BYTES:
        raise UnsafePickle(f"it has more than {MAX_BYTES >> 20} MiB")
    return content


def _model(found: Any, path: Path) -> tuple[LogisticRegression, StandardScaler, dict[str, str]]:
    if not isinstance(found, dict) or not {"Model", "Scaler_"} <= found.keys():
        raise _NoModel("the pickle holds something else")
    classifier, scaler = found["Model"], found["Scaler_"]
    if not isinstance(classifier, Estimator) or not isinstance(scaler, Estimator):
        raise ValueError("it has no classifier or no scaler")
    if classifier.name == "StandardScaler" or scaler.name != "StandardScaler":
        raise ValueError("classifier and scaler are of other kinds")
    genes = _texts(classifier.attributes["features"], "genes", path)
    types = _texts(classifier.attributes["classes_"], "types", path)
    plain = {k: v for k, v in found["description"].items() if isinstance(v, str | int)}
    return (
        _classifier(classifier.attributes, genes, types, path),
        _scaler(scaler.attributes, len(genes), path),
        {**dict.fromkeys(("date", "details", "url", "source", "version"), ""), **plain},
    )


def _classifier(
    attributes: dict[str, Any], genes: np.ndarray, types: np.ndarray, path: Path
) -> LogisticRegression:
    rows = 1 if len(types) == 2 else len(types)
    classifier = LogisticRegression()
    classifier.classes_, classifier.features = types, genes
    classifier.n_features_in_ = len(genes)
    classifier.coef_ = _numbers(attributes["coef_"], (rows, len(genes)), "coef_", path)
    classifier.intercept_ = _numbers(attributes["intercept_"], (rows,), "intercept_", path)
    return classifier


def _scaler(attributes: dict[str, Any], genes: int, path: Path) -> StandardScaler:
    scaler = StandardScaler(with_mean=bool(attributes["with_mean"]))
    scaler.n_features_in_ = genes
    scaler.scale_ = _numbers(attributes["scale_"], (genes,), "scale_", path)
    if not (scaler.scale_ > 0).all():
        raise _unfit(path, "a scale that is not above zero")
    scaler.var_ = scaler.scale_**2
    if scaler.with_mean:
        scaler.mean_ = _numbers(attributes["mean_"], (genes,), "mean_", path)
    return scaler


def _numbers(array: Any, shape: tuple[int, ...], name: str, path: Path) -> np.ndarray:
    values = _array(array).astype(np.float64)
    if values.shape != shape:
        raise _unfit(path, f"{name} of shape {values.shape}, and not {shape}")
    if not np.isfinite(values).all():
        raise _unfit(path, f"{name} with NaN or infinity")
    return values


def _texts(array: Any, name: str, path: Path) -> np.ndarray:
    values = _array(array)
    texts = values.tolist()
    if values.ndim != 1 or not all(isinstance(text, str) and text for text in texts):
        raise _unfit(path, f"{name} that are not a list of names")
    if len(texts) < 2 or len(set(texts)) != len(texts):
        raise _unfit(path, f"{name} that are fewer than two, or not all different")
    return np.array(texts, dtype=object)


def _array(array: Any) -> np.ndarray:
    if not isinstance(array, Array):
        raise ValueError(f"something of type {type(array).__name__} where an array should be")
    return array.values()


def _unfit(path: Path, what: str) -> InputError:
    return InputError(
        "E_MODEL_CONFIG", f"{path} has {what}", fix="use the model as CellTypist wrote it"
    )
