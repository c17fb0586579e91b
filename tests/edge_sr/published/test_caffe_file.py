"""Caffe's files: every form of a blob, and files that are damaged."""

from __future__ import annotations

import pytest
import torch
from caffe_writer import blob, caffemodel, field

from edge_sr.published.caffe_file import read_caffe_file


@pytest.mark.parametrize(
    "form", [{}, {"old": True}, {"packed": False}, {"double": True}, {"double": True, "old": True}]
)
def test_caffe_blob_forms(form: dict[str, bool]) -> None:
    state = {"a.weight": torch.randn(3, 2, 5, 4), "a.bias": torch.randn(1, 1, 1, 3)}
    read = read_caffe_file(caffemodel(state, **form))
    assert list(read) == list(state)
    for name, tensor in state.items():
        torch.testing.assert_close(read[name], tensor, rtol=0, atol=0)


def test_caffe_layers_of_the_older_form_are_read() -> None:
    weight = torch.randn(2, 1, 3, 3)
    layer = field(4, "conv") + field(5, 4) + field(6, blob(weight, old=True))
    read = read_caffe_file(field(1, "net") + field(2, layer))
    torch.testing.assert_close(read["conv.weight"], weight)


@pytest.mark.parametrize("cut", [1, 7, 40, 200, 1000])
def test_truncated_caffe_file_is_one_error(cut: int) -> None:
    data = caffemodel({"conv1.weight": torch.ones(64, 1, 3, 3)})
    with pytest.raises(ValueError, match=r"ends within|no Caffe model|no layers"):
        read_caffe_file(data[:-cut] if cut < len(data) else data[:3])


def test_caffe_blob_of_another_size_than_its_shape_is_refused() -> None:
    lie = field(7, field(1, b"\xff\xff\xff\xff\x07\xff\xff\xff\xff\x07")) + field(5, b"\0" * 4)
    data = field(100, field(1, "conv1") + field(7, lie))
    with pytest.raises(ValueError, match=r"claims a blob of shape .* but holds 1 numbers"):
        read_caffe_file(data)
