"""What every network of the toolkit offers to training, scoring and export."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from edge_sr.models.spec import ModelSpec


class Network(nn.Module):
    """A super-resolution network: [N, C, H, W] to [N, C, scale*H, scale*W], C of ``spec.channels``.

    Samples are luminance or RGB in [0, 1], the result is not clamped. Networks that were published
    for 0..255 or for mean-shifted pictures convert inside; what is fixed in them is a buffer, so
    that ``parameters()`` counts what is learnt. ``options`` rebuild it by ``build_model``.
    """

    spec: ModelSpec
    options: dict[str, Any]
    # Channels of each feature of ``picture_and_features``.
    feature_channels: tuple[int, ...]
    # Children that belong to one scale; a network of another scale starts from all others.
    scale_layers: tuple[str, ...] = ("tail",)

    def picture_and_features(self, lr: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The picture, and the features that a distillation compares, in the order of depth.

        PISR takes the last one, which the reconstruction layer reads; FAKD and LSFD take all.
        """
        raise NotImplementedError

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale a batch."""
        return self.picture_and_features(lr)[0]

    def features(self, lr: Tensor) -> Tensor:
        """The last feature alone."""
        return self.picture_and_features(lr)[1][-1]
