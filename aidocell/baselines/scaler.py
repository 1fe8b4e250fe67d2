"""The standardising step as arrays, and back."""

from __future__ import annotations

import numpy as np
from sklearn.preprocessing import StandardScaler

__all__ = ["scaler_arrays", "scaler_from_arrays"]


def scaler_arrays(scaler: StandardScaler) -> dict[str, np.ndarray]:
    """Mean and scale of each dimension."""
    return {"mean": scaler.mean_, "scale": scaler.scale_}


def scaler_from_arrays(arrays: dict[str, np.ndarray]) -> StandardScaler:
    """The fitted scaler again.

    Raises
    ------
    ValueError
        Shapes that disagree, or a scale that is not above zero.
    """
    mean, scale = arrays["mean"], arrays["scale"]
    if mean.ndim != 1 or mean.size == 0 or mean.shape != scale.shape:
        raise ValueError(f"mean and scale have shapes {mean.shape} and {scale.shape}")
    if not (scale > 0).all():
        raise ValueError("scale is not above zero")
    scaler = StandardScaler()
    scaler.mean_, scaler.scale_, scaler.n_features_in_ = mean, scale, len(mean)
    return scaler
