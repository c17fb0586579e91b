"""ncnn, on files written from the chain."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from side_by_side.engines.engine import Engine, Job
from side_by_side.ncnn_files import ncnn_files

# Not a plain import: type checks must not depend on what is installed.
ncnn: Any = import_module("ncnn")


def open_engine(job: Job) -> Engine:
    """FP32, BF16 storage, or INT8 with the bundle's own scales."""
    case = job.case
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = job.threads
    net.opt.use_bf16_storage = case.precision == "bf16"
    net.opt.use_fp16_storage = net.opt.use_fp16_packed = net.opt.use_fp16_arithmetic = False
    text, data = ncnn_files(job.chain, form=case.form, is_int8=case.precision == "int8")
    with tempfile.TemporaryDirectory() as folder:
        param, weights = Path(folder, "net.param"), Path(folder, "net.bin")
        param.write_text(text)
        weights.write_bytes(data)
        if net.load_param(str(param)) or net.load_model(str(weights)):
            raise RuntimeError("ncnn refused its files")
    batch = job.batch[0]
    # Without the copy the matrix would refer to memory of an array that nobody holds.
    picture = ncnn.Mat(batch).clone()

    def run() -> Any:
        extractor = net.create_extractor()
        extractor.input("lr", picture)
        code, sr = extractor.extract("sr")
        if code:
            raise RuntimeError(f"ncnn failed with code {code}")
        return sr

    return Engine(run=run, result=lambda: np.array(run())[0], version=ncnn.__version__)
