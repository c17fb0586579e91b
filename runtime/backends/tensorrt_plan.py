"""ONNX bytes to a TensorRT plan, by TensorRT's own parser: one source for 10.3 to 11.4.

Precision lives in the graph, so that networks are strongly typed and no builder flag chooses it.
After the build the engine inspector is asked in which precision each convolution really runs.
"""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, NamedTuple

from runtime.errors import BackendError, ModelFormatError, UnsupportedError

OLDEST = (10, 3)
INPUT, OUTPUT = "lr", "sr"
MIB = 1 << 20

_log = logging.getLogger("edge_sr.tensorrt")


class Shape(NamedTuple):
    """Of a batch of LR planes."""

    batch: int
    height: int
    width: int

    @property
    def dimensions(self) -> tuple[int, int, int, int]:
        """As the graph's input has them."""
        return self.batch, 1, self.height, self.width


@dataclass(frozen=True)
class Profile:
    """The input shapes that a plan serves, and the one that it is tuned for."""

    smallest: Shape
    likeliest: Shape
    largest: Shape

    @property
    def is_fixed(self) -> bool:
        """Whether the plan serves one shape alone."""
        return self.smallest == self.largest

    def holds(self, shape: Shape) -> bool:
        """Whether the plan serves a shape."""
        bounds = zip(self.smallest, shape, self.largest, strict=True)
        return all(low <= side <= high for low, side, high in bounds)


def frame_profile(width: int, height: int) -> Profile:
    """Whole frames of one size, in LR pixels."""
    shape = Shape(1, height, width)
    return Profile(shape, shape, shape)


def tile_profile(tile_size: int, batch: int) -> Profile:
    """Batches of windows of ``tile_size`` LR pixels, and smaller ones where a frame is smaller."""
    largest = Shape(batch, tile_size, tile_size)
    return Profile(Shape(1, 1, 1), largest, largest)


@dataclass(frozen=True)
class PlanOptions:
    """How a plan is built; none of it changes which precision a layer runs in.

    ``workspace_mib`` bounds the memory of tactics, 0 is TensorRT's own limit; ``level`` is the
    builder's optimisation level, 0 to 5. A ``version_compatible`` plan runs on later releases of
    TensorRT, a ``hardware_compatible`` one on every GPU since Ampere; both may be slower.
    ``dla_core`` puts what can run there on that DLA core, the rest on the GPU.
    """

    workspace_mib: int = 0
    level: int = 3
    version_compatible: bool = False
    hardware_compatible: bool = False
    dla_core: int | None = None

    def __post_init__(self) -> None:
        if self.workspace_mib < 0:
            raise ValueError(f"workspace of {self.workspace_mib} MiB must not be negative")
        if not 0 <= self.level <= 5:
            raise ValueError(f"optimisation level {self.level} is not in 0..5")
        if self.dla_core is not None and self.dla_core < 0:
            raise ValueError(f"DLA core {self.dla_core} must not be negative")


@dataclass(frozen=True)
class LayerPrecision:
    """A convolution of the graph: ``asked`` by its types, ``runs`` as the inspector tells.

    ``runs`` is None where the engine fused the layer into a region that does not tell.
    """

    name: str
    asked: str
    runs: str | None


@dataclass(frozen=True)
class BuiltPlan:
    """A serialised engine and what is known about it.

    ``off_dla``: layers that DLA refuses, which run on the GPU.
    """

    plan: bytes
    timing_cache: bytes
    layers: tuple[LayerPrecision, ...]
    off_dla: tuple[str, ...]
    seconds: float


class BuildCancelledError(KeyboardInterrupt):
    """The user stopped a build."""


# Told about phases of a build: name, steps done and in all; False cancels.
ProgressCallback = Callable[[str, int, int], bool]


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


