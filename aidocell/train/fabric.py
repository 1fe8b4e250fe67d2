"""The devices that a network is trained on, through Lightning Fabric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aidocell.errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["new_fabric"]

_PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}


def new_fabric(*, device: str = "auto", precision: str = "auto", devices: int = 1) -> Fabric:
    """A Fabric whose ``launch(function, *arguments)`` runs the training, ready for `setup`.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.
    precision
        ``float32``; ``bfloat16``: products in bfloat16, weights and their moments in float32;
        ``auto``: bfloat16 on a GPU and float32 on a CPU.
    devices
        GPUs of this machine, or processes on its CPU, that share each step's cells (DDP). They are
        spawned, so what `launch` is given has to be picklable; one device is this very process.

    Raises
    ------
    InputError
        ``E_USAGE``: an unknown name, a device or a package that is not there.
    """
    from aidocell.embedding import resolve_runtime

    runtime = resolve_runtime(device=device, precision=precision)
    _require_devices(runtime.device, devices)
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments import LightningEnvironment
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise InputError(
            "E_USAGE",
            "training needs the package lightning-fabric, which is not installed",
            fix="install it with `pip install aidocell[train]`",
        ) from error
    return Fabric(
        accelerator=runtime.device,
        devices=devices,
        precision=_PRECISIONS[runtime.precision],
        strategy=DDPStrategy(start_method="spawn") if devices > 1 else "auto",
        # one machine always; a job's Slurm variables would be taken for a launch by srun
        plugins=[LightningEnvironment()],
    )


def _require_devices(device: str, devices: int) -> None:
    import torch

    there = torch.cuda.device_count() if device == "cuda" else devices
    if devices < 1 or devices > there:
        raise InputError(
            "E_USAGE",
            f"{devices} devices were asked for, and this machine has {there} of the kind {device}",
            fix="give --devices a number from 1 to that of its GPUs",
        )
