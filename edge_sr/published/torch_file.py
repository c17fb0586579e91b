"""Files of ``torch.save``, in each of its formats, without executing what they hold.

The zip format (PyTorch 1.6 and later), the sequence of pickles before it (0.1.10 to 1.5, or
``_use_new_zipfile_serialization=False``), with tensors anywhere: a state dict, a state dict inside
other dictionaries, or a whole pickled module.
"""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from edge_sr.published.pickle_data import PERSISTENT, Record, read_pickle

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_PARAMETERS = (
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
)
_TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")
_DEEPEST, _MOST_PARTS = 64, 200_000

# The bytes of a storage by its key.
Storages = Callable[[str], bytes | memoryview]


def is_zip(data: bytes) -> bool:
    """Whether it begins as a zip archive does."""
    return data[:4] == b"PK\x03\x04"


def is_pickle(data: bytes) -> bool:
    """Whether it begins as a pickle of protocol 2 to 5 does."""
    return data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def read_torch_file(data: bytes) -> dict[str, Tensor]:
    """All tensors by their path, such as ``model.input.weight``, on the CPU.

    Raises ValueError for what is damaged, or holds no tensors.
    """
    value, storages = _read_zip(data) if is_zip(data) else _read_sequence(data)

    @functools.cache
    def whole(key: str, dtype: torch.dtype) -> Tensor:
        return torch.frombuffer(bytearray(storages(key)), dtype=dtype)

    tensors = {path: _tensor(path, record, whole) for path, record in _tensor_records(value)}
    if not tensors:
        raise ValueError("it holds no tensors")
    return tensors


@dataclass(frozen=True)
class _Place:
    """Where a storage is and what it holds; a view of it begins at ``offset``."""

    key: str
    dtype: torch.dtype
    offset: int


def _is_storage(record: Any) -> bool:
    return (
        isinstance(record, Record)
        and record.name == PERSISTENT
        and len(record.arguments) >= 5
        and record.arguments[0] == "storage"
    )


def _place(record: Any) -> _Place:
    """The persistent id ("storage", type, key, device, elements[, view]) of a storage."""
    if not _is_storage(record):
        raise ValueError("it holds a tensor without a storage")
    _, kind, key, _, _, *view = record.arguments
    name = str(getattr(kind, "name", kind)).rpartition(".")[2]
    if name not in _DTYPES:
        raise ValueError(f"it holds a storage of type {name}, which is not supported")
    offset = view[0][1] if view and isinstance(view[0], tuple) and len(view[0]) > 1 else 0
    return _Place(str(key), _DTYPES[name], int(offset))


def _tensor_records(root: Any) -> Iterator[tuple[str, Record]]:
    """Paths and records of all tensors in ``root``."""
    pending: list[tuple[str, Any, int]] = [("", root, 0)]
    for _ in range(_MOST_PARTS):
        if not pending:
            return
        path, value, depth = pending.pop()
        if isinstance(value, Record) and value.name in _TENSORS:
            yield path, value
            continue
        pending += reversed(
            [
                (".".join(filter(None, (path, name))), child, depth + 1)
                for name, child in _children(value)
                if isinstance(child, (Record, dict, list, tuple))
            ]
        )
        if depth > _DEEPEST or len(pending) > _MOST_PARTS:
            break
    raise ValueError(f"its contents are nested too deeply, or have over {_MOST_PARTS} parts")


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    """Named parts of a dictionary, list, parameter or module; none of anything else."""
    if isinstance(value, dict):
        yield from ((str(key), child) for key, child in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((str(index), child) for index, child in enumerate(value))
    elif isinstance(value, Record) and value.name in _PARAMETERS:
        yield from (("", child) for child in value.arguments[:1])
    elif isinstance(value, Record) and value.name == "collections.OrderedDict":
        yield from _children(_ordered_dict(value))
    elif isinstance(value, Record) and isinstance(value.state, dict):
        yield from (("", value.state[part]) for part in _MODULE_PARTS if part in value.state)


def _ordered_dict(record: Record) -> dict[Any, Any]:
    """Its items; Python 2 wrote them as a list of pairs."""
    pairs = record.arguments[0] if record.arguments else ()
    pairs = pairs if isinstance(pairs, (list, tuple)) else ()
    listed = [pair for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2]
    return {str(key): child for key, child in listed} | record.items


def _tensor(path: str, record: Record, whole: Callable[[str, torch.dtype], Tensor]) -> Tensor:
    """The tensor of a record (storage, offset, size, stride, ...)."""
    try:
        source, offset, size, stride = record.arguments[:4]
        place = _place(source)
        storage = whole(place.key, place.dtype)
        tensor = storage.as_strided(size, stride, place.offset + offset)
    except (TypeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"its tensor {path} is damaged ({str(error).splitlines()[0]})") from error
    if tensor.numel() > storage.numel():
        raise ValueError(f"its tensor {path} has more values than are stored")
    return tensor


def _read_zip(data: bytes) -> tuple[Any, Storages]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"its zip archive is damaged ({error}); is the file whole?") from error
    members = archive.infolist()
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise ValueError("it is a TorchScript program; save the network's state_dict instead")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is a compressed zip archive, which PyTorch never writes")
    if sum(member.file_size for member in members) > len(data):
        raise ValueError("its zip archive claims to hold more bytes than the file has")
    pickles = [m.filename for m in members if m.filename.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise ValueError("it is a zip archive, but none of PyTorch's: it holds no data.pkl")
    folder = pickles[0].removesuffix("data.pkl")

    def member(name: str) -> bytes:
        try:
            return archive.read(folder + name)
        except (KeyError, zipfile.BadZipFile, EOFError, RuntimeError) as error:
            raise ValueError(f"{name} in it is missing or damaged ({error})") from error

    if folder + "byteorder" in archive.namelist() and member("byteorder") != b"little":
        raise ValueError("it was written on a big-endian machine, which is not supported")
    value = read_pickle(io.BytesIO(member("data.pkl"))).value
    return value, lambda key: member(f"data/{key}")


def _read_sequence(data: bytes) -> tuple[Any, Storages]:
    """Pickles of magic number, version, system and object, of the storages' keys, then these.

    A storage is its number of elements in 8 bytes and the elements; their width is known from
    the tensors alone, so the storages are cut out when the tensors were read.
    """
    stream = io.BytesIO(data)
    if read_pickle(stream).value != _MAGIC:
        raise ValueError("it is a pickle, but none that torch.save wrote")
    read_pickle(stream)
    system = read_pickle(stream).value
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise ValueError("it was written on a big-endian machine, which is not supported")
    content, keys = read_pickle(stream), read_pickle(stream).value
    places = [_place(record) for record in content.persistent_ids if _is_storage(record)]
    widths = {place.key: place.dtype.itemsize for place in places}
    view, position, found = memoryview(data), stream.tell(), {}
    for key in keys if isinstance(keys, list) else []:
        if key not in widths:
            raise ValueError(f"its storage {key} belongs to no tensor")
        start = position + 8
        position = start + int.from_bytes(view[position:start], "little") * widths[key]
        if position > len(data):
            raise ValueError("it ends within its tensors; is the file whole?")
        found[key] = view[start:position]

    def storage(key: str) -> memoryview:
        if key not in found:
            raise ValueError(f"its storage {key} is missing; is the file whole?")
        return found[key]

    return content.value, storage
