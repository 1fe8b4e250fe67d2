"""Work of somebody else's package: seeded, silent, and without traces in this process."""

from __future__ import annotations

import logging
import os
import random
import warnings
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from aidocell.baselines import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from anndata import AnnData
    from scipy import sparse

__all__ = ["borrowed", "normalised", "one_torch_thread", "require_cells", "swapped"]


@contextmanager
def borrowed(module: str, *, seed: int, loggers: Sequence[str] = ()) -> Iterator[ModuleType]:
    """Import a package and run what stands in the block with it.

    The global random states of Python, NumPy and torch begin at `seed` and are put back, as are
    the environment, warnings filters and the handlers of the root logger, which some packages
    change, be it when they are imported. Of warnings only that a solver did not converge passes; the named loggers report
    errors alone.

    Raises
    ------
    Unavailable
        The package is not installed, or does not import.
    """
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(_root_logger_restored())
        stack.enter_context(_environment_restored())
        warnings.simplefilter("ignore")
        package = _imported(module)
        warnings.simplefilter("ignore")  # again: some packages set filters of their own
        warnings.simplefilter("always", ConvergenceWarning)
        stack.enter_context(_random_states(seed))
        for name in loggers:
            stack.enter_context(_errors_alone(logging.getLogger(name)))
        yield package


def normalised(counts: sparse.csr_matrix, genes: Sequence[str]) -> AnnData:
    """Cells with log1p of counts per 10,000 in float32, made by scanpy's own functions."""
    import scanpy
    from anndata import AnnData

    cells = AnnData(counts.astype(np.float32))
    cells.var_names = [str(gene) for gene in genes]
    cells.var_names_make_unique()
    scanpy.pp.normalize_total(cells, target_sum=1e4)
    scanpy.pp.log1p(cells)
    return cells


def require_cells(y: np.ndarray, least: int) -> None:
    """Raise `Unavailable` where there are not two classes, each with as many cells as `least`."""
    classes, cells = np.unique(np.asarray(y).astype(str), return_counts=True)
    if len(classes) < 2:
        raise Unavailable("the training cells have one class alone")
    if cells.min() < least:
        name, found = classes[cells.argmin()], cells.min()
        raise Unavailable(f"{name} has {found} training cells, and each class needs {least}")


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Networks too small to gain from threads, which cost them much where others work as well."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def swapped(module: ModuleType, **others: object) -> Iterator[None]:
    """Let a package find something else under some of a module's names, for as long as it runs."""
    own = {name: getattr(module, name) for name in others}
    try:
        for name, other in others.items():
            setattr(module, name, other)
        yield
    finally:
        for name, value in own.items():
            setattr(module, name, value)


def _imported(module: str) -> ModuleType:
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # a package that makes folders meets a full disk
        raise Unavailable(
            f"the package {module} cannot be imported ({error}); "
            "`pip install aidocell[baselines]` installs it"
        ) from error


@contextmanager
def _random_states(seed: int) -> Iterator[None]:
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def _environment_restored() -> Iterator[None]:
    """Lightning leaves its seed there, for processes that it might start."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _root_logger_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextmanager
def _errors_alone(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
