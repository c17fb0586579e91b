"""Networks small enough to train in a test, of the shapes that the papers' have."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.models import build_model
from edge_sr.models.network import Network
from edge_sr.models.spec import ModelSpec

MEAN = (0.4488, 0.4371, 0.4040)


class TinyEdsr(Network):
    """RGB in 0..255 around a mean, residual blocks, sub-pixel tail; features after each block."""

    mean: Tensor

    def __init__(self, scale: int, *, width: int = 4, blocks: int = 3) -> None:
        super().__init__()
        self.options = {"width": width, "blocks": blocks}
        self.spec = ModelSpec("tiny_edsr", scale, "rgb", 8)
        self.feature_channels = (width,) * blocks
        self.register_buffer("mean", 255 * torch.tensor(MEAN)[:, None, None])
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(blocks))
        self.tail = nn.Conv2d(width, 3 * scale**2, 3, padding=1)

    def picture_and_features(self, lr: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        values, features = self.head(255 * lr - self.mean), []
        for block in self.body:
            values = values + functional.relu(block(values))
            features.append(values)
        sr = functional.pixel_shuffle(self.tail(values), self.spec.scale)
        return (sr + self.mean) / 255, tuple(features)


def tiny_vdsr(scale: int, width: int = 4) -> Network:
    """Luminance, features on the HR grid."""
    return build_model("vdsr", scale, width=width, depth=3)


def tiny_idn(scale: int, name: str = "idn", width: int = 12) -> Network:
    """Luminance, or RGB by another name, features on the LR grid."""
    return build_model(name, scale, width=width, d=4, blocks=1)


TINY_NETWORKS: dict[str, Callable[..., Network]] = {"tiny_edsr": TinyEdsr}
