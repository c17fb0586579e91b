"""Tiny real bundles made by hand: runtime tests need neither torch nor the export package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from runtime.manifest import Manifest, file_entry, model_file, write_manifest

RADIUS = 2


def make_tiny_bundle(folder: Path, scale: int = 2, seed: int = 0) -> Path:
    """Two 3x3 convolutions to scale**2 phases beside a nearest base; fp32, fp16 and int8 graphs.

    The three precisions compute the same function; fp16 and int8 only carry their names.
    """
    return _make_bundle(folder, scale, seed)


def make_rgb_bundle(
    folder: Path,
    scale: int = 2,
    seed: int = 0,
    *,
    is_nearest: bool = False,
    is_pooled: bool = False,
    **facts: Any,
) -> Path:
    """The same of three channels that the convolutions mix; ``facts`` are of the manifest.

    ``is_nearest`` leaves the base alone. ``is_pooled`` adds means of 2x2 LR pixels, so that odd
    sides fail.
    """
    graph = {"gain": 0.0 if is_nearest else 1.0, "is_pooled": is_pooled}
    return _make_bundle(folder, scale, seed, channels=3, graph=graph, **facts)


def _make_bundle(
    folder: Path,
    scale: int,
    seed: int,
    *,
    channels: int = 1,
    graph: dict[str, Any] | None = None,
    **facts: Any,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for precision in ("fp32", "fp16", "int8"):
        for twin in (False, True):
            name = model_file(precision, twin=twin)
            model = tiny_graph(scale, seed, is_float=twin, channels=channels, **(graph or {}))
            data = model.SerializeToString()
            (folder / name).write_bytes(data)
            files[name] = file_entry(data)
    manifest = Manifest(
        model="tiny",
        scale=scale,
        channels="rgb" if channels == 3 else "y",
        receptive_field_radius=RADIUS,
        precisions=("fp32", "fp16", "int8"),
        default_precision="int8",
        files=files,
        quality={"int8": {"psnr": 30.0, "drop_db": 0.01}},
        **facts,
    )
    write_manifest(folder, manifest)
    return folder


def tiny_graph(
    scale: int,
    seed: int,
    *,
    is_float: bool,
    channels: int = 1,
    gain: float = 1.0,
    is_pooled: bool = False,
) -> onnx.ModelProto:
    """Grey levels: base + gain * tail(relu(conv(x))), and the means of 2x2 if pooled."""
    rng = np.random.default_rng(seed)
    phases = scale * scale
    base = np.kron(np.eye(channels), np.ones((phases, 1))).astype(np.float32)
    constants = {
        "w1": rng.normal(0, 0.2, (4, channels, 3, 3)).astype(np.float32),
        "w2": rng.normal(0, 0.1, (channels * phases, 4, 3, 3)).astype(np.float32),
        "wb": base[:, :, None, None],
        "zero": np.float32(0).reshape(()),
        "peak": np.float32(255).reshape(()),
    }
    constants["w2"] *= np.float32(gain)
    grey, out = ("lr", "sr") if is_float else ("grey", "float")
    nodes = [
        helper.make_node("Conv", [grey, "w1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "second", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", [grey, "wb"], ["base"], "base"),
        helper.make_node("Add", ["c2", "base"], ["sum"]),
        helper.make_node("DepthToSpace", ["sum"], [out], blocksize=scale, mode="CRD"),
    ]
    if is_pooled:
        constants["twice"] = np.array([1, 1, 2, 2], np.float32)
        nodes[3:4] = [
            helper.make_node("AveragePool", [grey], ["means"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Resize", ["means", "", "twice"], ["back"], mode="nearest"),
            helper.make_node("Add", [grey, "back"], ["both"]),
            helper.make_node("Conv", ["both", "wb"], ["base"], "base"),
        ]
    if not is_float:
        nodes.insert(0, helper.make_node("Cast", ["lr"], ["grey"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Clip", ["float", "zero", "peak"], ["clipped"]))
        nodes.append(helper.make_node("Round", ["clipped"], ["rounded"]))
        nodes.append(helper.make_node("Cast", ["rounded"], ["sr"], to=TensorProto.UINT8))
    kind = TensorProto.FLOAT if is_float else TensorProto.UINT8
    sides = [f"{scale}*h", f"{scale}*w"]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("lr", kind, ["n", channels, "h", "w"])],
        [helper.make_tensor_value_info("sr", kind, ["n", channels, *sides])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)
