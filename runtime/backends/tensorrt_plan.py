"""ONNX bytes to a TensorRT plan, by TensorRT's own parser: one source for 10.3 to 11.4.

Precision lives in the graph, so that networks are strongly typed and no builder flag chooses it.
After the build the engine inspector is asked in which precision each convolution really runs.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from runtime.backends.tensorrt_library import create, import_tensorrt, logger_of, open_engine
from runtime.backends.tensorrt_precision import LayerPrecision, checked_precisions
from runtime.errors import BackendError, ModelFormatError, UnsupportedError

INPUT, OUTPUT = "lr", "sr"
MIB = 1 << 20

_log = logging.getLogger("edge_sr.tensorrt")


class Shape(NamedTuple):
    """Of a batch of LR pictures."""

    batch: int
    height: int
    width: int

    def dimensions(self, channels: int) -> tuple[int, int, int, int]:
        """As the graph's input has them."""
        return self.batch, channels, self.height, self.width


@dataclass(frozen=True)
class Profile:
    """The input shapes that a plan serves, the one that it is tuned for, and their channels."""

    smallest: Shape
    likeliest: Shape
    largest: Shape
    channels: int = 1

    @property
    def is_fixed(self) -> bool:
        """Whether the plan serves one shape alone."""
        return self.smallest == self.largest

    def holds(self, shape: Shape) -> bool:
        """Whether the plan serves a shape."""
        bounds = zip(self.smallest, shape, self.largest, strict=True)
        return all(low <= side <= high for low, side, high in bounds)


def frame_profile(width: int, height: int, channels: int = 1) -> Profile:
    """Whole frames of one size, in LR pixels."""
    shape = Shape(1, height, width)
    return Profile(shape, shape, shape, channels)


def tile_profile(tile_size: int, batch: int, channels: int = 1, *, least: int = 1) -> Profile:
    """Batches of windows of ``tile_size`` LR pixels, and smaller ones where a frame is smaller.

    No side of a frame is shorter than ``least``.
    """
    largest = Shape(batch, tile_size, tile_size)
    return Profile(Shape(1, least, least), largest, largest, channels)


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
    logger = logger_of(trt)
    builder = create(trt.Builder, logger)
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
    engine = open_engine(trt, logger, plan, version_compatible=options.version_compatible)
    layers = checked_precisions(trt, network, engine)
    tactics = config.get_timing_cache()
    return BuiltPlan(
        plan=plan,
        timing_cache=b"" if tactics is None else bytes(tactics.serialize()),
        layers=layers,
        off_dla=off_dla,
        seconds=time.perf_counter() - started,
    )


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
    bounds = (profile.smallest, profile.likeliest, profile.largest)
    shapes.set_shape(INPUT, *(shape.dimensions(profile.channels) for shape in bounds))
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
