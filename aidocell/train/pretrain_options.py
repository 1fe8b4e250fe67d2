"""How a network is pre-trained, and the file that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aidocell.config import check_keys, check_value
from aidocell.errors import InputError

if TYPE_CHECKING:
    from aidocell.model import AidoCell

__all__ = ["SHAPES", "PretrainOptions", "Recipe", "new_network", "read_recipe"]

# The released sizes; everything else in their configurations is the same.
SHAPES = {
    name: dict(
        zip(
            ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"),
            sizes,
            strict=True,
        )
    )
    for name, sizes in {
        "3M": (6, 128, 4, 320),
        "10M": (8, 256, 8, 640),
        "100M": (18, 640, 20, 1664),
    }.items()
}
_RELEASED = {"bin_num": 100, "bin_alpha": 1.0, "layer_norm_eps": 1e-5}

_SEED_RULE = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}


def _count(default: int, minimum: int = 1) -> Any:
    return field(
        default=default, metadata={"type": "integer", "minimum": minimum, "maximum": 10**9}
    )


def _share(default: float) -> Any:
    return field(default=default, metadata={"type": "number", "minimum": 0, "maximum": 1})


def _positive(default: float) -> Any:
    rule = {"type": "number", "exclusiveMinimum": 0, "maximum": 1e6}
    return field(default=default, metadata=rule)


def _beta(default: float) -> Any:
    return field(default=default, metadata={"type": "number", "minimum": 0, "maximum": 0.999999})


def _or_null(kind: str, **limits: float) -> Any:
    return field(default=None, metadata={"type": [kind, "null"], **limits})


def _word(default: str, *words: str) -> Any:
    return field(default=default, metadata={"enum": list(words)})


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """The recipe; each field is a key of ``--config``, and the defaults are the model card's.

    The card names AdamW, beta1, the weight decay, the schedule with its steps, warm-up and peak
    (of the 100M model), and bfloat16. It prints a beta2 of 1e-2, which no recipe for AdamW uses:
    0.95 is the official framework's. How many genes are masked, how many cells make a step and at
    which norm gradients are clipped is not published: those defaults are ours.

    Attributes
    ----------
    steps
        Steps of the optimiser.
    batch_size, accumulate
        Cells that pass a device at once, and batches of each device that make one step.
    rate, warmup_share, floor_share
        Peak learning rate; share of the steps in which it rises; share of the peak that is left
        at the end of the cosine.
    position_rate
        Peak rate of the position table; None takes `rate`.
    weight_decay, beta1, beta2, clip
        Of AdamW, and the largest norm of a step's gradient.
    masked_share, masked_zero_share
        Share of a cell's genes with a count that is masked, and of the measured genes without.
    thinned_share, thinning_min_counts, thinning_alpha, thinning_beta
        Share of the cells with more than so many counts that are thinned, and the two parameters
        of the beta distribution that their rates are drawn from.
    genes_per_cell, variable_genes
        Of each cell so many genes are drawn at random from so many with the largest variance, for
        small machines; None takes all.
    validation_cells
        Cells set apart, the same for every seed; None takes a tenth, and no more than 512.
    validate_every
        Steps between two losses on the validation cells.
    save_every, save_minutes
        Steps and minutes after which work so far is saved, whichever come first.
    block_cells, blocks
        Cells are read in blocks of neighbours; so many random blocks are in memory at a time, and
        their cells are mixed.
    activation_checkpointing, device, precision, attention, devices
        As of fine-tuning.
    """

    steps: int = _count(150_000)
    batch_size: int = _count(8)
    accumulate: int = _count(1)
    rate: float = _positive(3e-4)
    position_rate: float | None = _or_null("number", exclusiveMinimum=0, maximum=1e6)
    warmup_share: float = _share(0.05)
    floor_share: float = _share(0.0)
    weight_decay: float = _share(0.01)
    beta1: float = _beta(0.9)
    beta2: float = _beta(0.95)
    clip: float = _positive(1.0)
    masked_share: float = _share(0.3)
    masked_zero_share: float = _share(0.03)
    thinned_share: float = _share(0.5)
    thinning_min_counts: int = _count(1000, 0)
    thinning_alpha: float = _positive(2.0)
    thinning_beta: float = _positive(2.0)
    genes_per_cell: int | None = _or_null("integer", minimum=1, maximum=10**6)
    variable_genes: int | None = _or_null("integer", minimum=1, maximum=10**6)
    validation_cells: int | None = _or_null("integer", minimum=1, maximum=10**7)
    validate_every: int = _count(1000)
    save_every: int = _count(1000)
    save_minutes: float = _positive(10.0)
    block_cells: int = _count(512)
    blocks: int = _count(16)
    activation_checkpointing: bool = field(default=False, metadata={"type": "boolean"})
    device: str = _word("auto", "auto", "cpu", "cuda")
    precision: str = _word("auto", "auto", "float32", "bfloat16")
    attention: str = _word("auto", "auto", "sdpa", "flash", "reference")
    devices: int = _count(1)

    def __post_init__(self) -> None:
        for key in fields(self):
            value = getattr(self, key.name)
            whole = check_value(key.name, value, key.metadata, where="the recipe")
            object.__setattr__(self, key.name, whole)  # 5.0 becomes 5
        if self.masked_share == 0:
            raise _refused("masked_share is 0", "mask some genes: they are what is learned")
        per_cell, variable = self.genes_per_cell, self.variable_genes
        if per_cell is not None and variable is not None and per_cell > variable:
            raise _refused(
                f"genes_per_cell ({per_cell}) is above variable_genes ({variable})", "swap them"
            )

    @property
    def step_cells(self) -> int:
        """Cells of one step, on all devices together."""
        return self.batch_size * self.accumulate * self.devices

    def share(self, step: int, rank: int) -> tuple[int, int]:
        """Place in the stream from which a process takes its cells of a step, and their number."""
        own = self.batch_size * self.accumulate
        return step * self.step_cells + rank * own, own

    def shaping(self) -> dict[str, Any]:
        """All that can change a result."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in ("save_every", "save_minutes")
        }


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a file for ``--config`` says.

    Attributes
    ----------
    options
        How.
    seed
        Of the initial weights and of every draw.
    network
        Name or sizes of a network that begins with random weights; None where a checkpoint is.
    name
        Goes to the checkpoint's card.
    """

    options: PretrainOptions = field(default_factory=PretrainOptions)
    seed: int = 0
    network: str | Mapping[str, Any] | None = None
    name: str | None = None


def read_recipe(path: str | Path | None, **given: Any) -> Recipe:
    """Read a recipe; what is `given` and not None wins over the file.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``; ``E_CONFIG``: not YAML, an unknown key, or a value that is not valid.
    """
    from aidocell.configured import read_yaml

    content = {} if path is None else read_yaml(path, what="a file of keys of the recipe")
    content |= {name: value for name, value in given.items() if value is not None}
    content = check_keys(content, _rules())
    own = {name: content.pop(name) for name in ("seed", "network", "name")}
    return Recipe(options=PretrainOptions(**content), **own)


def new_network(network: str | Mapping[str, Any], *, seed: int) -> AidoCell:
    """A network with random weights.

    Parameters
    ----------
    network
        One of :data:`SHAPES`, or the four sizes that these have. ``genes`` may name a
        ``genes.tsv``, and what else a ``config.json`` has may be given.

    Raises
    ------
    InputError
        ``E_CONFIG``: an unknown name or key; ``E_MODEL_CONFIG``: a size that is missing or wrong.
    """
    from aidocell.genes import Vocabulary
    from aidocell.model import ModelConfig, random_network
    from aidocell.model.config import FIXED

    sizes = dict(_sizes(network))
    genes = sizes.pop("genes", None)
    if not isinstance(genes, str | None):
        raise _refused(f"network.genes is {genes!r}", "give the path of a genes.tsv")
    vocabulary = Vocabulary.builtin() if genes is None else Vocabulary.read(genes)
    known = {*(key.name for key in fields(ModelConfig))} - {"max_position_embeddings"}
    for key in sorted(map(str, set(sizes) - known)):
        raise _refused(f"unknown key 'network.{key}'", f"use some of {', '.join(sorted(known))}")
    given = {**FIXED, **_RELEASED, **sizes, "max_position_embeddings": len(vocabulary)}
    config = ModelConfig.from_fields(given, where="the recipe's network")
    model = random_network(config, seed=seed)
    model.genes = vocabulary
    return model


def _sizes(network: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(network, Mapping):
        return network
    if network not in SHAPES:
        raise _refused(f"there is no shape {network!r}", f"give one of {', '.join(SHAPES)}")
    return SHAPES[network]


def _rules() -> dict[str, Any]:
    """The schema of a recipe's file."""
    keys = {key.name: {**key.metadata, "default": key.default} for key in fields(PretrainOptions)}
    keys |= {
        "seed": {**_SEED_RULE, "default": 0},
        "network": {"type": ["string", "object", "null"], "default": None},
        "name": {
            "type": ["string", "null"],
            "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
            "default": None,
        },
    }
    return {"type": "object", "properties": keys, "additionalProperties": False}


def _refused(what: str, fix: str) -> InputError:
    return InputError("E_CONFIG", what, fix=fix)
