from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime.device_array import device_plane


def interface(values: np.ndarray, **changes: Any) -> SimpleNamespace:
    facts = dict(values.__array_interface__) | {"version": 3, "owner": values} | changes
    return SimpleNamespace(__cuda_array_interface__=facts)


def dlpack(values: np.ndarray, device: int = 2) -> SimpleNamespace:
    streams: list[int] = []

    def export(*, stream: int) -> Any:
        streams.append(stream)
        return values.__dlpack__()

    return SimpleNamespace(
        __dlpack__=export, __dlpack_device__=lambda: (device, 0), values=values, streams=streams
    )


@pytest.mark.parametrize("made", [interface, dlpack])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_dense_plane(made: Any, dtype: type) -> None:
    values = np.zeros((5, 7), dtype)

    plane = device_plane(made(values))

    assert (plane.height, plane.width, plane.dtype) == (5, 7, np.dtype(dtype))
    assert plane.pointer == values.ctypes.data
    assert plane.is_dense


@pytest.mark.parametrize("made", [interface, dlpack])
def test_rows_with_gaps(made: Any) -> None:
    values = np.zeros((5, 16), np.float32)[1:, 2:9]

    plane = device_plane(made(values))

    assert (plane.height, plane.width, plane.row_bytes) == (4, 7, 64)
    assert plane.pointer == values.ctypes.data
    assert not plane.is_dense


def test_leading_axes_of_length_one() -> None:
    assert device_plane(interface(np.zeros((1, 1, 5, 7), np.uint8))).height == 5


def test_the_producer_s_stream_is_told() -> None:
    assert device_plane(interface(np.zeros((5, 7), np.uint8), stream=42)).stream == 42
    assert device_plane(interface(np.zeros((5, 7), np.uint8), stream=None)).stream == 0


def test_dlpack_is_asked_for_the_reader_s_stream() -> None:
    source = dlpack(np.zeros((5, 7), np.uint8))
    device_plane(source, stream=42)
    device_plane(source)

    assert source.streams == [42, 1]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (np.zeros((5, 7)).tolist(), "neither"),
        (interface(np.zeros(7, np.uint8)), "no plane"),
        (interface(np.zeros((2, 5, 7), np.uint8)), "no plane"),
        (interface(np.zeros((0, 7), np.uint8)), "no plane"),
        (interface(np.zeros((5, 14), np.uint8)[:, ::2]), "side by side"),
        (interface(np.zeros((5, 7), np.uint8)[::-1]), "side by side"),
        (interface(np.zeros((5, 7), ">u2")), "byte order"),
        (dlpack(np.zeros((5, 7), np.uint8), device=1), "not in GPU memory"),
        (dlpack(np.zeros((5, 7), np.complex64)), "DLPack type 5"),
    ],
)
def test_anything_else_is_refused(source: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        device_plane(source)
