"""Logging of a command or a workflow job, and the one line with which it fails."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aidocell.errors import AidocellError, printable

__all__ = ["configure_logging", "job_log"]


class _OneLine(logging.Formatter):
    """Keep control characters of file and cell names from breaking log lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


def configure_logging(path: str | Path | None = None, *, level: int = logging.INFO) -> None:
    """Send log lines with their time to stderr, and to the file `path` where it is given."""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path:
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.getLogger("aidocell").setLevel(level)


@contextmanager
def job_log(path: str | Path) -> Iterator[None]:
    """Log the body to `path`; an error of the user's ends the process with its line and status.

    A bug goes on as its traceback, which is in the log as well.
    """
    configure_logging(path)
    log = logging.getLogger("aidocell")
    try:
        yield
    except AidocellError as error:
        log.error("%s", error)
        sys.exit(error.exit_status)
    except Exception:
        log.exception("this is a bug; please report it with this log")
        raise
    log.info("done")
