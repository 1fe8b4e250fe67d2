"""Memory on paper against what PyTorch allocates on a CPU."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from aidocell.model import AidoCell, ModelConfig, random_network
from aidocell.train.memory import peak_memory
from aidocell.train.modes import prepare
from aidocell.train.options import FinetuneOptions


def config(layers, hidden, heads, wide, genes):
    return ModelConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=wide,
        max_position_embeddings=genes,
        bin_num=100,
        bin_alpha=1.0,
        layer_norm_eps=1e-5,
    )


RELEASED = {
    "3M": config(6, 128, 4, 320, 19264),
    "10M": config(8, 256, 8, 640, 19264),
    "100M": config(18, 640, 20, 1664, 19264),
}


def allocated_at_peak(shape, options):
    """Bytes above what was there before, over one forward and backward pass."""
    network = prepare(random_network(shape, seed=0), 3, options, seed=0)
    values = torch.rand(options.batch_size, shape.n_positions)
    codes = torch.zeros(options.batch_size, dtype=torch.long)
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=cpu, profile_memory=True) as profile:
        functional.cross_entropy(network(values), codes).backward()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.parametrize("shape", [(3, 64, 2, 160, 500), (2, 128, 4, 320, 500)])
@pytest.mark.parametrize(
    "changes",
    [{}, {"activation_checkpointing": True}, {"mode": "last"}, {"pooling": "mean"}],
)
def test_the_peak_on_paper_is_within_a_fifth_of_the_measured_one(shape, changes):
    options = FinetuneOptions(batch_size=3, **changes)
    paper = peak_memory(config(*shape), options, precision="float32")
    expected = paper.gradients + paper.activations + paper.working
    assert allocated_at_peak(config(*shape), options) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("name", RELEASED)
def test_all_weights_of_the_released_shapes_are_counted(name):
    with torch.device("meta"):
        network = AidoCell(RELEASED[name])
    weights = sum(weight.numel() for weight in network.parameters())
    paper = peak_memory(RELEASED[name], FinetuneOptions(), precision="float32")
    assert paper.weights == 4 * weights
    trained = prepare(network, 3, FinetuneOptions(), seed=0).backbone
    number = sum(weight.numel() for weight in trained.parameters() if weight.requires_grad)
    assert (paper.gradients, paper.moments) == (4 * number, 8 * number)


def test_full_fine_tuning_of_100m_at_batch_4_fits_well_under_80_gb():
    kept, anew = (
        peak_memory(
            RELEASED["100M"],
            FinetuneOptions(batch_size=4, activation_checkpointing=on),
            precision="bfloat16",
        ).total
        for on in (False, True)
    )
    assert kept < 50e9
    assert anew < 15e9
