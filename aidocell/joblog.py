"""Logging of a command or a workflow job, its sign of life, and the one line with which it ends."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aidocell.errors import printable
from aidocell.stopping import Stopped, unwind_on_sigterm
from aidocell.unforeseen import in_users_terms

__all__ = ["BUG", "DONE", "configure_logging", "job_log"]

# The lines that end a log, beside that of an error with an id and "stopped by signal N".
DONE = "done"
BUG = "this is a bug; please report it with this log"
_SECONDS_BETWEEN_BEATS = 15

log = logging.getLogger("aidocell")


class _OneLine(logging.Formatter):
    """Keep control characters of file and cell names from breaking or forging log lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, ei) -> str:
        return "\n".join(f"  {printable(line)}" for line in super().formatException(ei).split("\n"))


class _LogFile(logging.FileHandler):
    """A new file: a process of an earlier attempt that lives on keeps writing to the old one."""

    def __init__(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)
        super().__init__(path, mode="a", encoding="utf-8")
        self.failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk must not end the job or hide its error, which goes to stderr as well."""
        if not self.failed:
            self.failed = True
            error = sys.exc_info()[1]
            sys.stderr.write(printable(f"the log {self.baseFilename} cannot be written: {error}"))
            sys.stderr.write("\n")


def configure_logging(
    path: str | Path | None = None, *, level: int = logging.INFO, about: str = ""
) -> None:
    """Send log lines with their time to stderr, and to the file `path` where it is given.

    Parameters
    ----------
    about
        What all lines are about, in square brackets before each message.
    """
    # the file first: what it says of a full disk must not come after a job's last line
    handlers: list[logging.Handler] = [_LogFile(path)] if path else []
    handlers.append(logging.StreamHandler())
    about = f"[{about}] ".replace("%", "%%") if about else ""
    for handler in handlers:
        handler.setFormatter(
            _OneLine(f"%(asctime)s %(levelname)s {about}%(message)s", "%Y-%m-%d %H:%M:%S")
        )
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    log.setLevel(level)


@contextmanager
def job_log(
    path: str | Path, *, sample: str | None = None, shard: str | None = None
) -> Iterator[None]:
    """Log the body to `path`; an error of the user's ends the process with its line and status.

    The first line says where the job runs, the last how it ended: ``done``, the line of an error,
    or ``stopped by signal N``. Until then the file's modification time is set every 15 seconds, so
    a log without such an end that is minutes old is that of a job killed from outside. A bug goes
    on as its traceback, which is in the log as well.

    Parameters
    ----------
    sample, shard
        What the job works on, for every line: the sample's name, and the rows of a shard.
    """
    try:
        with unwind_on_sigterm():
            configure_logging(path, about=" ".join(filter(None, (sample, shard))))
            log.info("started on %s", _whereabouts())
            with _sign_of_life(path):
                yield
            log.info(DONE)
    except (Stopped, KeyboardInterrupt) as stop:
        log.error("%s", stop if isinstance(stop, Stopped) else Stopped(2))
        raise
    except Exception as error:
        known = in_users_terms(error)
        if known is None:
            log.exception(BUG)
            raise
        log.error("%s", known)
        sys.exit(known.exit_status)


def _whereabouts() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    slurm = f", Slurm job {job}" if job else ""
    return f"{socket.gethostname()}, process {os.getpid()}{slurm}"


@contextmanager
def _sign_of_life(path: str | Path) -> Iterator[None]:
    """Set the modification time of the log over and over, by a thread that dies with the process."""
    ended = threading.Event()
    descriptor = os.open(path, os.O_RDONLY)  # closing it can meet no full disk

    def beat() -> None:
        while not ended.wait(_SECONDS_BETWEEN_BEATS):
            with suppress(OSError):  # a file system that hiccups may take the next one
                os.utime(descriptor)

    thread = threading.Thread(target=beat, name="sign of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        os.close(descriptor)
