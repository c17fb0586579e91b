"""OpenCV's dnn module."""

from __future__ import annotations

import cv2
import numpy as np

from side_by_side.engines.engine import Engine, Job
from side_by_side.graphs import graph_bytes


def open_engine(job: Job) -> Engine:
    """OpenCV's own choice of engine, or 4.x's with ``engine=classic``, which 5.x still has."""
    case = job.case
    cv2.setNumThreads(job.threads)
    data = np.frombuffer(
        graph_bytes(job.bundle, case.precision, case.form, job.chain), dtype=np.uint8
    )
    if case.option == "engine=classic":
        if not hasattr(cv2.dnn, "ENGINE_CLASSIC"):
            raise RuntimeError("this OpenCV has one engine only")
        net = cv2.dnn.readNetFromONNX(data, engine=cv2.dnn.ENGINE_CLASSIC)
    else:
        net = cv2.dnn.readNetFromONNX(data)
    batch = job.batch

    def run() -> object:
        net.setInput(batch)
        return net.forward()

    return Engine(run=run, result=lambda: np.asarray(run())[0, 0], version=cv2.__version__)