def build_plan(
    graph: bytes,
    profile: Profile,
    options: PlanOptions | None = None,
    *,
    timing_cache: bytes = b"",
    progress: ProgressCallback | None = None,
) -> BuiltPlan:
    """Build a plan for the device at hand, which takes seconds to minutes.

    Raises ModelFormatError if the parser refuses the graph, UnsupportedError for what the device
    lacks, BackendError if TensorRT fails or a layer runs in another precision than the graph says,
    BuildCancelledError.
    """
    options = options or PlanOptions()
    if options.dla_core is not None and not profile.is_fixed:
        raise ValueError("DLA takes one input shape; build for a frame size, not for tiles")
    trt = import_tensorrt()
    started = time.perf_counter()
    logger = _logger(trt)
    builder = _started(trt.Builder, logger)
    network = _parse(trt, logger, builder, graph)
    config = builder.create_builder_config()
    monitor = _monitor(trt, progress)
    _configure(trt, builder, config, options)
    _add_profile(builder, config, profile)
    config.progress_monitor = monitor
    cache = config.create_timing_cache(timing_cache)
    if cache is None or not config.set_timing_cache(cache, True):
        _log.info("the timing cache is of another TensorRT and is left out")
        config.set_timing_cache(config.create_timing_cache(b""), True)
    off_dla = _place_on_dla(trt, builder, network, config, options.dla_core)
    with _interrupt_cancels(monitor):
        memory = builder.build_serialized_network(network, config)
    if monitor.is_cancelled:
        raise BuildCancelledError("the build was cancelled")
    if memory is None:
        raise BackendError(f"TensorRT built no engine: {logger.last_error or 'it gives no reason'}")
    plan = bytes(memory)
    layers = _checked_precisions(trt, logger, network, plan, options)
    tactics = config.get_timing_cache()
    return BuiltPlan(
        plan=plan,
        timing_cache=b"" if tactics is None else bytes(tactics.serialize()),
        layers=layers,
        off_dla=off_dla,
        seconds=time.perf_counter() - started,
    )


def open_engine(trt: Any, logger: Any, plan: bytes, *, version_compatible: bool = False) -> Any:
    """Deserialise a plan; BackendError if TensorRT refuses it."""
    runtime = _started(trt.Runtime, logger)
    if version_compatible:
        # Such a plan carries code for the host; only our own cache is read.
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise BackendError(f"TensorRT refused the plan: {logger.last_error or 'no reason given'}")
    return engine


def _started(kind: Any, logger: Any) -> Any:
    """A builder or runtime; the bindings raise TypeError where the library gives them none."""
    try:
        return kind(logger)
    except (TypeError, RuntimeError) as error:
        raise BackendError(f"TensorRT cannot start: {logger.last_error or error}") from error


def logger_of(trt: Any) -> Any:
    """A logger that passes messages to ``logging`` and keeps the last error."""
    return _logger(trt)


def _logger(trt: Any) -> Any:
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


def _monitor(trt: Any, progress: ProgressCallback | None) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.is_cancelled = False
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps
            self.tell(phase_name, 0)

        def phase_finish(self, phase_name: str) -> None:
            self.tell(phase_name, self.steps.get(phase_name, 0))

        def step_complete(self, phase_name: str, step: int) -> bool:
            self.tell(phase_name, step)
            return not self.is_cancelled

        def tell(self, phase: str, step: int) -> None:
            if progress is not None and not progress(phase, step, self.steps.get(phase, 0)):
                self.is_cancelled = True

    return Monitor()


@contextmanager
def _interrupt_cancels(monitor: Any) -> Iterator[None]:
    """Ctrl-C stops the build at its next step: no exception may go through TensorRT's frames."""

    def cancel(*_: Any) -> None:
        monitor.is_cancelled = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _parse(trt: Any, logger: Any, builder: Any, graph: bytes) -> Any:
    # Explicit batches are the only kind since 10, and need no flag.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        texts = [f"{error.node_name() or 'graph'}: {error.desc()}" for error in errors]
        raise ModelFormatError(
            f"TensorRT {trt.__version__} cannot read the graph: "
            f"{'; '.join(texts) or logger.last_error or 'it gives no reason'}"
        )
    if network.num_inputs != 1 or network.num_outputs != 1:
        raise ModelFormatError(
            f"the graph has {network.num_inputs} inputs and {network.num_outputs} outputs, "
            "not one each"
        )
    names = network.get_input(0).name, network.get_output(0).name
    if names != (INPUT, OUTPUT):
        raise ModelFormatError(f"the graph goes from {names[0]} to {names[1]}, not from lr to sr")
    return network


def _configure(trt: Any, builder: Any, config: Any, options: PlanOptions) -> None:
    config.builder_optimization_level = options.level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # FP32 means 23 bits of fraction; TF32, which TensorRT takes for it by default, has 10.
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.workspace_mib:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * MIB)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS


def _add_profile(builder: Any, config: Any, profile: Profile) -> None:
    shapes = builder.create_optimization_profile()
    shapes.set_shape(
        INPUT,
        profile.smallest.dimensions,
        profile.likeliest.dimensions,
        profile.largest.dimensions,
    )
    if config.add_optimization_profile(shapes) < 0:
        raise BackendError(f"TensorRT refused the input shapes {profile}")


