"""A closed stand-in for TensorRT's Python module: what our code may use, and nothing else.

tests/runtime/tensorrt/test_contract.py compares every class, method, argument, property and enum
here with the real bindings. Builds and runs are real enough to compare pictures: a plan holds the
ONNX graph, and a context runs it with ONNX Runtime on the memory of the fake CUDA driver. Names
that begin with an underscore, and STATE, are not of TensorRT.
"""

from __future__ import annotations

import ctypes
import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__version__ = "10.3.0"


@dataclass
class _State:
    """What a test arranges and finds out."""

    failures: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    runs_as: dict[str, str] = field(default_factory=dict)
    regions: list[list[str]] = field(default_factory=list)
    dla_cores: int = 0
    refused_by_dla: tuple[str, ...] = ()
    during_build: Callable[[], None] = lambda: None
    callbacks: list[Any] = field(default_factory=list)
    cuda: Any = None


STATE = _State()
_MISSING = object()


def _reset() -> None:
    STATE.__dict__.update(_State().__dict__)


def _called(name: str, *arguments: Any) -> Any:
    """The value that a test arranged for a call, or _MISSING."""
    STATE.calls.append((name, arguments))
    arranged = STATE.failures.get(name, _MISSING)
    if isinstance(arranged, Exception):
        raise arranged
    return arranged


# ---- Enums ----

ProfilingVerbosity = enum.IntEnum("ProfilingVerbosity", "LAYER_NAMES_ONLY DETAILED NONE")
BuilderFlag = enum.IntEnum("BuilderFlag", "TF32 VERSION_COMPATIBLE GPU_FALLBACK", start=0)
MemoryPoolType = enum.IntEnum("MemoryPoolType", "WORKSPACE")
HardwareCompatibilityLevel = enum.IntEnum("HardwareCompatibilityLevel", "NONE AMPERE_PLUS")
DeviceType = enum.IntEnum("DeviceType", "GPU DLA")
DataType = enum.IntEnum("DataType", "FLOAT HALF BF16 INT8 UINT8")
LayerType = enum.IntEnum("LayerType", "CONVOLUTION DECONVOLUTION DEQUANTIZE QUANTIZE ELEMENTWISE")
LayerInformationFormat = enum.IntEnum("LayerInformationFormat", "ONELINE JSON")


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


# ---- What our code derives from ----


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        pass

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    def __init__(self) -> None:
        pass

    def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
        raise NotImplementedError

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise NotImplementedError

    def phase_finish(self, phase_name: str) -> None:
        raise NotImplementedError


# ---- The network and its parser ----


class ITensor:
    name: str
    dtype: DataType

    def __init__(self, name: str, dtype: DataType) -> None:
        self.name, self.dtype = name, dtype


class ILayer:
    name: str
    type: LayerType
    num_outputs: int

    def __init__(
        self, name: str, kind: LayerType, inputs: list[ITensor], outputs: list[ITensor]
    ) -> None:
        self.name, self.type, self.num_outputs = name, kind, len(outputs)
        self._inputs, self._outputs = inputs, outputs

    def get_input(self, index: int) -> ITensor:
        return self._inputs[index]

    def get_output(self, index: int) -> ITensor:
        return self._outputs[index]


class INetworkDefinition:
    num_inputs: int
    num_outputs: int
    num_layers: int

    def __init__(self) -> None:
        self._graph = b""
        self._layers: list[ILayer] = []
        self._ends: tuple[list[ITensor], list[ITensor]] = ([], [])
        self._count()

    def _count(self) -> None:
        self.num_layers = len(self._layers)
        self.num_inputs, self.num_outputs = (len(end) for end in self._ends)

    def get_layer(self, index: int) -> ILayer:
        return self._layers[index]

    def get_input(self, index: int) -> ITensor:
        return self._ends[0][index]

    def get_output(self, index: int) -> ITensor:
        return self._ends[1][index]


class ParserError:
    def __init__(self, node: str, text: str) -> None:
        self._node, self._text = node, text

    def node_name(self) -> str:
        return self._node

    def desc(self) -> str:
        return self._text


class OnnxParser:
    num_errors: int

    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network, self._logger, self.num_errors = network, logger, 0
        self._errors: list[ParserError] = []

    def parse(self, model: bytes, path: str | None = None) -> bool:
        arranged = _called("OnnxParser.parse")
        try:
            if arranged is not _MISSING:
                raise ValueError("a failure that the test arranged")
            _fill(self._network, model)
        except Exception as error:
            self._errors = [ParserError("extract.0", str(error))]
            self.num_errors = 1
            return False
        return True

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]


