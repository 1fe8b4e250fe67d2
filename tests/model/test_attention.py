"""Backends are interchangeable, and one that cannot run says what it needs."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

from aidocell.errors import InputError
from aidocell.model.attention import ATTENTION, BACKENDS, QUERY_BLOCK, resolve_attention


def by_head(positions, width=32, dtype=torch.float32):
    generator = torch.Generator().manual_seed(positions)
    shape = (3, 2, 4, positions, width)
    return torch.randn(shape, generator=generator).to(dtype).unbind()


@pytest.mark.parametrize("positions", [1, 5, QUERY_BLOCK + 1])
@pytest.mark.parametrize("width", [32, 64])
def test_sdpa_equals_the_plain_formula(positions, width):
    q, k, v = by_head(positions, width, torch.float64)
    torch.testing.assert_close(BACKENDS["sdpa"](q, k, v), BACKENDS["reference"](q, k, v))


def test_the_reference_is_softmax_of_scaled_products():
    q, k, v = by_head(QUERY_BLOCK + 7, dtype=torch.float64)
    weights = torch.softmax(q @ k.transpose(-1, -2) / 32**0.5, -1)
    torch.testing.assert_close(BACKENDS["reference"](q, k, v), weights @ v)


def test_the_reference_computes_half_precision_in_float32():
    q, k, v = by_head(40, dtype=torch.bfloat16)
    exact = BACKENDS["reference"](q.float(), k.float(), v.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = BACKENDS["reference"](q, k, v)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, exact.to(torch.bfloat16), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["auto", "sdpa"])
def test_auto_is_sdpa_whatever_is_installed(name, monkeypatch):
    with_flash(monkeypatch)
    assert resolve_attention(name, "cpu", torch.float32) == "sdpa"


def test_the_model_takes_another_backend_at_any_time_and_gives_the_same(model, golden):
    default = model(golden["input"])
    assert model.attention == "sdpa"
    model.attention = "reference"
    assert model.attention == "reference"
    torch.testing.assert_close(model(golden["input"]), default, rtol=0, atol=1e-4)


def with_flash(monkeypatch):
    """Pretend that the package is installed."""
    module = ModuleType("flash_attn")
    module.__spec__ = object()
    monkeypatch.setitem(sys.modules, "flash_attn", module)


def usage(name, device="cpu", dtype=None):
    with pytest.raises(InputError) as caught:
        resolve_attention(name, device, dtype)
    assert caught.value.id == "E_USAGE"
    return str(caught.value)


def test_an_unknown_backend_is_refused_with_those_that_there_are():
    assert all(name in usage("fast") for name in ATTENTION)


def test_flash_without_its_package_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install aidocell[flash]" in usage("flash")
    with pytest.raises(InputError, match="flash-attn"):
        model.attention = "flash"
    assert model.attention == "sdpa"


def test_flash_on_a_cpu_or_an_old_gpu_says_which_gpu_it_needs(monkeypatch):
    with_flash(monkeypatch)
    assert "Ampere" in usage("flash", "cpu", torch.bfloat16)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (7, 5))
    assert "Ampere" in usage("flash", "cuda", torch.bfloat16)


def test_flash_in_float32_says_that_it_needs_half_precision(monkeypatch):
    with_flash(monkeypatch)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (8, 0))
    assert "float32" in usage("flash", "cuda", torch.float32)
    assert resolve_attention("flash", "cuda", torch.bfloat16) == "flash"


def test_flash_never_gives_way_to_another_backend(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="E_USAGE"):
        BACKENDS["flash"](*by_head(4))
