"""What fine-tuning and pre-training share: rates, optimiser, devices, saved states."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from aidocell.errors import InputError
from aidocell.train.fabric import new_fabric
from aidocell.train.optimiser import Schedule, new_optimiser
from aidocell.train.saving import load_state, save_state

SCHEDULE = Schedule(peak_rate=2.0, warmup_share=0.1, floor_share=0.25, steps=100)


def test_the_rate_rises_along_a_line_and_falls_along_a_cosine_to_its_floor():
    assert [SCHEDULE.rate(step) for step in (0, 4, 9)] == pytest.approx([0.2, 1.0, 2.0])
    assert SCHEDULE.rate(10) == 2.0
    assert SCHEDULE.rate(55) == pytest.approx(2 * (0.25 + 0.75 / 2))
    assert SCHEDULE.rate(100) == pytest.approx(0.5)
    rates = [SCHEDULE.rate(step) for step in range(10, 101)]
    assert rates == sorted(rates, reverse=True)


def test_the_optimiser_follows_the_schedule_and_single_weights_have_their_own_peak():
    model = nn.Linear(2, 2)
    optimiser, scheduler = new_optimiser(
        model, schedule=SCHEDULE, betas=(0.9, 0.95), weight_decay=0.01, rates={"bias": 6.0}
    )
    for step in range(20):
        own, other = (group["lr"] for group in optimiser.param_groups)
        assert own == pytest.approx(SCHEDULE.rate(step))
        assert other == pytest.approx(3 * SCHEDULE.rate(step))
        optimiser.step()
        scheduler.step()


def test_weights_that_are_not_trained_are_left_to_no_optimiser():
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    optimiser, _ = new_optimiser(model, schedule=SCHEDULE, betas=(0.9, 0.95), weight_decay=0.01)
    assert [group["params"] for group in optimiser.param_groups] == [[model.weight]]
    assert all(group["weight_decay"] == 0.01 for group in optimiser.param_groups)


def test_a_state_comes_back_as_it_was_saved(tmp_path):
    parts = {"weights": {"a": torch.arange(3.0)}, "step": 7, "rows": [{"loss": 0.5, "f1": None}]}
    save_state(tmp_path / "state", key="k", **parts)
    found = load_state(tmp_path / "state", key="k")
    assert torch.equal(found["weights"].pop("a"), parts["weights"].pop("a"))
    assert found == parts


def test_an_earlier_state_is_kept_where_a_later_one_cannot_be_written(tmp_path):
    save_state(tmp_path / "state", key="k", step=1)
    with pytest.raises(Exception, match="pickle"):
        save_state(tmp_path / "state", key="k", step=lambda: None)
    assert load_state(tmp_path / "state", key="k") == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_state_of_another_run_or_with_a_changed_byte_is_refused(tmp_path):
    path = tmp_path / "state"
    save_state(path, key="k", step=1)
    with pytest.raises(InputError, match="E_STORE_MISMATCH"):
        load_state(path, key="other")
    content = path.read_bytes()
    for damaged in (content[:-1], content[:40], b"", content[:9] + b"!" + content[10:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="E_FILE_DAMAGED"):
            load_state(path, key="k")


def test_a_cpu_computes_in_float32_unless_asked_otherwise():
    assert new_fabric(device="cpu")._precision.precision == "32-true"
    assert new_fabric(device="cpu", precision="bfloat16")._precision.precision == "bf16-mixed"


def test_one_device_is_this_process(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "job")
    fabric = new_fabric(device="cpu")
    assert fabric.launch(lambda fabric, x: (fabric.world_size, x), 3) == (1, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "tpu"},
        {"precision": "float16"},
        {"devices": 0},
        {"device": "cuda", "devices": 64},
    ],
)
def test_devices_and_precisions_that_are_not_there_are_refused(wrong):
    with pytest.raises(InputError, match="E_USAGE"):
        new_fabric(**wrong)
