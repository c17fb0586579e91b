"""Small networks whose quality is near bicubic from the start, so that gates have a meaning."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from edge_sr.models import build_model
from edge_sr.models.checkpoint import save_checkpoint
from edge_sr.models.fsrcnn import Fsrcnn, start_from_bicubic
from edge_sr.models.vdsr import Vdsr


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


class Skipless(Vdsr):
    """VDSR that does not add the upscaled picture, as SRCNN does not."""

    def picture_and_features(self, lr: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        features = self.layers(self.base(lr))
        return self.tail(features), (features,)


def small_vdsr(scale: int, *, is_residual: bool = True) -> Vdsr:
    """Five layers of 10 channels with biases; what they add is of the size of the picture."""
    torch.manual_seed(scale)
    network = (Vdsr if is_residual else Skipless)(scale, width=10, depth=5)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.normal_(std=0.05)
        network.tail.weight.mul_(0.2)
    return network.eval()
