"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from edge_sr.models.fsrcnn import Fsrcnn
from edge_sr.models.network import Network

MODELS: dict[str, Callable[..., Network]] = {
    "fsrcnn": partial(Fsrcnn, name="fsrcnn"),
    "fsrcnn_residual": partial(Fsrcnn, name="fsrcnn_residual", residual=True),
    "fsrcnn_residual_small": partial(
        Fsrcnn, name="fsrcnn_residual_small", residual=True, d=18, s=12, m=3
    ),
    "fsrcnn_residual_large": partial(
        Fsrcnn, name="fsrcnn_residual_large", residual=True, d=24, s=24, m=8
    ),
    "fsrcnn_l": partial(Fsrcnn, name="fsrcnn_l", s=56),
}


def build_model(name: str, scale: int, **options: Any) -> Network:
    """A fresh network with PyTorch's default initialisation.

    Raises ValueError for an unknown name, a scale that is not offered, or an unknown option.
    """
    if name not in MODELS:
        raise ValueError(f"model {name!r} is unknown; choose from {' '.join(MODELS)}")
    try:
        return MODELS[name](scale, **options)
    except TypeError as error:
        raise ValueError(f"model {name} does not take these options: {error}") from error


__all__ = ["MODELS", "build_model"]
