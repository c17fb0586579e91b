"""Bicubic upscaling as a layer: what residual networks add to, and VDSR reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.data.resample import bicubic_phases


class BicubicBase(nn.Module):
    """MATLAB bicubic upscaling as one fixed 5x5 convolution to scale**2 phases and a pixel shuffle.

    [N, C, H, W] to [N, C, scale*H, scale*W], C = ``channels``, at any value range; borders are
    repeated.
    """

    weight: Tensor

    def __init__(self, scale: int, channels: int = 1) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        phases = torch.from_numpy(bicubic_phases(scale)).to(torch.float32)[:, None]
        self.register_buffer("weight", phases.repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale a batch, each channel alone; in float32 where the other layers are bfloat16."""
        kind = lr.device.type
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return self.forward(lr)
        padded = functional.pad(lr, (2, 2, 2, 2), mode="replicate")
        phases = functional.conv2d(padded, self.weight, groups=self.channels)
        return functional.pixel_shuffle(phases, self.scale)
