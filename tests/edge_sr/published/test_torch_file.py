"""Files of torch.save: archives that were tampered with, and tensors that share storages."""

from __future__ import annotations

import io
import zipfile

import pytest
import torch
from torch import nn

from edge_sr.published.weights_file import read_weights


def test_compressed_torch_archive_is_refused() -> None:
    file, packed = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.zeros(100)}, file)
    with (
        zipfile.ZipFile(file) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(ValueError, match="a compressed zip archive"):
        read_weights(packed.getvalue())


def test_flipped_byte_of_a_torch_archive_is_seen() -> None:
    file = io.BytesIO()
    torch.save({"a": torch.full((1000,), 2.0)}, file)
    data = bytearray(file.getvalue())
    data[data.index(b"\0\0\0\x40" * 8) + 5] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        read_weights(bytes(data))


def test_torchscript_is_named() -> None:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.ReLU()), file)
    with pytest.raises(ValueError, match="a TorchScript program"):
        read_weights(file.getvalue())


def test_views_and_shared_storages_are_read() -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    file = io.BytesIO()
    torch.save({"a": whole[1:, ::2], "b": whole.t(), "c": nn.Parameter(whole[2])}, file)
    read = read_weights(file.getvalue())
    for name, tensor in {"a": whole[1:, ::2], "b": whole.t(), "c": whole[2]}.items():
        assert torch.equal(read[name], tensor)


def test_tensor_that_repeats_one_value_a_billion_times_is_refused() -> None:
    file = io.BytesIO()
    torch.save({"a": torch.ones(1).expand(1 << 30)}, file)
    with pytest.raises(ValueError, match="more values than are stored"):
        read_weights(file.getvalue())