_KINDS = {
    "Conv": LayerType.CONVOLUTION,
    "ConvTranspose": LayerType.DECONVOLUTION,
    "DequantizeLinear": LayerType.DEQUANTIZE,
    "QuantizeLinear": LayerType.QUANTIZE,
}


def _fill(network: INetworkDefinition, model: bytes) -> None:
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
    kinds = {2: DataType.UINT8, 10: DataType.HALF, 3: DataType.INT8}
    types = {
        value.name: kinds.get(value.type.tensor_type.elem_type, DataType.FLOAT)
        for value in [*graph.value_info, *graph.input, *graph.output]
    }

    def tensor(name: str) -> ITensor:
        return ITensor(name, types.get(name, DataType.FLOAT))

    network._graph = model
    network._ends = ([tensor(i.name) for i in graph.input], [tensor(o.name) for o in graph.output])
    network._layers = [
        ILayer(
            node.name,
            _KINDS.get(node.op_type, LayerType.ELEMENTWISE),
            [tensor(name) for name in node.input],
            [tensor(name) for name in node.output],
        )
        for node in graph.node
    ]
    network._count()


# ---- The builder ----


class IHostMemory:
    nbytes: int

    def __init__(self, data: bytes) -> None:
        self._data, self.nbytes = data, len(data)

    def __bytes__(self) -> bytes:
        return self._data


class ITimingCache:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._data)


class IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        self._shapes[input] = [list(min), list(opt), list(max)]


class IBuilderConfig:
    builder_optimization_level: int
    profiling_verbosity: ProfilingVerbosity
    hardware_compatibility_level: HardwareCompatibilityLevel
    progress_monitor: IProgressMonitor
    default_device_type: DeviceType
    DLA_core: int

    def __init__(self) -> None:
        self._flags = {BuilderFlag.TF32}
        self._profiles: list[IOptimizationProfile] = []
        self._cache: ITimingCache | None = None
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        self.default_device_type = DeviceType.GPU

    def set_flag(self, flag: BuilderFlag) -> None:
        self._flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self._flags.discard(flag)

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        _called("IBuilderConfig.set_memory_pool_limit", pool, pool_size)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        arranged = _called("IBuilderConfig.add_optimization_profile")
        if arranged is not _MISSING:
            return int(arranged)
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        _called("IBuilderConfig.create_timing_cache", bytes(serialized_timing_cache))
        if serialized_timing_cache and not serialized_timing_cache.startswith(b"tactics of "):
            return None
        return ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        arranged = _called("IBuilderConfig.get_timing_cache")
        return arranged if arranged is not _MISSING else self._cache

    def can_run_on_DLA(self, layer: ILayer) -> bool:  # noqa: N802 - TensorRT's name
        return layer.name not in STATE.refused_by_dla


class Builder:
    num_DLA_cores: int  # noqa: N815 - TensorRT's name

    def __init__(self, logger: ILogger) -> None:
        arranged = _called("Builder")
        if arranged is not _MISSING:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger, self.num_DLA_cores = logger, STATE.dla_cores

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        _called("Builder.create_network", flags)
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        arranged = _called("Builder.build_serialized_network", config)
        if arranged is not _MISSING:
            self._logger.log(ILogger.Severity.ERROR, "no tactic\n for extract.0")
            return None
        monitor = config.progress_monitor
        monitor.phase_start("Building Engine", "", 2)
        for step in range(2):
            STATE.during_build()
            if not monitor.step_complete("Building Engine", step):
                return None
        monitor.phase_finish("Building Engine")
        config._cache = ITimingCache(b"tactics of " + __version__.encode())
        header = {
            "version": __version__,
            "compatible": BuilderFlag.VERSION_COMPATIBLE in config._flags,
            "shapes": config._profiles[0]._shapes,
            "layers": _records(network),
        }
        return IHostMemory(json.dumps(header).encode() + b"\0" + network._graph)


