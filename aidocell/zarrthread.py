"""Zarr's own thread, started where it can be told that it cannot be."""

from __future__ import annotations

from zarr.core import sync

__all__ = ["start_zarr"]


def start_zarr() -> None:
    """Start the thread in which Zarr reads and writes.

    Where a limit on memory forbids it, Zarr (3.1.6) raises once, and every later call waits for
    ever for a thread that never began.

    Raises
    ------
    RuntimeError
        It cannot be started.
    """
    try:
        sync._get_loop()
    except RuntimeError:
        sync.loop[0].close()
        sync.loop[0] = sync.iothread[0] = None
        raise