def _place_on_dla(
    trt: Any, builder: Any, network: Any, config: Any, core: int | None
) -> tuple[str, ...]:
    """Prefer a DLA core; returns the layers that it refuses."""
    if core is None:
        return ()
    if core >= builder.num_DLA_cores:
        raise UnsupportedError(f"there is no DLA core {core}: {builder.num_DLA_cores} in all")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return tuple(layer.name for layer in layers if not config.can_run_on_DLA(layer))


# ---- Which precision runs ----

# What the inspector writes of a tensor's format, in lower case, to the name of a precision. The
# long texts come with an execution context, the short ones without.
_FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"int8": ("int8",), "fp16": ("half", "fp16"), "fp32": ("float", "fp32")}
)


def _checked_precisions(
    trt: Any, logger: Any, network: Any, plan: bytes, options: PlanOptions
) -> tuple[LayerPrecision, ...]:
    engine = open_engine(trt, logger, plan, version_compatible=options.version_compatible)
    told = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    layers = compare_precisions(asked_precisions(trt, network), told)
    wrong = [layer for layer in layers if layer.runs not in (None, layer.asked)]
    if wrong:
        texts = [f"{layer.name} runs in {layer.runs}, not {layer.asked}" for layer in wrong]
        raise BackendError(f"the engine is not what the graph says: {'; '.join(texts)}")
    return layers


def asked_precisions(trt: Any, network: Any) -> dict[str, str]:
    """Each convolution of a parsed network to the precision that its input's type asks for."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    producers = {}
    for layer in layers:
        for index in range(layer.num_outputs):
            producers[layer.get_output(index).name] = layer
    types = {trt.DataType.FLOAT: "fp32", trt.DataType.HALF: "fp16", trt.DataType.BF16: "bf16"}
    asked = {}
    for layer in layers:
        if layer.type not in (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION):
            continue
        source = layer.get_input(0)
        producer = producers.get(source.name)
        dequantized = producer is not None and producer.type == trt.LayerType.DEQUANTIZE
        asked[layer.name] = "int8" if dequantized else types.get(source.dtype, str(source.dtype))
    return asked


def compare_precisions(asked: Mapping[str, str], told: str) -> tuple[LayerPrecision, ...]:
    """What each convolution runs in, by the inspector's JSON."""
    try:
        records = json.loads(told).get("Layers", [])
    except (ValueError, AttributeError) as error:
        raise BackendError(f"the engine inspector's report is no JSON object: {error}") from error
    engine_layers = [record for record in records if isinstance(record, dict)]
    return tuple(
        LayerPrecision(name, precision, _running(name, asked, engine_layers))
        for name, precision in asked.items()
    )


def _running(
    name: str, asked: Mapping[str, str], records: Iterable[Mapping[str, Any]]
) -> str | None:
    for record in records:
        covered = _layers_in(record, asked)
        if name not in covered or _is_copy(record):
            continue
        # A region of several convolutions does not tell them apart.
        return _precision_of(record) if len(covered) == 1 else None
    return None


def _layers_in(record: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Convolutions that an engine layer is made of, by its name and its ONNX metadata."""
    text = f"{record.get('Name', '')} {record.get('Metadata', '')}"
    return [name for name in names if _mentions(text, name)]


def _mentions(text: str, name: str) -> bool:
    """Whether a name stands in the text by itself, not as the start or end of a longer one."""
    start = text.find(name)
    while start >= 0:
        before, after = text[:start][-1:], text[start + len(name) :][:1]
        if not (_is_of_name(before) or _is_of_name(after)):
            return True
        start = text.find(name, start + 1)
    return False


def _is_of_name(character: str) -> bool:
    return character.isalnum() or (character != "" and character in "._/")


def _is_copy(record: Mapping[str, Any]) -> bool:
    return str(record.get("LayerType", "")).lower() in ("reformat", "nooplayer", "constant")


def _precision_of(record: Mapping[str, Any]) -> str | None:
    """By the type of the weights, or else of the first input."""
    weights = record.get("Weights")
    texts = [weights.get("Type")] if isinstance(weights, dict) else []
    inputs = record.get("Inputs")
    if isinstance(inputs, list) and inputs and isinstance(inputs[0], dict):
        texts.append(inputs[0].get("Format/Datatype"))
    for text in texts:
        for precision, words in _FORMATS.items():
            if isinstance(text, str) and any(word in text.lower() for word in words):
                return precision
    return None
