"""OpenVINO, compiled for latency on one stream at the frame's size."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from side_by_side.engines.engine import Engine, Job
from side_by_side.graphs import graph_path

# Not a plain import: type checks must not depend on what is installed.
openvino: Any = import_module("openvino")


def open_engine(job: Job) -> Engine:
    """The precision hint is always set: on a CPU with BF16 the default would be BF16."""
    core = openvino.Core()
    model = core.read_model(graph_path(job.bundle, job.case.precision))
    model.reshape(list(job.batch.shape))
    hint = job.case.option.removeprefix("hint=")
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": job.threads,
        "INFERENCE_PRECISION_HINT": hint,
    }
    compiled = core.compile_model(model, "CPU", settings)
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if taken != hint:
        raise RuntimeError(f"runs as {taken} on this CPU")
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(job.batch))

    def result() -> NDArray[Any]:
        request.infer()
        return np.array(request.get_output_tensor().data[0, 0])

    return Engine(run=request.infer, result=result, version=openvino.__version__.split("-")[0])
