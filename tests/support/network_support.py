"""Small networks whose quality is near bicubic from the start, so that gates have a meaning."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.data.resample import bicubic_phases
from edge_sr.models import build_model
from edge_sr.models.checkpoint import save_checkpoint
from edge_sr.models.fsrcnn import Fsrcnn, start_from_bicubic
from edge_sr.models.network import Network
from edge_sr.models.rcan import ChannelWeights
from edge_sr.models.san import covariance, matrix_square_root
from edge_sr.models.spec import ModelSpec
from edge_sr.models.vdsr import Vdsr
from export.onnx_export import export_onnx


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


RGB_OPTIONS: dict[str, dict[str, int]] = {
    "edsr_s": {"blocks": 3, "width": 8},
    "rcan_s": {"groups": 3, "blocks": 1, "width": 16},
}


@torch.no_grad()
def tiny_rgb_network(name: str = "edsr_s", scale: int = 2, *, noise: float = 0.02) -> Network:
    """An RGB network near bicubic: its first three channels carry the picture to the tail.

    ``noise`` is the share of PyTorch's weights that the residual branches add to them.
    """
    torch.manual_seed(0)
    network = build_model(name, scale, **RGB_OPTIONS[name])
    convolutions = {
        layer: conv for layer, conv in network.named_modules() if isinstance(conv, nn.Conv2d)
    }
    phases = torch.from_numpy(bicubic_phases(scale)).float().reshape(-1, 5, 5)[:, 1:4, 1:4]
    phases = phases / phases.sum((1, 2), keepdim=True)
    for layer, conv in convolutions.items():
        carried = conv.weight[: len(phases) * 3 if layer == "upsampler.0" else 3]
        carried.mul_(noise if layer.startswith(("blocks", "groups", "body")) else 0.0)
        assert conv.bias is not None
        conv.bias.mul_(noise)
        for channel in range(3):
            if layer in ("head", "tail"):
                conv.weight[channel, channel, 1, 1] = 1.0
            if layer == "upsampler.0":
                conv.weight[channel * len(phases) : (channel + 1) * len(phases), channel] = phases
    return network.eval()


@cache
def tiny_rgb_graph(name: str = "edsr_s", scale: int = 2) -> onnx.ModelProto:
    """The same network exported, once for all tests: to be left as it is."""
    return export_onnx(tiny_rgb_network(name, scale))


def write_rgb_checkpoint(folder: Path, name: str = "edsr_s", scale: int = 2) -> Path:
    """The same network as a checkpoint."""
    path = folder / f"{name}-x{scale}.safetensors"
    save_checkpoint(path, tiny_rgb_network(name, scale), {})
    return path


class SecondOrderNetwork(Network):
    """SAN's second-order attention between two convolutions, on features of ``gain`` times RGB."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head, self.tail = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 12, 3, padding=1)
        self.weights = ChannelWeights(16)
        with torch.no_grad():
            self.head.weight.mul_(gain)
            self.tail.weight.div_(gain)
        self.spec = ModelSpec("second_order", 2, "rgb", 0, tileable=False)

    def forward(self, lr: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 3, 2*H, 2*W]."""
        features = self.head(lr)
        root = matrix_square_root(covariance(features))
        weighted = features * self.weights(root.mean(1)[:, :, None, None])
        return functional.pixel_shuffle(self.tail(weighted), 2)


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
