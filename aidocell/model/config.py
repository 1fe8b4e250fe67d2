"""The shape of a checkpoint, read from its ``config.json`` and never guessed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from aidocell.errors import InputError

__all__ = ["ModelConfig"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Every setting of a checkpoint that the arithmetic depends on.

    Attributes
    ----------
    num_hidden_layers, hidden_size, num_attention_heads, intermediate_size
        Shape of the encoder; ``hidden_size`` is a multiple of ``num_attention_heads``.
    max_position_embeddings
        Number of genes; the position table has two rows more, for the depth tokens.
    bin_num, bin_alpha
        Soft bins of the gene embedding, and the weight of the direct path to them.
    layer_norm_eps
        Added to the variance in every layer norm.
    """

    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    bin_num: int
    bin_alpha: float
    layer_norm_eps: float

    @property
    def n_genes(self) -> int:
        return self.max_position_embeddings

    @property
    def n_positions(self) -> int:
        """Genes and the two depth tokens."""
        return self.max_position_embeddings + 2

    @property
    def head_width(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def read(cls, path: str | Path) -> ModelConfig:
        """Read a ``config.json``.

        Raises
        ------
        InputError
            ``E_MODEL_CONFIG``: not JSON, a field is missing, or a value is not supported.
        """
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise _refused(f"{path} is not JSON ({error})") from error
        if not isinstance(fields, dict):
            raise _refused(f"{path} does not hold a JSON object")
        return cls.from_fields(fields, where=str(path))

    @classmethod
    def from_fields(cls, fields: dict, *, where: str = "config.json") -> ModelConfig:
        """Check the fields of a ``config.json`` and keep those that matter; errors as `read`."""
        for name, supported in FIXED.items():
            _require_fixed(fields, name, supported, where)
        names = [field.name for field in dataclasses.fields(cls)]
        config = cls(**{name: _number(fields, name, where) for name in names})
        if config.hidden_size % config.num_attention_heads:
            raise _refused(
                f"{where}: hidden_size {config.hidden_size} is not a multiple of "
                f"num_attention_heads {config.num_attention_heads}"
            )
        return config

    def to_fields(self) -> dict:
        """The ``config.json`` of this shape, in the official form."""
        return dict(sorted({**FIXED, **UNUSED, **dataclasses.asdict(self)}.items()))


# Fields for which this code implements one value only.
FIXED = {
    "add_linear_bias": False,
    "attention_probs_dropout_prob": 0.0,
    "hidden_act": "swiglu",
    "hidden_dropout_prob": 0.0,
    "mask_token_id": -1,
    "model_type": "cellfoundation",
    "normalization_type": "LayerNorm",
    "pad_token_id": -2,
    "position_embedding_type": "absolute",
}

# Written for other readers of the official form; they change nothing here.
UNUSED = {
    "architectures": ["CellFoundationForMaskedLM"],
    "initializer_range": 0.02,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "type_vocab_size": 2,
    "vocab_size": 16,
}

FRACTIONS = {"bin_alpha", "layer_norm_eps"}
LARGEST = 1_000_000


def _refused(what: str) -> InputError:
    return InputError(
        "E_MODEL_CONFIG", what, fix="use the config.json that was published with the weights"
    )


def _field(fields: dict, name: str, where: str) -> object:
    if name not in fields:
        raise _refused(f"{where} has no field {name!r}")
    return fields[name]


def _require_fixed(fields: dict, name: str, supported: object, where: str) -> None:
    found = _field(fields, name, where)
    # 0 and 0.0 are one value in JSON, but 0 and false are not.
    if isinstance(found, bool) != isinstance(supported, bool) or found != supported:
        raise _refused(f"{where}: {name} is {found!r}, and only {supported!r} is supported")


def _number(fields: dict, name: str, where: str) -> int | float:
    value = _field(fields, name, where)
    if name in FRACTIONS:
        kinds, meaning = (int, float), f"a positive number up to {LARGEST}"
    else:
        kinds, meaning = (int,), f"a whole number from 1 to {LARGEST}"
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= LARGEST:
        raise _refused(f"{where}: {name} is {value!r}, not {meaning}")
    return float(value) if name in FRACTIONS else value
