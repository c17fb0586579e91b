"""The frame that EDSR, RCAN, SAN and DRN share around the layers in which they differ."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edge_sr.models.network import Network

# Mean colour of DIV2K's training pictures, R G B in [0, 1], and its luminance (BT.601).
DIV2K_MEAN, DIV2K_LUMA = (0.4488, 0.4371, 0.4040), (0.4379,)


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A convolution that keeps width and height; borders are padded with zeros."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


class Upsampler(nn.Sequential):
    """Convolutions and pixel shuffles, one pair for each factor: [N, C, H, W] to the product."""

    def __init__(self, width: int, factors: Iterable[int]) -> None:
        stages = [
            (conv3x3(width, width * factor**2), nn.PixelShuffle(factor)) for factor in factors
        ]
        super().__init__(*(layer for stage in stages for layer in stage))


class EdsrFrame(Network):
    """Mean shift, head, a ``body`` at LR size, upsampler and tail (EDSR, CVPRW 2017, figure 3).

    [N, C, H, W] in [0, 1] to [N, C, scale*H, scale*W], unclamped, where ``channels`` is rgb or y;
    inside, samples are 0..255 minus DIV2K's mean, which checkpoints hold: some published networks
    have learnt their own. x4 is two steps of x2 unless ``single_step``. A network of another
    scale starts from all layers but the upsampler, the tail too, as the papers' code does.
    """

    scale_layers = ("upsampler",)
    mean: Tensor

    def __init__(
        self, scale: int, width: int, *, channels: str = "rgb", single_step: bool = False
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise ValueError(f"scale {scale} is not offered; use 2, 3 or 4")
        if channels not in ("rgb", "y"):
            raise ValueError(f"channels {channels!r} is neither rgb nor y")
        mean = 255 * torch.tensor(DIV2K_MEAN if channels == "rgb" else DIV2K_LUMA)
        self.register_buffer("mean", mean[:, None, None])
        self.head = conv3x3(len(mean), width)
        factors = (2, 2) if scale == 4 and not single_step else (scale,)
        self.upsampler = Upsampler(width, factors)
        self.tail = conv3x3(width, len(mean))
        self.feature_channels = (width, width, width)

    def body(self, shallow: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the upsampler reads, from the head's output, and the three features on the way."""
        raise NotImplementedError

    def picture_and_features(self, lr: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The picture, and three features of LR size at the places that FAKD compares."""
        deep, features = self.body(self.head(255 * lr - self.mean))
        return (self.tail(self.upsampler(deep)) + self.mean) / 255, features


def run_and_keep(
    blocks: nn.ModuleList, features: Tensor, places: tuple[int, int]
) -> tuple[Tensor, list[Tensor]]:
    """The last block's output, and those after as many blocks as ``places`` says."""
    kept = []
    for count, block in enumerate(blocks, start=1):
        features = block(features)
        if count in places:
            kept.append(features)
    return features, kept


def check_count(what: str, count: int) -> None:
    """ValueError for fewer than three blocks or groups: features are taken between them."""
    if count < 3:
        raise ValueError(f"{count} {what} are too few; at least 3 are needed")
