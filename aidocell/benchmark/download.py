"""Fetch data sets: from the hub by its own client, or a file by path or URL."""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from aidocell.baselines import Unavailable
from aidocell.files import atomic, raise_if_disk_failed, sha256_file

__all__ = ["Fetched", "fetch_dataset", "fetch_file"]

log = logging.getLogger(__name__)

_SECONDS_WITHOUT_A_BYTE = 30
_SEEN_AS_LARGE, _SEEN_AS_SMALL = "[0-9a-f]{64}", "[0-9a-f]{40}"  # sha256, and git's object id

_ADVICE = ("For more information", "Make sure", "Please ", "If you ")  # of the client, to its users


@dataclass(frozen=True)
class Fetched:
    """A file that came whole.

    Attributes
    ----------
    path
        Where it lies.
    source
        What was asked for.
    sha256
        Of its bytes.
    announced
        The hash that the hub announced and that the bytes have, or the one that was given; None
        where there was none to hold them against.
    revision
        Commit of the hub's repository, or None.
    """

    path: Path
    source: str
    sha256: str
    announced: str | None
    revision: str | None


def fetch_dataset(
    repository: str, names: Sequence[str], *, revision: str | None = None
) -> list[Fetched]:
    """Files of a data set on the hub, all of one commit, in the hub's cache.

    ``HF_ENDPOINT``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` are honoured.

    Raises
    ------
    Unavailable
        A file is not there, the hub cannot be reached, or what came is not what it announced;
        such a copy is taken out of the cache.
    MachineError
        ``E_DISK_FULL``, ``E_DISK_FAILED``.
    """
    found: list[Fetched] = []
    for name in names:
        commit = found[0].revision if found else revision
        path = _download(repository, name, commit)
        # snapshots/<commit>/<name>, whatever folders the name has
        own_commit = path.parts[-1 - len(Path(name).parts)]
        source = f"{repository}/{name}"
        found.append(Fetched(path, source, *_checked(path, source), own_commit))
    return found


def _download(repository: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, HTTPError

    try:
        return Path(hf_hub_download(repository, name, repo_type="dataset", revision=revision))
    except (EntryNotFoundError, HFValidationError, HTTPError, OSError) as error:
        _raise_if_full(error, name)
        raise Unavailable(f"{repository}/{name} could not be fetched: {_reason(error)}") from error


def _checked(path: Path, source: str) -> tuple[str, str | None]:
    """The sha256 of a file in the cache, and the hash under which the hub announced it."""
    blob = path.resolve()
    announced = blob.name
    sha256 = sha256_file(blob)
    if re.fullmatch(_SEEN_AS_LARGE, announced):
        computed = sha256
    elif re.fullmatch(_SEEN_AS_SMALL, announced):
        computed = _git_id(blob)
    else:
        return sha256, None
    if computed != announced:
        path.unlink()
        blob.unlink(missing_ok=True)
        raise Unavailable(
            f"{source} came broken: its bytes do not have the hash that the hub announced "
            f"({announced[:12]}…); the copy was taken out of the cache"
        )
    return sha256, announced


def _git_id(path: Path) -> str:
    """Hash of a small file as the hub has it: that of git's object."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    digest.update(path.read_bytes())
    return digest.hexdigest()


def fetch_file(path_or_url: str | None, folder: Path, *, sha256: str | None = None) -> Fetched:
    """A file by its path, or by a URL of http or https, which is kept in `folder`.

    Raises
    ------
    Unavailable
        None was given, it is not there or cannot be fetched, or it has another sha256.
    """
    if path_or_url is None:
        raise Unavailable("no file was given for it: set its path in config/benchmark.yaml")
    if urlsplit(path_or_url).scheme in ("http", "https"):
        path = _download_url(path_or_url, folder)
    else:
        path = Path(path_or_url)
        if not path.exists():
            raise Unavailable(f"{path} does not exist")
    found = sha256_file(path) if path.is_file() else ""
    if sha256 is not None and found != sha256:
        raise Unavailable(f"{path_or_url} has not the sha256 that was given ({sha256[:12]}…)")
    return Fetched(path, path_or_url, found, sha256, None)


def _download_url(url: str, folder: Path) -> Path:
    name = re.sub("[^A-Za-z0-9._-]", "_", Path(urlsplit(url).path).name) or "data"
    target = folder / f"download-{name}"
    try:
        request = Request(url, headers={"User-Agent": "aidocell"})  # noqa: S310 - http(s) alone
        with (
            urlopen(request, timeout=_SECONDS_WITHOUT_A_BYTE) as answer,  # noqa: S310
            atomic(target) as temporary,
            temporary.open("wb") as file,
        ):
            shutil.copyfileobj(answer, file)
            _require_whole(answer.headers.get("Content-Length"), file.tell(), url)
    except (URLError, OSError, ValueError) as error:
        _raise_if_full(error, url)
        raise Unavailable(f"{url} could not be fetched: {_reason(error)}") from error
    return target


def _require_whole(length: str | None, got: int, url: str) -> None:
    if length is not None and got != int(length):
        raise Unavailable(f"{url} was cut short: {got} of {length} bytes came")


def _raise_if_full(error: Exception, what: str) -> None:
    if isinstance(error, OSError):
        raise_if_disk_failed(error, what)


def _reason(error: BaseException) -> str:
    """What went wrong, in a line; the client wraps it where it looked into its cache as well."""
    error = error.__cause__ or error
    lines = [line.strip().rstrip(".") for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(_ADVICE)]
    return "; ".join(said[:2]) or type(error).__name__
