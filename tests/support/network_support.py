"""Small networks whose quality is near bicubic from the start, so that gates have a meaning."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from edge_sr.models import build_model
from edge_sr.models.checkpoint import save_checkpoint
from edge_sr.models.fsrcnn import BicubicBase, Fsrcnn, start_from_bicubic


def tiny_network(
    name: str = "fsrcnn_residual", scale: int = 2, *, seed: int = 0, noise: float = 0.003
) -> Fsrcnn:
    """A network of 8 and 4 channels with one mapping layer; ``noise`` moves it off bicubic."""
    torch.manual_seed(seed)
    network = build_model(name, scale, d=8, s=4, m=1, shared_prelu=False)
    start_from_bicubic(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return network.eval()


def write_tiny_checkpoint(
    folder: Path, name: str = "fsrcnn_residual", scale: int = 2, *, seed: int = 0
) -> Path:
    """The same network as a checkpoint."""
    path = folder / f"{name}-x{scale}.safetensors"
    save_checkpoint(path, tiny_network(name, scale, seed=seed), {})
    return path


class TinyVdsr(nn.Module):
    """VDSR with ``depth`` layers of ``width`` channels: a chain on the enlarged picture.

    ``is_residual`` adds that picture, as VDSR does and SRCNN does not.
    """

    def __init__(
        self, scale: int, *, width: int = 10, depth: int = 5, is_residual: bool = True
    ) -> None:
        super().__init__()
        torch.manual_seed(scale)
        widths = [1, *[width] * (depth - 1), 1]
        convs = [nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths)]
        self.base = BicubicBase(scale)
        self.layers = nn.Sequential(*(m for conv in convs[:-1] for m in (conv, nn.ReLU())))
        self.tail, self.is_residual = convs[-1], is_residual

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale a batch of planes."""
        picture = self.base(lr)
        learnt: Tensor = self.tail(self.layers(picture))
        return picture + learnt if self.is_residual else learnt
