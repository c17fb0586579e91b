from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from native_support import make_native_bundle, seed_model
from side_by_side.chain import Array, Chain, Layer, read_chain, transposed_tail
from side_by_side.reference import depth_to_space

from runtime.errors import ModelFormatError
from runtime.manifest import NATIVE_MODEL


def test_shipped_student_has_its_12644_parameters(shipped: Path) -> None:
    chain = read_chain(shipped)
    assert (chain.scale, chain.has_base, len(chain.layers)) == (2, True, 8)
    # One slope for each PReLU was trained, one bias for the four phases of the tail.
    biases = sum(layer.bias.size for layer in chain.layers[:-1]) + 1
    slopes = sum(layer.slope is not None for layer in chain.layers)
    assert chain.macs == 12464
    assert chain.macs + biases + slopes == 12644
    assert chain.tail.weight.shape == (4, 56, 5, 5)
    assert chain.tail.slope is None


def test_int8_layers_are_read_with_weights_of_their_own(shipped: Path) -> None:
    chain = read_chain(shipped)
    for index, layer in enumerate(chain.layers):
        assert layer.int8 is not None
        assert layer.int8.weight.dtype == np.int8
        assert layer.int8.weight.shape == layer.weight.shape
        assert np.abs(layer.int8.weight).max() == 127
        assert layer.int8.input_scale > 0
        assert chain.in_float(index, is_int8=False) is layer
        unit = 255 if index == 0 else 1
        found = chain.in_float(index, is_int8=True)
        levels = found.weight * unit / layer.int8.scale[:, None, None, None]
        np.testing.assert_allclose(levels, layer.int8.weight, atol=1e-3)
        shift = 128 * found.weight.sum(axis=(1, 2, 3)) if index == 0 else 0
        np.testing.assert_allclose(found.bias + shift, layer.int8.bias, atol=1e-4)


def test_clip_and_layers_left_in_float_are_read(tmp_path: Path) -> None:
    clipped = read_chain(make_native_bundle(tmp_path / "a", seed_model("x3_clip")))
    assert [layer.clip for layer in clipped.layers] == [(-3.5, 60), None]
    assert (clipped.scale, clipped.has_base) == (3, False)
    plain = read_chain(make_native_bundle(tmp_path / "b", seed_model("x2_fp32")))
    assert [layer.int8 for layer in plain.layers] == [None, None]


def test_a_bundle_without_native_model_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    bundle = make_native_bundle(tmp_path / "a", seed_model("x2_fp32"))
    data = bytearray((bundle / NATIVE_MODEL).read_bytes())
    data[-1] ^= 1
    (bundle / NATIVE_MODEL).write_bytes(data)
    with pytest.raises(ModelFormatError, match="damaged"):
        read_chain(bundle)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_chain(tmp_path / "none")


def test_macs_leave_out_taps_that_are_zero_for_all_channels(clipped_chain: Chain) -> None:
    assert clipped_chain.macs == 3 * 9 + 7 * 7 * 3
    weight = clipped_chain.tail.weight.copy()
    weight[4, 0, 1, 1] = 0  # other channels still need this tap
    tail = replace(clipped_chain.tail, weight=weight)
    assert replace(clipped_chain, layers=(clipped_chain.layers[0], tail)).macs == 3 * 9 + 49 * 3


def test_transposed_tail_equals_the_sub_pixel_form(shipped: Path, clipped_chain: Chain) -> None:
    for chain, side in ((read_chain(shipped), 9), (clipped_chain, 7)):
        kernel, bias = transposed_tail(chain.tail, chain.scale)
        assert kernel.shape == (chain.tail.weight.shape[1], 1, side, side)
        features = np.random.default_rng(2).normal(0, 1, (len(kernel), 6, 5)).astype(np.float32)
        expected = sub_pixel(features, chain.tail, chain.scale)
        found = transposed(features, kernel, chain.scale) + bias
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_tails_that_are_no_transposed_convolution_are_refused() -> None:
    rng = np.random.default_rng(0)
    dense = Layer(rng.normal(size=(4, 2, 5, 5)).astype(np.float32), np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="odd kernel"):
        transposed_tail(dense, 2)
    with pytest.raises(ValueError, match="is zero"):
        transposed_tail(replace(dense, weight=np.zeros_like(dense.weight)), 2)


def test_a_bias_for_each_phase_is_refused(clipped_chain: Chain) -> None:
    tail = replace(clipped_chain.tail, bias=np.arange(9, dtype=np.float32))
    with pytest.raises(ValueError, match="bias for each phase"):
        transposed_tail(tail, 3)


def sub_pixel(features: Array, tail: Layer, scale: int) -> Array:
    """The definition, value by value."""
    count, _, size, _ = tail.weight.shape
    _, height, width = features.shape
    padded = np.pad(features, ((0, 0), (size // 2, size // 2), (size // 2, size // 2)))
    phases = np.empty((count, height, width))
    for y, x in np.ndindex(height, width):
        window = padded[:, y : y + size, x : x + size]
        phases[:, y, x] = np.einsum("oikl,ikl->o", tail.weight, window) + tail.bias
    return depth_to_space(phases, scale)


def transposed(features: Array, kernel: Array, scale: int) -> Array:
    """Each feature spreads the kernel around its place."""
    _, height, width = features.shape
    side = kernel.shape[2]
    sums = np.zeros((height * scale + 2 * side, width * scale + 2 * side))
    for y, x in np.ndindex(height, width):
        spread = np.einsum("i,ikl->kl", features[:, y, x], kernel[:, 0])
        top, left = y * scale - side // 2 + side, x * scale - side // 2 + side
        sums[top : top + side, left : left + side] += spread
    return sums[side : side + height * scale, side : side + width * scale]
