"""Weights files: read without running anything, checked strictly, known by a digest."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from aidocell.errors import InputError, first_few
from aidocell.model.config import ModelConfig
from aidocell.model.network import AidoCell

__all__ = ["DECODER_BIAS", "DECODER_BIAS_ALIAS", "check", "digest", "has_head", "read"]

log = logging.getLogger(__name__)

# Two names of one number; the model computes with the first.
DECODER_BIAS, DECODER_BIAS_ALIAS = "cls.predictions.decoder.bias", "cls.predictions.bias"
PRECISIONS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def read(path: Path) -> dict[str, Tensor]:
    """Read a weights file into tensors under their official names.

    Names without ``bert.`` (a base model saved alone) get it, and the two names of the decoder's bias
    become one: ``decoder.bias`` where both are there.

    Raises
    ------
    InputError
        ``E_MODEL_UNSAFE``: a pickle that holds more than tensors; nothing of it has run.
        ``E_FILE_DAMAGED``: truncated or corrupted.
    """
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return _with_official_names(tensors, path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    whole = _is_whole_zip(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        imports = _imports(path)
        if whole or imports:
            raise _unsafe(path, f"it asks for {', '.join(imports) or 'other objects'}") from error
        raise _damaged(path, error) from error
    except OSError:
        raise
    except Exception as error:  # a malformed pickle trips torch's reader in any place
        raise _damaged(path, error) from error
    _require_tensors(loaded, path)
    return dict(loaded)


def _is_whole_zip(path: Path) -> bool:
    """Check the zip's checksums, which torch leaves alone: a flipped bit would go unnoticed."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as handle:
            if handle.read(4) == b"PK\3\4":
                raise _damaged(path, "its end is missing")
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            if any(m.compress_type != zipfile.ZIP_STORED for m in archive.infolist()):
                raise _damaged(path, "it is compressed, which PyTorch's files are not")
            broken = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(path, error) from error
    if broken is not None:
        raise _damaged(path, f"{broken} has another checksum than when it was written")
    return True


def _imports(path: Path) -> list[str]:
    """What a pickle would import besides torch, read off its operations without running them."""
    names, strings = set(), ["", ""]
    for operation, argument in _operations(_pickle_bytes(path)):
        if operation in ("GLOBAL", "INST"):
            names.add(argument.replace(" ", "."))
        elif operation == "STACK_GLOBAL":
            names.add(".".join(strings[-2:]))
        elif isinstance(argument, str):
            strings.append(argument)
    return sorted(n for n in names if not n.startswith(("torch.", "collections.OrderedDict")))


def _operations(content: bytes) -> Iterator[tuple[str, object]]:
    """Operations of the first pickles: torch's older form has three small ones before the weights."""
    stream = io.BytesIO(content)
    try:
        for _ in range(4):
            for operation, argument, _ in pickletools.genops(stream):
                yield operation.name, argument
    except ValueError:
        return  # the end of the pickles, or of what can be read of them


def _pickle_bytes(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))


def _require_tensors(loaded: object, path: Path) -> None:
    if not isinstance(loaded, dict):
        raise _unsafe(path, f"it holds a {type(loaded).__name__}, not a state dict")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise _unsafe(path, f"its entry {name!r} is a {type(value).__name__}, not a tensor")


def _with_official_names(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    if not any(name.startswith("bert.") for name in tensors):
        tensors = {n if n.startswith("cls.") else f"bert.{n}": t for n, t in tensors.items()}
    for name, tensor in tensors.items():
        _require_held(name, tensor, path)
    alias = tensors.pop(DECODER_BIAS_ALIAS, None)
    if alias is not None and not torch.equal(tensors.setdefault(DECODER_BIAS, alias), alias):
        log.warning("%s: %s differs from %s, which is used", path, DECODER_BIAS_ALIAS, DECODER_BIAS)
    return tensors


def _require_held(name: str, tensor: Tensor, path: Path) -> None:
    """A tensor can claim more values than its file holds, and then take hours to look at."""
    plain = tensor.layout is torch.strided and tensor.device.type == "cpu"
    if not plain or tensor.is_quantized:
        raise _refused(f"{path}: {name} is no plain tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise _refused(f"{path}: {name} claims {tensor.numel():,} values, which are not there")


def has_head(tensors: dict[str, Tensor]) -> bool:
    return any(name.startswith("cls.") for name in tensors)


def check(tensors: dict[str, Tensor], config: ModelConfig, *, where: str) -> None:
    """Require exactly the tensors of this shape, all of them finite numbers.

    Raises
    ------
    InputError
        ``E_MODEL_CONFIG``: a tensor is missing, extra, misshapen, not floating point or not finite.
    """
    if config.num_hidden_layers > len(tensors):
        raise _refused(
            f"{where} has {len(tensors)} tensors, too few for num_hidden_layers {config.num_hidden_layers}"
        )
    expected = _expected_shapes(config, head=has_head(tensors))
    if missing := sorted(expected.keys() - tensors.keys()):
        raise _refused(f"{where} has no tensor {first_few(missing)}")
    if extra := sorted(tensors.keys() - expected.keys()):
        raise _refused(
            f"{where} has a tensor that config.json does not ask for: {first_few(extra)}"
        )
    for name, tensor in tensors.items():
        _check_tensor(name, tensor, expected[name], where)


def _expected_shapes(config: ModelConfig, *, head: bool) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = AidoCell(config, head=head)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _check_tensor(name: str, tensor: Tensor, shape: tuple[int, ...], where: str) -> None:
    if tuple(tensor.shape) != shape:
        raise _refused(
            f"{where}: {name} has the shape {tuple(tensor.shape)}, config.json asks for {shape}"
        )
    if tensor.dtype not in PRECISIONS:
        raise _refused(f"{where}: {name} is of type {tensor.dtype}, not floating point")
    if not torch.isfinite(tensor).all():
        raise _refused(f"{where}: {name} holds NaN or infinity")


def digest(tensors: dict[str, Tensor]) -> str:
    """Sha256 over names, types, shapes and bytes of the tensors; independent of the file's form."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name}\t{tensor.dtype}\t{tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def _refused(what: str) -> InputError:
    return InputError(
        "E_MODEL_CONFIG", what, fix="use weights and config.json of one and the same checkpoint"
    )


def _unsafe(path: Path, why: str) -> InputError:
    return InputError(
        "E_MODEL_UNSAFE",
        f"{path} is a pickle with more than tensors in it ({why}); nothing of it was run",
        fix="get the weights from their publisher, best as model.safetensors",
    )


def _damaged(path: Path, why: object) -> InputError:
    reason = str(why).splitlines()[0] if str(why) else type(why).__name__
    return InputError(
        "E_FILE_DAMAGED",
        f"{path} is truncated or corrupted ({reason})",
        fix="copy or download it again",
    )
