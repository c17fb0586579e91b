"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from edge_sr.models.carn import Carn
from edge_sr.models.drn import Drn
from edge_sr.models.edsr import Edsr
from edge_sr.models.fsrcnn import Fsrcnn
from edge_sr.models.idn import Idn
from edge_sr.models.network import Network
from edge_sr.models.rcan import Rcan
from edge_sr.models.san import San
from edge_sr.models.vdsr import Vdsr

MODELS: dict[str, Callable[..., Network]] = {
    "fsrcnn": partial(Fsrcnn, name="fsrcnn"),
    "fsrcnn_residual": partial(Fsrcnn, name="fsrcnn_residual", residual=True),
    "fsrcnn_residual_small": partial(
        Fsrcnn, name="fsrcnn_residual_small", residual=True, d=18, s=12, m=3
    ),
    "fsrcnn_residual_large": partial(
        Fsrcnn, name="fsrcnn_residual_large", residual=True, d=24, s=24, m=8
    ),
    "fsrcnn_residual_xl": partial(
        Fsrcnn, name="fsrcnn_residual_xl", residual=True, d=48, s=48, m=5
    ),
    "fsrcnn_l": partial(Fsrcnn, name="fsrcnn_l", s=56),
    "vdsr": Vdsr,
    "idn": Idn,
    "idn_rgb": partial(Idn, name="idn_rgb", channels="rgb"),
    "idn_rgb_subpixel": partial(Idn, name="idn_rgb_subpixel", channels="rgb", tail="subpixel"),
    "carn": Carn,
    "carn_m": partial(Carn, name="carn_m", mobile=True),
    "edsr_s": partial(Edsr, name="edsr_s"),
    "edsr_t": partial(Edsr, name="edsr_t", blocks=32, width=256, residual_scale=0.1),
    "rcan_s": partial(Rcan, name="rcan_s"),
    "rcan_t": partial(Rcan, name="rcan_t", blocks=20),
    "san_s": partial(San, name="san_s"),
    "san_t": partial(San, name="san_t", groups=20),
    "drn": partial(Drn, name="drn"),
    "drn_plus": partial(Drn, name="drn_plus", width=256),
}


def build_model(name: str, scale: int, **options: Any) -> Network:
    """A fresh network with the initial weights that its class names, PyTorch's default if none.

    Raises ValueError for an unknown name, a scale that is not offered, or an unknown option.
    """
    if name not in MODELS:
        raise ValueError(f"model {name!r} is unknown; choose from {' '.join(MODELS)}")
    try:
        return MODELS[name](scale, **options)
    except TypeError as error:
        raise ValueError(f"model {name} does not take these options: {error}") from error


__all__ = ["MODELS", "build_model"]
