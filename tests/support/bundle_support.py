"""A tiny real bundle made by hand: runtime tests need neither torch nor the export package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from runtime.manifest import Manifest, file_entry, model_file, write_manifest

RADIUS = 2


def make_tiny_bundle(folder: Path, scale: int = 2, seed: int = 0) -> Path:
    """Two 3x3 convolutions to scale**2 phases beside a nearest base; fp32, fp16 and int8 graphs.

    The three precisions compute the same function; fp16 and int8 only carry their names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for precision in ("fp32", "fp16", "int8"):
        for twin in (False, True):
            name = model_file(precision, twin=twin)
            data = tiny_graph(scale, seed, is_float=twin).SerializeToString()
            (folder / name).write_bytes(data)
            files[name] = file_entry(data)
    manifest = Manifest(
        model="tiny",
        scale=scale,
        channels="y",
        receptive_field_radius=RADIUS,
        precisions=("fp32", "fp16", "int8"),
        default_precision="int8",
        files=files,
        quality={"int8": {"psnr": 30.0, "drop_db": 0.01}},
    )
    write_manifest(folder, manifest)
    return folder


def tiny_graph(scale: int, seed: int, *, is_float: bool) -> onnx.ModelProto:
    """Grey levels: base + tail(relu(conv(x - 128)))."""
    rng = np.random.default_rng(seed)
    phases = scale * scale
    base = np.zeros((phases, 1, 1, 1), np.float32) + 1
    constants = {
        "w1": rng.normal(0, 0.2, (4, 1, 3, 3)).astype(np.float32),
        "w2": rng.normal(0, 0.1, (phases, 4, 3, 3)).astype(np.float32),
        "wb": base,
        "zero": np.float32(0).reshape(()),
        "peak": np.float32(255).reshape(()),
    }
    grey, out = ("lr", "sr") if is_float else ("grey", "float")
    nodes = [
        helper.make_node("Conv", [grey, "w1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", [grey, "wb"], ["base"]),
        helper.make_node("Add", ["c2", "base"], ["sum"]),
        helper.make_node("DepthToSpace", ["sum"], [out], blocksize=scale, mode="CRD"),
    ]
    if not is_float:
        nodes.insert(0, helper.make_node("Cast", ["lr"], ["grey"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Clip", ["float", "zero", "peak"], ["clipped"]))
        nodes.append(helper.make_node("Round", ["clipped"], ["rounded"]))
        nodes.append(helper.make_node("Cast", ["rounded"], ["sr"], to=TensorProto.UINT8))
    kind = TensorProto.FLOAT if is_float else TensorProto.UINT8
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("lr", kind, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("sr", kind, ["n", 1, "sh", "sw"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)
