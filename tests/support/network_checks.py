"""What holds for every network, as functions to call with a small one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch

from edge_sr.models import build_model
from edge_sr.models.checkpoint import load_checkpoint, save_checkpoint
from edge_sr.models.network import Network
from edge_sr.models.rcan import ChannelWeights
from export.onnx_export import export_onnx
from export.session import GraphRunner, largest_difference


def picture(network: Network, height: int, width: int) -> torch.Tensor:
    """A random LR picture for a network of double precision."""
    return torch.rand(1, network.spec.samples, height, width, dtype=torch.float64)


def reach_by_gradient(network: Network) -> tuple[tuple[int, int], tuple[int, int]]:
    """LR rows and columns before and after an LR pixel on which its output block depends.

    Weights become positive, so that no ReLU is closed and no sum of paths is zero by chance.
    """
    network = network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(0.1, 0.5)
    middle, scale = network.spec.receptive_field_radius + 2, network.spec.scale
    lr = (1 + picture(network, 2 * middle + 1, 2 * middle + 1)).requires_grad_()
    block = slice(middle * scale, (middle + 1) * scale)
    network(lr)[:, :, block, block].sum().backward()
    assert lr.grad is not None
    seen = lr.grad.abs().sum((0, 1)) > 0
    rows, columns = (seen.any(dim).nonzero() for dim in (1, 0))
    return (
        (middle - int(rows.min()), int(rows.max()) - middle),
        (middle - int(columns.min()), int(columns.max()) - middle),
    )


@torch.no_grad()
def tiling_error(network: Network, *, missing: int = 0) -> float:
    """Largest difference between a picture made of tiles with halo and the whole one.

    ``missing`` pixels of the halo are left out. Weights become He-normal, so that what is far away
    is not lost among roundings. The tiles share no size; some lie at the picture's border, one does
    not reach it with its halo.
    """
    network, scale = network.double(), network.spec.scale
    for parameter in network.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter)
    radius = network.spec.receptive_field_radius
    halo = radius - missing
    cuts = (0, 5, radius + 5, radius + 9, 2 * radius + 14)
    lr = picture(network, cuts[-1], cuts[-1])
    whole = network(lr)
    tiled = torch.zeros_like(whole)
    for top, bottom in pairwise(cuts):
        for left, right in pairwise(cuts):
            y, x = max(0, top - halo), max(0, left - halo)
            window = lr[:, :, y : bottom + halo, x : right + halo]
            core = network(window)[:, :, (top - y) * scale :, (left - x) * scale :]
            core = core[:, :, : (bottom - top) * scale, : (right - left) * scale]
            tiled[:, :, top * scale : bottom * scale, left * scale : right * scale] = core
    return float((tiled - whole).abs().max() / whole.abs().max())


@torch.no_grad()
def open_squeezes(network: Network) -> None:
    """Let the few channels inside channel attentions pass their ReLU."""
    for layer in network.modules():
        if isinstance(layer, ChannelWeights):
            layer[0].bias.fill_(10)
            layer[2].weight.mul_(0.1)


def parameters_without_gradient(network: Network) -> list[str]:
    """Names of parameters that a step on a random picture would not move."""
    torch.manual_seed(0)
    lr = torch.rand(2, network.spec.samples, 9, 9)
    network(lr).square().mean().backward()
    parameters = network.named_parameters()
    return [name for name, p in parameters if p.grad is None or not p.grad.any()]


def same_after_a_checkpoint(network: Network, folder: Path) -> bool:
    """Whether the network that a checkpoint gives back is the one that was saved."""
    save_checkpoint(folder / "network.safetensors", network, {})
    loaded, _ = load_checkpoint(folder / "network.safetensors")
    lr = torch.rand(1, network.spec.samples, 7, 8)
    with torch.no_grad():
        is_same_picture = torch.equal(loaded(lr), network.eval()(lr))
    return is_same_picture and (loaded.spec, loaded.options) == (network.spec, network.options)


def layers_that_differ_by_scale(network: Network) -> set[str]:
    """Children whose weights have other shapes, or are missing, in networks of other scales."""
    name, scale = network.spec.name, network.spec.scale
    differing = set()
    for other in {2, 3, 4} - {scale}:
        theirs = build_model(name, other, **network.options).state_dict()
        ours = network.state_dict()
        differing |= {
            key.split(".")[0]
            for key in ours.keys() | theirs.keys()
            if key not in ours or key not in theirs or ours[key].shape != theirs[key].shape
        }
    return differing


def export_error(network: Network, sizes: Sequence[tuple[int, int, int]]) -> float:
    """Largest difference of the network's ONNX graph from PyTorch, over (batch, height, width)."""
    run = GraphRunner(export_onnx(network), threads=1)
    worst = 0.0
    for count, height, width in sizes:
        lr = torch.rand(count, network.spec.samples, height, width)
        with torch.no_grad():
            expected = network(lr).numpy()
        worst = max(worst, largest_difference(expected, run(lr.numpy())))
    return worst
