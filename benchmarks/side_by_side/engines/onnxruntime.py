"""ONNX Runtime, its threads spinning as they do by default: the faster setting for one frame."""

from __future__ import annotations

import onnxruntime

from side_by_side.engines.engine import Engine, Job
from side_by_side.graphs import graph_bytes


def open_engine(job: Job) -> Engine:
    """A session on the bundle's graph; ``nchwc=off`` leaves out the blocked layout."""
    case = job.case
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        graph_bytes(job.bundle, case.precision, case.form, job.chain),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["NchwcTransformer"] if case.option == "nchwc=off" else None,
    )
    feed = {session.get_inputs()[0].name: job.batch}
    return Engine(
        run=lambda: session.run(None, feed),
        result=lambda: session.run(None, feed)[0][0, 0],
        version=onnxruntime.__version__,
    )
