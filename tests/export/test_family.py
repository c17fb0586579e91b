"""Every network of the family becomes a graph of each precision, and tiles without a seam."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from pictures_support import synthetic_luma, synthetic_rgb
from thin_networks import thin

from calibration.activations import collect_histograms
from calibration.observers import minmax
from edge_sr.models import MODELS, build_model
from edge_sr.models.network import Network
from export.half import to_half
from export.heads import with_float_io
from export.onnx_export import export_onnx
from export.qdq import int8_share, quantizable_tensors, quantize
from export.rewrite import rewrite_deconvolution
from export.session import GraphRunner
from export.simplify import simplify
from runtime.tiling import upscale_tiled

# Thin networks of one kind are alike in all sizes.
NAMES = [n for n in MODELS if not n.endswith(("_t", "_small", "_large", "_xl", "_plus"))]


def thin_network(name: str) -> Network:
    torch.manual_seed(0)
    return build_model(name, 2, **thin(name)).eval()


def picture_for(network: Network) -> np.ndarray:
    make = synthetic_rgb if network.spec.channels == "rgb" else synthetic_luma
    return make(30, 34).astype(np.float32)


def by_pytorch(network: Network, picture: np.ndarray) -> np.ndarray:
    batch = torch.from_numpy(np.moveaxis(np.atleast_3d(picture), 2, 0)[None] / 255)
    with torch.no_grad():
        sr = network(batch)[0].numpy() * 255
    return sr[0] if len(sr) == 1 else np.moveaxis(sr, 0, 2)


def graph_of(network: Network) -> onnx.ModelProto:
    rewritten, _ = rewrite_deconvolution(export_onnx(network))
    return simplify(with_float_io(rewritten))[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_network_becomes_a_graph_of_every_precision(name: str) -> None:
    network = thin_network(name)
    picture, graph = picture_for(network), graph_of(network)
    expected = by_pytorch(network, picture)
    span = float(np.ptp(expected))

    def error_of(precision: onnx.ModelProto) -> float:
        sr = GraphRunner(precision, threads=1).picture(picture)
        assert sr.shape == expected.shape
        return float(np.abs(sr - expected).mean()) / span

    assert error_of(graph) < 1e-5
    assert error_of(to_half(graph)) < 3e-3
    tensors = quantizable_tensors(graph)
    histograms = collect_histograms(graph, tensors, [picture])
    quantized = quantize(graph, {tensor: minmax(histograms[tensor]) for tensor in tensors})
    assert error_of(quantized) < 0.05
    share = int8_share(quantized)
    assert sum(share.values()) >= 0.6 * len(share)


@pytest.mark.parametrize("name", [n for n in NAMES if thin_network(n).spec.tileable])
def test_a_local_network_tiles_without_a_seam(name: str) -> None:
    network = thin_network(name)
    graph = GraphRunner(graph_of(network), threads=1)
    make = synthetic_rgb if network.spec.channels == "rgb" else synthetic_luma
    halo = network.spec.receptive_field_radius
    picture = make(2 * halo + 21, 2 * halo + 17).astype(np.float32)
    whole = graph.picture(picture)
    tiled = upscale_tiled(picture, graph.picture, 2, tile_size=2 * halo + 9, halo=halo)
    assert float(np.abs(tiled - whole).max()) < 1e-3 * max(1.0, float(np.ptp(whole)) / 255)