def _records(network: INetworkDefinition) -> list[dict[str, Any]]:
    """What the inspector tells: a record for each convolution, or for a region of several."""
    producers = {layer.get_output(0).name: layer for layer in network._layers}
    words = {DataType.HALF: "Half", DataType.FLOAT: "Float"}
    records: list[dict[str, Any]] = []
    names = [x.name for x in network._layers if x.type == LayerType.CONVOLUTION]
    for layer in network._layers:
        if layer.name not in names or any(layer.name in region for region in STATE.regions):
            continue
        source = layer.get_input(0)
        producer = producers.get(source.name)
        word = words[source.dtype]
        if producer is not None and producer.type == LayerType.DEQUANTIZE:
            word = "Int8"
        word = STATE.runs_as.get(layer.name, word)
        copy = {"Name": f"Reformatting CopyNode for Input Tensor 0 to {layer.name}"}
        records.append(copy | {"LayerType": "Reformat", "Inputs": [{"Format/Datatype": "Float"}]})
        records.append(
            {
                "Name": f"{layer.name} + {layer.name}.prelu",
                "LayerType": "CaskConvolution",
                "Inputs": [{"Name": source.name, "Format/Datatype": word}],
                "Weights": {"Type": word, "Count": 1},
            }
        )
    for region in STATE.regions:
        name = f"{{ForeignNode[{region[0]}...{region[-1]}]}}"
        metadata = "\x1f".join(f"[ONNX Layer: {layer}]" for layer in region)
        records.append({"Name": name, "LayerType": "kgen", "Metadata": metadata, "Inputs": []})
    return records


# ---- The runtime ----


class EngineInspector:
    def __init__(self, layers: list[dict[str, Any]]) -> None:
        self._layers = layers

    def get_engine_information(self, format: LayerInformationFormat) -> str:
        arranged = _called("EngineInspector.get_engine_information", format)
        return arranged if arranged is not _MISSING else json.dumps({"Layers": self._layers})


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._shape: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: Any) -> bool:
        if _called("IExecutionContext.set_input_shape", tuple(shape)) is not _MISSING:
            return False
        low, _, high = self._engine._shapes[name]
        self._shape = tuple(shape)
        return all(a <= side <= b for a, side, b in zip(low, shape, high, strict=True))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        batch, channels, height, width = self._shape
        scale = self._engine._scale if name == "sr" else 1
        return batch, channels, height * scale, width * scale

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if _called("IExecutionContext.set_tensor_address") is not _MISSING:
            return False
        self._addresses[name] = memory
        return memory % 256 == 0

    def execute_async_v3(self, stream_handle: int) -> bool:
        if _called("IExecutionContext.execute_async_v3") is not _MISSING:
            return False
        shape, addresses, engine = self._shape, dict(self._addresses), self._engine

        def work(_: Any) -> None:
            count = int(np.prod(shape))
            element = engine._dtype.itemsize
            source = (ctypes.c_uint8 * (count * element)).from_address(addresses["lr"])
            lr = np.frombuffer(source, engine._dtype).reshape(shape)
            (sr,) = engine._session.run(None, {"lr": lr})
            ctypes.memmove(addresses["sr"], np.ascontiguousarray(sr).ctypes.data, sr.nbytes)

        callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(work)
        STATE.callbacks.append(callback)
        return bool(STATE.cuda.fake_enqueue(ctypes.c_void_p(stream_handle), callback, None) == 0)


class ICudaEngine:
    def __init__(self, header: dict[str, Any], graph: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._shapes, self._layers = header["shapes"], header["layers"]
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        kind = self._session.get_inputs()[0].type
        self._dtype = np.dtype(np.uint8 if kind == "tensor(uint8)" else np.float32)
        self._scale = int(str(self._session.get_outputs()[0].shape[2]).split("*", maxsplit=1)[0])

    def create_execution_context(self) -> IExecutionContext | None:
        arranged = _called("ICudaEngine.create_execution_context")
        if arranged is not _MISSING and (not callable(arranged) or arranged(self)):
            return None
        return IExecutionContext(self)

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector(self._layers)


class Runtime:
    engine_host_code_allowed: bool

    def __init__(self, logger: ILogger) -> None:
        arranged = _called("Runtime")
        if arranged is not _MISSING:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger, self.engine_host_code_allowed = logger, False

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        if _called("Runtime.deserialize_cuda_engine") is not _MISSING:
            self._logger.log(ILogger.Severity.ERROR, "a failure that the test arranged")
            return None
        try:
            text, graph = bytes(serialized_engine).split(b"\0", maxsplit=1)
            header = json.loads(text)
        except ValueError:
            self._logger.log(ILogger.Severity.ERROR, "magic tag does not match")
            return None
        if header["compatible"] and not self.engine_host_code_allowed:
            self._logger.log(ILogger.Severity.ERROR, "host code is not allowed")
            return None
        if header["version"] != __version__ and not header["compatible"]:
            self._logger.log(ILogger.Severity.ERROR, f"built by TensorRT {header['version']}")
            return None
        return ICudaEngine(header, graph)
