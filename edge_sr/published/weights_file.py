"""Any file of published weights, told by how it begins, as named tensors."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from edge_sr.published.caffe_file import read_caffe_file
from edge_sr.published.torch_file import is_pickle, is_zip, read_torch_file

_LARGEST_FILE = 1 << 30
# What people take for weights by mistake, or a server sends instead of them.
_STRANGERS = (
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself with git lfs pull"),
    (b"<!doctype", "a web page; the download has failed"),
    (b"<html", "a web page; the download has failed"),
    (b"<?xml", "an XML file; the download may have failed"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89HDF", "an HDF5 file, such as training data or Keras weights"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"\x1f\x8b", "a gzip archive; unpack it"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"\x93NUMPY", "a single NumPy array without a name; .npz files have names"),
)
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
_TAR_MAGIC = slice(257, 262)


def read_weights(data: bytes) -> dict[str, Tensor]:
    """Tensors by name from PyTorch, NumPy (.npz), safetensors or Caffe; nothing is executed.

    Raises ValueError for what is none of these, or damaged.
    """
    start = data[:64].lstrip()
    for beginning, what in _STRANGERS:
        if start.startswith(beginning) or start.lower().startswith(beginning):
            raise ValueError(f"it is {what}")
    if data[_TAR_MAGIC] == b"ustar":
        raise ValueError(
            "it is a tar archive; unpack it, or if PyTorch before 0.1.10 wrote it, load and save "
            "it with a later one"
        )
    if data[8:9] == b"{" and struct.unpack("<Q", data[:8])[0] <= len(data):
        return _read_safetensors(data)
    if is_zip(data) and _is_npz(data):
        return _read_npz(data)
    if is_zip(data) or is_pickle(data):
        return read_torch_file(data)
    try:
        return read_caffe_file(data)
    except ValueError as error:
        raise ValueError(
            f"it is no file of PyTorch, NumPy or safetensors, and read as Caffe's: {error}"
        ) from error


def read_file(path: Path) -> bytes:
    """The bytes of a file of acceptable size."""
    size = path.stat().st_size
    if not 0 < size <= _LARGEST_FILE:
        raise ValueError(f"it has {size} bytes; 1 to {_LARGEST_FILE} are expected")
    return path.read_bytes()


def _is_npz(data: bytes) -> bool:
    try:
        return all(name.endswith(".npy") for name in zipfile.ZipFile(io.BytesIO(data)).namelist())
    except _ZIP_ERRORS:
        return False


def _read_npz(data: bytes) -> dict[str, Tensor]:
    """Arrays of numbers; compressed ones may not unpack to more than the largest file."""
    size = sum(member.file_size for member in zipfile.ZipFile(io.BytesIO(data)).infolist())
    if size > _LARGEST_FILE:
        raise ValueError(f"it unpacks to {size} bytes; at most {_LARGEST_FILE} are read")
    tensors = {}
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            for name in arrays.files:
                tensors[name] = torch.from_numpy(np.array(arrays[name], dtype=np.float32))
    except (ValueError, TypeError, OSError, EOFError, MemoryError, *_ZIP_ERRORS) as error:
        raise ValueError(f"its arrays are damaged or hold objects ({error})") from error
    return tensors


def _read_safetensors(data: bytes) -> dict[str, Tensor]:
    try:
        return load(data)
    except SafetensorError as error:
        raise ValueError(f"it is a damaged safetensors file ({error})") from error
