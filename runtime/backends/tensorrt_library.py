"""TensorRT's Python module: whether it is there, its messages, an engine from a plan."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

from runtime.errors import BackendError, UnsupportedError

OLDEST = (10, 3)

_log = logging.getLogger("edge_sr.tensorrt")


def has_tensorrt() -> bool:
    """Whether the module is installed, not whether it works."""
    try:
        return find_spec("tensorrt") is not None
    except ValueError:
        return False


def import_tensorrt() -> Any:
    """The module; UnsupportedError if it is absent, cannot be loaded or too old."""
    try:
        import tensorrt
    except ImportError as error:
        raise UnsupportedError(
            f"TensorRT cannot be imported: {error}; JetPack brings it (make the environment with "
            '--system-site-packages), elsewhere pip install "edge-sr[tensorrt]"'
        ) from error
    version = tuple(int(part) for part in tensorrt.__version__.split(".")[:2])
    if version < OLDEST:
        raise UnsupportedError(
            f"TensorRT {tensorrt.__version__} is older than {OLDEST[0]}.{OLDEST[1]}"
        )
    return tensorrt


def logger_of(trt: Any) -> Any:
    """A logger that passes messages to ``logging`` and keeps the last error."""
    severity = trt.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.ERROR,
        severity.ERROR: logging.ERROR,
        severity.WARNING: logging.WARNING,
        severity.INFO: logging.DEBUG,
        severity.VERBOSE: logging.NOTSET,
    }

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = ""

        def log(self, severity: Any, msg: str) -> None:
            level = levels.get(severity, logging.DEBUG)
            text = " ".join(msg.split())
            if level == logging.ERROR:
                self.last_error = text
            if level != logging.NOTSET:
                # Errors are raised by whoever made the call.
                _log.log(min(level, logging.WARNING), "%s", text)

    return Logger()


def create(kind: Any, logger: Any) -> Any:
    """A builder or runtime; the bindings raise TypeError where the library gives them none."""
    try:
        return kind(logger)
    except (TypeError, RuntimeError) as error:
        raise BackendError(f"TensorRT cannot start: {logger.last_error or error}") from error


def open_engine(trt: Any, logger: Any, plan: bytes, *, version_compatible: bool = False) -> Any:
    """Deserialise a plan; BackendError if TensorRT refuses it."""
    runtime = create(trt.Runtime, logger)
    if version_compatible:
        # Such a plan carries code for the host; only our own cache is read.
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise BackendError(f"TensorRT refused the plan: {logger.last_error or 'no reason given'}")
    return engine
