"""Checkpoints: a folder or a repository on the hub becomes a model with its genes and identity."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from aidocell.errors import InputError
from aidocell.files import atomic, sha256_file, write_json
from aidocell.genes import Vocabulary
from aidocell.model import hub, weights
from aidocell.model.config import ModelConfig
from aidocell.model.network import AidoCell

__all__ = ["CheckpointInfo", "checkpoint_info", "load_model", "save_checkpoint"]


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """What a checkpoint is, for provenance and for the reader of a report.

    Attributes
    ----------
    id
        Hub id, or the name that a folder's ``card.json`` gives, or ``sha256:`` and 12 digits; never a path.
    sha256
        Digest over the tensors (names, types, shapes, bytes), the same for both forms of file.
    source
        ``hub`` or ``folder``.
    revision
        Commit on the hub; ``None`` for a folder.
    weights_sha256, genes_sha256
        Of the weights file as it lies there, and of the gene list.
    demonstration
        Whether ``card.json`` says that this checkpoint is for demonstration only.
    config
        The fields of :class:`ModelConfig`: how much work a cell is.
    card
        All of ``card.json``; empty where there is none.
    """

    id: str
    sha256: str
    source: str
    revision: str | None
    weights_sha256: str
    genes_sha256: str
    demonstration: bool
    config: dict = field(compare=False)
    card: dict = field(default_factory=dict, compare=False)


def load_model(
    name_or_folder: str | Path,
    *,
    revision: str | None = None,
    accept_license: bool = False,
    attention: str = "auto",
    device: str | torch.device = "cpu",
) -> AidoCell:
    """Load a checkpoint, strictly: nothing is missing, left over or guessed.

    Parameters
    ----------
    name_or_folder
        A folder with ``config.json`` and ``model.safetensors`` or ``pytorch_model.bin`` (and ``genes.tsv``, if
        its genes are not the built-in ones), or a hub id such as ``genbio-ai/AIDO.Cell-3M``.
    revision
        Branch, tag or commit on the hub; its main branch by default.
    accept_license
        Accept the licence that the publisher puts on the weights; asked for at the first download.
    attention
        ``auto``, ``sdpa``, ``flash`` or ``reference``.
    device
        Where to put the weights.

    Returns
    -------
    AidoCell
        In float32, in evaluation mode, with ``genes`` and ``checkpoint`` set.

    Raises
    ------
    InputError
        ``E_MODEL_MISSING``, ``E_MODEL_CONFIG``, ``E_MODEL_UNSAFE``, ``E_MODEL_HASH``, ``E_FILE_DAMAGED``, ``E_USAGE``.
    """
    device = _usable(device)
    located = _locate(name_or_folder, revision, accept_license)
    config, tensors, genes = _read_all(located.folder)
    with torch.device("meta"):
        model = AidoCell(config, head=weights.has_head(tensors))
    # Copied, so that the weights lie in memory alike whatever form of file they come from.
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}
    model.load_state_dict(copies, assign=True)
    model.genes, model.checkpoint = genes, _describe(located, config, tensors, genes)
    model.to(device).eval()
    model.attention = attention
    return model


def checkpoint_info(
    name_or_folder: str | Path, *, revision: str | None = None, accept_license: bool = False
) -> CheckpointInfo:
    """Identify a checkpoint without building its model; parameters and errors as `load_model`."""
    located = _locate(name_or_folder, revision, accept_license)
    return _describe(located, *_read_all(located.folder))


def save_checkpoint(folder: str | Path, model: AidoCell, *, card: dict | None = None) -> None:
    """Write ``config.json`` and ``pytorch_model.bin`` in the official form into `folder`.

    ``genes.tsv`` is not written: copy it beside them where the genes are not the built-in ones.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    if model.cls is not None:
        tensors[weights.DECODER_BIAS_ALIAS] = tensors[weights.DECODER_BIAS]
    write_json(folder / "config.json", model.config.to_fields())
    # through an open file: by a path, torch would put its name into the bytes
    with atomic(folder / "pytorch_model.bin") as temporary, temporary.open("wb") as handle:
        torch.save(tensors, handle)
    if card is not None:
        write_json(folder / "card.json", card)


