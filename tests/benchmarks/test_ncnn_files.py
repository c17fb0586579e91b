"""ncnn itself is not needed: its files are read here as its documentation describes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from side_by_side.cases import SUB_PIXEL, TRANSPOSED
from side_by_side.chain import Array, Chain, read_chain, transposed_tail
from side_by_side.ncnn_files import ncnn_files
from side_by_side.reference import base_weight

FORMS = (SUB_PIXEL, TRANSPOSED)


@dataclass(frozen=True)
class Line:
    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    options: dict[int, float]


def lines_of(text: str) -> list[Line]:
    magic, counts, *rest = text.splitlines()
    assert magic == "7767517"
    parsed = []
    for line in rest:
        kind, name, inputs, outputs, *words = line.split()
        end = int(inputs) + int(outputs)
        options = dict(word.split("=") for word in words[end:])
        parsed.append(
            Line(
                kind,
                name,
                words[: int(inputs)],
                words[int(inputs) : end],
                {int(key): float(value) for key, value in options.items()},
            )
        )
    blobs = [blob for line in parsed for blob in line.outputs]
    assert counts.split() == [str(len(parsed)), str(len(blobs))]
    assert len(set(blobs)) == len(blobs)
    assert len({line.name for line in parsed}) == len(parsed)
    return parsed


class Weights:
    """Reads the .bin in the order of the layers."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def floats(self, count: int) -> Array:
        return self._take(4 * count, np.float32)

    def tagged(self, count: int) -> Array:
        tag = int.from_bytes(self._take(4, np.uint8).tobytes(), "little")
        if tag == 0:
            return self.floats(count)
        assert tag == 0x000D4B38
        values = self._take(count, np.int8)
        assert not self._take(-count % 4, np.uint8).any()
        return values

    def _take(self, size: int, dtype: type) -> Array:
        assert self.at + size <= len(self.data)
        self.at += size
        return np.frombuffer(self.data[self.at - size : self.at], dtype)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("has_base", [True, False])
def test_every_blob_is_written_before_it_is_read_and_read_once(
    shipped: Path, form: str, has_base: bool
) -> None:
    chain = replace(read_chain(shipped), has_base=has_base)
    seen: list[str] = []
    read: list[str] = []
    for line in lines_of(ncnn_files(chain, form=form, is_int8=False)[0]):
        assert set(line.inputs) <= set(seen)
        seen += line.outputs
        read += line.inputs
    assert sorted(read) == sorted(set(seen) - {"sr"})  # ncnn has no implicit copies


@pytest.mark.parametrize("form", FORMS)
def test_float_weights_follow_in_the_order_of_the_layers(shipped: Path, form: str) -> None:
    chain = read_chain(shipped)
    text, data = ncnn_files(chain, form=form, is_int8=False)
    weights, layers, layer = Weights(data), iter(chain.layers), chain.layers[0]
    for line in lines_of(text):
        if line.kind == "PReLU":
            assert layer.slope is not None
            assert np.array_equal(weights.floats(int(line.options[0])), layer.slope)
        if line.kind == "Deconvolution":
            kernel, bias = transposed_tail(chain.tail, chain.scale)
            assert np.array_equal(weights.tagged(int(line.options[6])), kernel.ravel())
            assert np.array_equal(weights.floats(1), bias)
            # Size, stride, padding and what the last row and column gain.
            expected = {0: 1, 1: 9, 3: 2, 4: 4, 5: 1, 6: kernel.size, 18: 1, 19: 1}
            assert line.options == expected
        if line.kind != "Convolution":
            continue
        assert 8 not in line.options
        if line.outputs == ["base_phases"]:
            base = base_weight(chain.scale)
            assert np.array_equal(weights.tagged(base.size), base.ravel())
            assert line.options == {0: 4, 1: 5, 5: 0, 6: base.size}
            continue
        layer = next(layers)
        count, _, size, _ = layer.weight.shape
        assert line.options == {0: count, 1: size, 4: size // 2, 5: 1, 6: layer.weight.size}
        assert np.array_equal(weights.tagged(layer.weight.size), layer.weight.ravel())
        assert np.array_equal(weights.floats(count), layer.bias)
    assert weights.at == len(data)
    assert len(list(layers)) == (form == TRANSPOSED)


def test_int8_layers_hold_their_bytes_and_the_inverse_scales(shipped: Path) -> None:
    chain = read_chain(shipped)
    # 3 * 5 * 5 bytes are no whole words, so that filling shows.
    odd = replace(
        chain.layers[1],
        weight=chain.layers[1].weight[:3, :25],
        bias=chain.layers[1].bias[:3],
        slope=None,
        int8=replace(
            chain.layers[1].int8,  # type: ignore[type-var]
            weight=chain.layers[1].int8.weight[:3, :25],  # type: ignore[union-attr]
            scale=chain.layers[1].int8.scale[:3],  # type: ignore[union-attr]
            bias=chain.layers[1].int8.bias[:3],  # type: ignore[union-attr]
        ),
    )
    layers = (chain.layers[0], odd, *chain.layers[2:])
    text, data = ncnn_files(replace(chain, layers=layers), form=SUB_PIXEL, is_int8=True)
    weights, left = Weights(data), list(layers)
    for line in lines_of(text):
        if line.kind == "PReLU":
            weights.floats(int(line.options[0]))
        if line.kind != "Convolution" or line.outputs == ["base_phases"]:
            continue
        layer = left.pop(0)
        if line.outputs == ["conv0"]:
            assert 8 not in line.options  # its input is shifted, which ncnn cannot say
            assert weights.tagged(layer.weight.size).dtype == np.float32
            weights.floats(len(layer.bias))
            continue
        assert layer.int8 is not None
        assert line.options[8] == 2
        assert np.array_equal(weights.tagged(layer.weight.size), layer.int8.weight.ravel())
        assert np.array_equal(weights.floats(len(layer.bias)), layer.int8.bias)
        np.testing.assert_allclose(weights.floats(len(layer.bias)) * layer.int8.scale, 1, rtol=1e-6)
        assert weights.floats(1)[0] * layer.int8.input_scale == pytest.approx(1)
    assert left == []


def test_clips_keep_their_limits(clipped_chain: Chain) -> None:
    text, _ = ncnn_files(clipped_chain, form=TRANSPOSED, is_int8=True)
    lines = lines_of(text)
    assert [line.kind for line in lines] == ["Input", "Convolution", "Clip", "Deconvolution"]
    assert lines[2].options == {0: -2.0, 1: 40.0}
    assert lines[-1].outputs == ["sr"]
    assert 8 not in lines[1].options
    sub_pixel = lines_of(ncnn_files(clipped_chain, form=SUB_PIXEL, is_int8=True)[0])
    assert sub_pixel[-1].kind == "PixelShuffle"
    assert sub_pixel[-1].options == {0: 3}
