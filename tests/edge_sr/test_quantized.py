from __future__ import annotations

import pytest
import torch

from edge_sr.models import build_model
from edge_sr.models.fsrcnn import Fsrcnn, start_from_bicubic
from edge_sr.models.quantized import (
    QuantizedFsrcnn,
    activation_names,
    observed_ranges,
)


def network(name: str = "fsrcnn_residual", scale: int = 2) -> Fsrcnn:
    torch.manual_seed(0)
    model = build_model(name, scale, d=8, s=4, m=2)
    start_from_bicubic(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model.eval()


def picture(height: int = 24, width: int = 20) -> torch.Tensor:
    """8-bit samples in [0, 1]."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (1, 1, height, width), generator=generator) / 255.0


@pytest.mark.parametrize(("name", "scale"), [("fsrcnn_residual", 2), ("fsrcnn", 3)])
def test_forward_is_the_exported_int8_graph(name: str, scale: int) -> None:
    pytest.importorskip("onnx")
    from export.heads import with_float_io
    from export.onnx_export import export_onnx
    from export.qdq import quantizable_tensors, quantize
    from export.rewrite import rewrite_deconvolution
    from export.session import GraphRunner

    model, lr = network(name, scale), picture()
    ranges = observed_ranges(model, lr)
    twin = with_float_io(rewrite_deconvolution(export_onnx(model))[0])
    assert quantizable_tensors(twin) == activation_names(model)
    expected = GraphRunner(quantize(twin, ranges)).picture((lr[0, 0] * 255).round().numpy())
    with torch.no_grad():
        sr = QuantizedFsrcnn(model, ranges)(lr)[0, 0] * 255
    difference = (sr - torch.from_numpy(expected)).abs()
    # A sum that lies on a rounding border may fall to either side.
    assert float(difference.median()) < 1e-3
    assert float((difference > 0.5).float().mean()) < 0.01


def test_autocast_does_not_touch_the_int8_arithmetic() -> None:
    model, lr = network(), picture()
    quantized = QuantizedFsrcnn(model, observed_ranges(model, lr))
    expected = quantized(lr)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(quantized(lr), expected)


def test_gradients_reach_weights_slopes_and_ranges() -> None:
    model, lr = network(), picture()
    quantized = QuantizedFsrcnn(model, observed_ranges(model, lr, share=0.9))
    (quantized(lr) - 0.5).square().mean().backward()
    for name, parameter in quantized.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_ranges_learn_what_costs_least() -> None:
    model, lr = network(), picture()
    with torch.no_grad():
        target = model(lr)
    wide = {name: 20 * value for name, value in observed_ranges(model, lr).items()}
    quantized = QuantizedFsrcnn(model, wide)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam(quantized.log_ranges.parameters(), 0.05)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = (quantized(lr) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_ranges_hold_the_share_asked_for_and_missing_ones_are_refused() -> None:
    model, lr = network(), picture()
    ranges = observed_ranges(model, lr, share=1.0)
    assert ranges["extract.0.prelu"] == pytest.approx(float(model.extract(lr).abs().max()))
    assert observed_ranges(model, lr, share=0.5)["extract.0.prelu"] < ranges["extract.0.prelu"]
    assert QuantizedFsrcnn(model, ranges).ranges() == pytest.approx(ranges)
    del ranges["map.1.0.prelu"]
    with pytest.raises(ValueError, match=r"activation map.1.0.prelu has no positive range"):
        QuantizedFsrcnn(network(), ranges)