@dataclass(frozen=True)
class _Located:
    folder: Path
    source: str
    hub_id: str | None = None
    revision: str | None = None


def _locate(name_or_folder: str | Path, revision: str | None, accept_license: bool) -> _Located:
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise InputError(
                "E_USAGE",
                f"a revision was given for {folder}, which is a folder",
                fix="leave the revision out, or give a hub id",
            )
        return _Located(folder, "folder")
    if not isinstance(name_or_folder, str) or not hub.is_hub_id(name_or_folder):
        raise _missing(f"{name_or_folder} is neither a folder nor a hub id")
    found = hub.fetch(name_or_folder, revision=revision, accept_license=accept_license)
    return _Located(found.folder, "hub", name_or_folder, found.revision)


def _read_all(folder: Path) -> tuple[ModelConfig, dict[str, Tensor], Vocabulary]:
    """Config and genes first: they are small, and wrong ones are found before weights are read."""
    path = _weights_path(folder)
    try:
        config = ModelConfig.read(folder / "config.json")
        genes = _genes(folder, config)
        tensors = weights.read(path)
    except OSError as error:
        raise InputError(
            "E_FILE_MISSING",
            f"{error.filename or folder} cannot be read ({error.strerror})",
            fix="check that you may read every file of the checkpoint",
        ) from error
    weights.check(tensors, config, where=str(path))
    return config, tensors, genes


def _weights_path(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise _missing(f"{folder} has no config.json")
    for name in hub.WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    raise _missing(f"{folder} has neither {' nor '.join(hub.WEIGHTS_FILES)}")


def _genes(folder: Path, config: ModelConfig) -> Vocabulary:
    own = folder / "genes.tsv"
    genes = Vocabulary.read(own) if own.is_file() else Vocabulary.builtin()
    if len(genes) != config.n_genes:
        source = str(own) if own.is_file() else "the built-in gene list"
        raise InputError(
            "E_MODEL_CONFIG",
            f"{source} has {len(genes)} genes, and max_position_embeddings in config.json is {config.n_genes}",
            fix=f"put the checkpoint's own genes.tsv into {folder}",
        )
    return genes


def _describe(
    located: _Located, config: ModelConfig, tensors: dict[str, Tensor], genes: Vocabulary
) -> CheckpointInfo:
    digest, card = weights.digest(tensors), _read_card(located.folder)
    return CheckpointInfo(
        id=located.hub_id or card.get("name") or f"sha256:{digest[:12]}",
        sha256=digest,
        source=located.source,
        revision=located.revision,
        weights_sha256=sha256_file(_weights_path(located.folder)),
        genes_sha256=genes.sha256,
        demonstration=card.get("demonstration", False),
        config=asdict(config),
        card=card,
    )


def _read_card(folder: Path) -> dict:
    path = folder / "card.json"
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _bad_card(path, f"is not JSON ({error})") from error
    if not isinstance(card, dict) or not isinstance(card.get("demonstration", False), bool):
        raise _bad_card(path, "is not an object whose `demonstration` is true or false")
    # The name stands where a hub id does, so it must not look like one.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", str(card.get("name", "unnamed"))):
        raise _bad_card(
            path, "has a name with other characters than letters, digits, '.', '_', '-'"
        )
    return card


def _bad_card(path: Path, what: str) -> InputError:
    return InputError("E_MODEL_CONFIG", f"{path} {what}", fix="correct it or remove the file")


def _missing(what: str) -> InputError:
    return InputError(
        "E_MODEL_MISSING",
        what,
        fix="give a folder with config.json and weights, or a hub id such as genbio-ai/AIDO.Cell-3M",
    )


def _usable(device: str | torch.device) -> torch.device:
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "E_USAGE",
            "the device is cuda, and PyTorch finds no GPU here",
            fix="give --device cpu, or install a CUDA build of PyTorch on a machine with a GPU",
        )
    return device
