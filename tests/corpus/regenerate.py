"""Writes the seeds of the fuzz targets, one folder each.

    python tests/corpus/regenerate.py

Seeds are called seed_*; other files are inputs that once failed and stay as they are.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CORPUS = Path(__file__).resolve().parent
Arrays = Mapping[str, NDArray[Any]]
_TYPES = {"float32": "F32", "int8": "I8"}


def json_seeds() -> Iterator[tuple[str, bytes]]:
    """Every kind of value, and every way to write a number or a text."""
    yield "values", b'{"n": null, "t": true, "f": false, "a": [1, -2.5e-3, [], {}], "s": "x"}'
    yield "numbers", b"[0, -0, 1e2, 1E+2, 1.25e-2, 9007199254740993, -1e300]"
    yield "texts", rb'["\"\\\/\b\f\n\r\t", "\u00e9\ud83d\ude00", "' + "é😀".encode() + b'"]'
    yield "deep", b"[" * 32 + b"1" + b"]" * 32


def manifest_seeds() -> Iterator[tuple[str, bytes]]:
    """A small manifest and one with everything a build writes."""
    entry = {"sha256": "0123456789abcdef" * 4, "bytes": 75520}
    values: dict[str, Any] = {
        "schema_version": 1,
        "model": "m",
        "scale": 2,
        "channels": "y",
        "receptive_field_radius": 8,
        "size_multiple": 1,
        "precisions": ["fp32"],
        "default_precision": "fp32",
        "files": {"model.native": entry},
    }
    yield "small", json.dumps(values, separators=(",", ":")).encode()
    values |= {
        "tileable": True,
        "precisions": ["fp32", "fp16", "bf16", "int8"],
        "default_precision": "int8",
        "files": {f"model.{p}.onnx": entry for p in ("fp32", "fp16", "int8")},
        "quality": {"int8": {"psnr": 29.15, "drop_db": 0.0123}},
        "latency": {"results": [{"precision": "int8", "median_ms": 1.5, "is_steady": True}]},
        "provenance": {"git_commit": "0" * 40, "versions": {"numpy": "2"}},
    }
    yield "full", json.dumps(values, indent=2).encode()


def safetensors_seeds() -> Iterator[tuple[str, bytes]]:
    """No tensor, tensors of both types, a scalar."""
    yield "empty", b"\x02\0\0\0\0\0\0\0{}"
    tensors = {"f": np.arange(6, dtype=np.float32).reshape(2, 3), "i": np.arange(3, dtype=np.int8)}
    yield "both", safetensors(tensors, {"format": "x"})
    yield "scalar", safetensors({"s": np.float32(1.5).reshape(())}, {})


def network_seeds() -> Iterator[tuple[str, bytes]]:
    """Chains of both forms, every activation and scale, with and without INT8."""
    yield "x2_int8", native(2, "bicubic", [(3, 3, "prelu"), (1, 4, "none")], int8=True)
    yield "x2_fp32", native(2, "none", [(3, 2, "none"), (3, 4, "none")])
    yield "x3_clip", native(3, "none", [(1, 5, "clip"), (3, 9, "none")], int8=True)
    yield (
        "x4_deep",
        native(
            4,
            "bicubic",
            [(5, 4, "prelu"), (1, 2, "prelu"), (3, 4, "clip"), (3, 16, "none")],
            int8=True,
        ),
    )
    deep = [(3, 4, "prelu"), (3, 6, "clip"), (1, 5, "prelu"), (3, 1, "none")]
    yield "x2_enlarged", native(2, "bicubic", deep, int8=True, head="bicubic")
    yield "x3_enlarged", native(3, "none", [(5, 3, "prelu"), (5, 1, "none")], head="bicubic")
    yield "x4_enlarged", native(4, "bicubic", [(3, 1, "none")] * 2, int8=True, head="bicubic")


def frame_seeds() -> Iterator[tuple[str, bytes]]:
    """Pairs of frames, the second one twice as large, by format, depth and strides."""
    yield "grey", frame(0, 8, (13, 9), [(0, 13)]) + frame(0, 8, (26, 18), [(1000, 30)])
    lr = frame(1, 8, (13, 9), [(0, 16), (200, 8), (300, 8)])
    yield "yuv420p", lr + frame(1, 8, (26, 18), [(1000, 26), (2000, 13), (3000, 13)])
    lr = frame(2, 10, (6, 5), [(80, -16), (200, 8), (300, 6)])
    yield "yuv422p10", lr + frame(2, 10, (12, 10), [(1216, -24), (2000, 12), (3000, 24)])
    lr = frame(5, 10, (6, 4), [(0, 12), (200, 12)])
    yield "p010", lr + frame(5, 10, (12, 8), [(1000, 24), (2000, 32)])


def frame(
    pixel_format: int, bit_depth: int, size: tuple[int, int], planes: list[tuple[int, int]]
) -> bytes:
    """A frame description as fuzz_frame reads it; planes are offsets and strides in bytes."""
    padded = [*planes, (0, 0), (0, 0)][:3]
    numbers = [number for plane in padded for number in plane]
    return struct.pack("<3b2i6q", pixel_format, bit_depth, 0, *size, *numbers)


def native(
    scale: int,
    base: str,
    shapes: list[tuple[int, int, str]],
    *,
    int8: bool = False,
    head: str | None = None,
) -> bytes:
    """A model.native of layers (kernel, outputs, activation) with irregular weights."""
    tensors: dict[str, NDArray[Any]] = {}
    layers, in_channels = [], 1
    for index, (kernel, out_channels, activation) in enumerate(shapes):
        shape = (out_channels, in_channels, kernel, kernel)
        layer: dict[str, Any] = {"name": f"l{index}", "kernel": kernel, "in": in_channels}
        layer |= {"out": out_channels, "activation": activation, "int8": int8}
        values = {
            "weight": irregular(shape, 0.01),
            "bias": irregular((out_channels,), 0.06),
        }
        if activation == "prelu":
            values["slope"] = irregular((out_channels,), 0.01)
        if activation == "clip":
            layer |= {"low": -3.5, "high": 60}
        if int8:
            layer["border"] = 0 if index else -128
            scales = np.full(out_channels, 0.02, np.float32)
            values |= {
                "int8.weight": irregular(shape, 2.0).astype(np.int8),
                "int8.weight_scale": scales if index else scales * np.float32(255),
                "int8.bias": values["bias"],
                "int8.input_scale": np.array([0.5 if index else 1 / 255], np.float32),
            }
        tensors |= {f"{index}.{name}": value for name, value in values.items()}
        layers.append(layer)
        in_channels = out_channels
    description: dict[str, Any] = {"scale": scale, "base": base, "layers": layers}
    if head is not None:
        description["head"] = head
    network = json.dumps(description, separators=(",", ":"))
    version = "1" if head is None else "2"
    return safetensors(
        tensors, {"format": "edge-sr-native", "version": version, "network": network}
    )


def irregular(shape: tuple[int, ...], step: float) -> NDArray[np.float32]:
    """Multiples of ``step`` up to 60 both ways; the same everywhere, unlike random numbers."""
    indices = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    return ((indices * indices * 29 + indices * 7) % 121 - 60).astype(np.float32) * np.float32(step)


def safetensors(tensors: Arrays, metadata: Mapping[str, str]) -> bytes:
    """The tensors one after the other."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    data = b""
    for name, values in tensors.items():
        end = len(data) + values.nbytes
        header[name] = {
            "dtype": _TYPES[values.dtype.name],
            "shape": list(values.shape),
            "data_offsets": [len(data), end],
        }
        data += values.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + data


def main() -> None:
    """Replace the seeds."""
    seeds = {
        "json": json_seeds,
        "manifest": manifest_seeds,
        "safetensors": safetensors_seeds,
        "network_file": network_seeds,
        "frame": frame_seeds,
    }
    for target, make in seeds.items():
        folder = CORPUS / target
        folder.mkdir(exist_ok=True)
        for old in folder.glob("seed_*"):
            old.unlink()
        for name, data in make():
            (folder / f"seed_{name}").write_bytes(data)
            sys.stdout.write(f"{target}/seed_{name}  {len(data)} bytes\n")


if __name__ == "__main__":
    main()
