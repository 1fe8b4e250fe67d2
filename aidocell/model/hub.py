"""Fetch a checkpoint from the Hugging Face hub into its cache, or find it there."""

from __future__ import annotations

import errno
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from aidocell.errors import InputError, MachineError
from aidocell.files import sha256_file

__all__ = [
    "WEIGHTS_FILES",
    "HubFolder",
    "answers",
    "cached_config",
    "fetch",
    "is_cached",
    "is_hub_id",
]

logger = logging.getLogger(__name__)

# In order of preference where there are both.
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
OPTIONAL_FILES = ("genes.tsv", "card.json")
LICENSED_OWNER = "genbio-ai/"


@dataclass(frozen=True)
class HubFolder:
    """A checkpoint in the hub's cache: its folder, and the commit that it is of."""

    folder: Path
    revision: str


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form ``owner/repository``."""
    part = r"[A-Za-z0-9][A-Za-z0-9._-]*"
    return re.fullmatch(f"{part}/{part}", name) is not None


def cached_config(repository: str, revision: str | None) -> Path | None:
    """The ``config.json`` of `repository` in the hub's cache; the hub itself is not asked."""
    return _cached(repository, "config.json", revision)


def is_cached(repository: str, revision: str | None) -> bool:
    """Whether config and weights lie in the hub's cache."""
    config = cached_config(repository, revision)
    return config is not None and _cached_weights(repository, config.parent.name) is not None


def answers(repository: str, revision: str | None) -> bool:
    """Whether the hub can be reached from here and has the repository."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HTTPError

    try:
        get_hf_file_metadata(hf_hub_url(repository, "config.json", revision=revision))
    except (HTTPError, OSError):
        return False
    return True


def fetch(repository: str, *, revision: str | None, accept_license: bool) -> HubFolder:
    """Give the folder of `repository` in the hub's cache, downloading what is not there yet.

    ``HF_ENDPOINT``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` are honoured. All files are of one commit.

    Raises
    ------
    InputError
        ``E_USAGE``: a first download under a licence that was not accepted. ``E_MODEL_MISSING``: not
        on the hub, or the hub cannot be reached and the cache has no copy. ``E_MODEL_HASH``: the
        weights are not those that the hub announced.
    """
    commit = _resolve_commit(repository, revision)
    if _cached_weights(repository, commit) is None:
        _require_license(repository, accept_license)
        commit = _download_all(repository, revision)
    config = _cached(repository, "config.json", commit)
    if config is None:
        raise _missing(repository, "it has no config.json")
    _check_hash(_cached_weights(repository, commit))
    return HubFolder(config.parent, commit)


def _resolve_commit(repository: str, revision: str | None) -> str:
    """The commit that `revision` means on the hub; where that cannot be asked, in the cache."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HTTPError

    cached = _cached(repository, "config.json", revision)
    if cached is not None and cached.parent.name == revision:
        return revision
    url = hf_hub_url(repository, "config.json", revision=revision)
    try:
        commit = get_hf_file_metadata(url).commit_hash
    except (HTTPError, OSError) as error:
        if cached is None:
            raise _missing(repository, _reason(error)) from error
        logger.info("%s: the hub does not answer, using the cached copy", repository)
        return cached.parent.name
    if commit is None:
        raise _missing(repository, f"{url} names no commit, so it is not answered by a hub")
    return commit


def _cached(repository: str, name: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _cached_weights(repository: str, commit: str) -> Path | None:
    found = (_cached(repository, name, commit) for name in WEIGHTS_FILES)
    return next((path for path in found if path is not None), None)


def _require_license(repository: str, accepted: bool) -> None:
    if not repository.lower().startswith(LICENSED_OWNER):
        return
    notice = (
        f"{repository} is published under the GenBio AI Community License, for non-commercial use "
        f"(full text: https://huggingface.co/{repository})"
    )
    if not accepted:
        raise InputError(
            "E_USAGE",
            notice,
            fix="read it, then give --accept-model-license or set `accept_model_license: true` in the config",
        )
    logger.warning("%s; accepted", notice)


def _download_all(repository: str, revision: str | None) -> str:
    """Download all files of one commit, and give it; weights last, so a cache with them has the rest."""
    # Asked for by branch or tag, so that the cache remembers what that meant.
    config = _download(repository, "config.json", revision)
    if config is None:
        raise _missing(repository, "it has no config.json")
    commit = config.parent.name
    for name in OPTIONAL_FILES:
        _download(repository, name, commit)
    if not any(_download(repository, name, commit) for name in WEIGHTS_FILES):
        raise _missing(repository, f"it has neither {' nor '.join(WEIGHTS_FILES)}")
    return commit


def _download(repository: str, name: str, revision: str | None) -> Path | None:
    """Download one file into the cache; None where the repository does not have it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HTTPError

    try:
        return Path(hf_hub_download(repository, name, revision=revision))
    except (EntryNotFoundError, HTTPError, OSError) as error:
        if _is_absent(error):
            return None
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise MachineError(
                "E_DISK_FULL",
                f"no space left while downloading {name} of {repository}",
                fix="free some space, or point HF_HOME to another disk",
            ) from error
        raise _missing(repository, f"{name}: {_reason(error)}") from error


def _is_absent(error: Exception) -> bool:
    """Whether the hub answered 404; the client wraps that answer where it looks in its cache too."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    return response is not None and response.status_code == 404


def _check_hash(weights: Path) -> None:
    """Large files are stored in the cache under the sha256 that the hub announced for them."""
    announced = weights.resolve().name
    if re.fullmatch("[0-9a-f]{64}", announced) and sha256_file(weights) != announced:
        raise InputError(
            "E_MODEL_HASH",
            f"{weights} does not have the sha256 that the hub announced ({announced[:12]}…)",
            fix=f"delete {weights.resolve()} and run the same command again to download it anew",
        )


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _missing(repository: str, why: str) -> InputError:
    return InputError(
        "E_MODEL_MISSING",
        f"{repository} could not be fetched from the hub ({why}) and is not in its cache",
        fix=f"check the name and the connection, or run `hf download {repository} --local-dir FOLDER` "
        "on a machine that reaches the hub, copy the folder here and give its path",
    )
