from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtime.backends.tensorrt_library import import_tensorrt
from runtime.backends.tensorrt_plan import (
    BuildCancelledError,
    PlanOptions,
    build_plan,
    frame_profile,
    tile_profile,
)
from runtime.backends.tensorrt_precision import compare_precisions
from runtime.errors import BackendError, ModelFormatError, UnsupportedError
from runtime.installed import installed_bundle

READY = installed_bundle()
CONVOLUTIONS = ["extract.0", "shrink.0", *(f"map.{i}.0" for i in range(4)), "expand.0", "tail"]


def graph(precision: str = "int8") -> bytes:
    return (READY / f"model.{precision}.onnx").read_bytes()


def config_of(tensorrt: ModuleType) -> Any:
    calls = [c for c in tensorrt.STATE.calls if c[0] == "Builder.build_serialized_network"]
    return calls[-1][1][0]


def test_a_plan_is_strongly_typed_and_takes_the_frame_size(tensorrt: ModuleType) -> None:
    built = build_plan(graph(), frame_profile(64, 48))

    assert ("Builder.create_network", (2,)) in tensorrt.STATE.calls
    config = config_of(tensorrt)
    assert config._profiles[0]._shapes == {"lr": [[1, 1, 48, 64]] * 3}
    assert config.profiling_verbosity == tensorrt.ProfilingVerbosity.DETAILED
    assert built.plan
    assert built.timing_cache == b"tactics of 10.3.0"
    assert built.seconds > 0


def test_fp32_is_not_tf32(tensorrt: ModuleType) -> None:
    build_plan(graph("fp32"), frame_profile(64, 48))

    assert tensorrt.BuilderFlag.TF32 not in config_of(tensorrt)._flags


def test_tiles_may_be_smaller_at_the_borders_of_small_frames(tensorrt: ModuleType) -> None:
    build_plan(graph(), tile_profile(128, 4))

    shapes = config_of(tensorrt)._profiles[0]._shapes["lr"]
    assert shapes == [[1, 1, 1, 1], [4, 1, 128, 128], [4, 1, 128, 128]]


@pytest.mark.parametrize(
    ("precision", "base", "layers"),
    [("fp32", "fp32", "fp32"), ("fp16", "fp32", "fp16"), ("int8", "fp32", "int8")],
)
def test_precision_of_each_layer_is_read_back(
    tensorrt: ModuleType, precision: str, base: str, layers: str
) -> None:
    built = build_plan(graph(precision), frame_profile(64, 48))

    told = {layer.name: (layer.asked, layer.runs) for layer in built.layers}
    assert told == {"base": (base, base)} | dict.fromkeys(CONVOLUTIONS, (layers, layers))


def test_a_layer_that_is_not_what_the_graph_says_fails_the_build(tensorrt: ModuleType) -> None:
    tensorrt.STATE.runs_as = {"tail": "Half", "map.1.0": "Float"}

    with pytest.raises(BackendError, match=r"map\.1\.0 runs in fp32, not int8; tail runs in fp16"):
        build_plan(graph(), frame_profile(64, 48))


def test_layers_fused_into_a_region_are_reported_as_unknown(tensorrt: ModuleType) -> None:
    tensorrt.STATE.regions = [["shrink.0", "map.0.0"]]

    built = build_plan(graph(), frame_profile(64, 48))

    unknown = [layer.name for layer in built.layers if layer.runs is None]
    assert unknown == ["shrink.0", "map.0.0"]


def test_formats_are_read_from_an_execution_context_s_long_texts_too() -> None:
    long_text = "Channel major FP16 format where channel % 8 == 0"
    told = json.dumps({"Layers": [{"Name": "a", "Inputs": [{"Format/Datatype": long_text}]}]})

    (layer,) = compare_precisions({"a": "fp16"}, told)

    assert layer.runs == "fp16"


def test_a_name_within_a_longer_name_is_another_layer() -> None:
    records = [
        {"Name": "conv.10", "Weights": {"Type": "Half"}},
        {"Name": "PWN(conv.1, conv.1.prelu)", "Weights": {"Type": "Int8"}},
    ]

    (layer,) = compare_precisions({"conv.1": "int8"}, json.dumps({"Layers": records}))

    assert layer.runs == "int8"


@pytest.mark.parametrize("told", ["", "[]", "{"])
def test_a_report_that_is_no_object_is_an_error(told: str) -> None:
    with pytest.raises(BackendError, match="inspector's report is no JSON object"):
        compare_precisions({"a": "fp16"}, told)


@pytest.mark.parametrize("told", ['{"Layers": [1, {"Name": "a"}]}', "{}"])
def test_a_report_that_does_not_tell_is_no_precision(told: str) -> None:
    (layer,) = compare_precisions({"a": "fp16"}, told)

    assert layer.runs is None


def test_options_reach_the_builder(tensorrt: ModuleType) -> None:
    options = PlanOptions(
        workspace_mib=64, level=5, version_compatible=True, hardware_compatible=True
    )

    build_plan(graph(), frame_profile(64, 48), options)

    config = config_of(tensorrt)
    assert config.builder_optimization_level == 5
    assert tensorrt.BuilderFlag.VERSION_COMPATIBLE in config._flags
    level = tensorrt.HardwareCompatibilityLevel.AMPERE_PLUS
    assert config.hardware_compatibility_level == level
    limit = ("IBuilderConfig.set_memory_pool_limit", (tensorrt.MemoryPoolType.WORKSPACE, 64 << 20))
    assert limit in tensorrt.STATE.calls


@pytest.mark.parametrize("options", [{"level": 6}, {"workspace_mib": -1}, {"dla_core": -1}])
def test_options_outside_their_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(options.values())))):
        PlanOptions(**options)  # type: ignore[arg-type]


def test_timing_cache_is_handed_in(tensorrt: ModuleType) -> None:
    build_plan(graph(), frame_profile(64, 48), timing_cache=b"tactics of before")

    calls = [call for call in tensorrt.STATE.calls if call[0].endswith("create_timing_cache")]
    assert calls == [("IBuilderConfig.create_timing_cache", (b"tactics of before",))]


def test_a_foreign_timing_cache_is_left_out(tensorrt: ModuleType) -> None:
    built = build_plan(graph(), frame_profile(64, 48), timing_cache=b"rubbish")

    assert built.timing_cache == b"tactics of 10.3.0"


def test_no_timing_cache_afterwards_is_no_failure(tensorrt: ModuleType) -> None:
    tensorrt.STATE.failures["IBuilderConfig.get_timing_cache"] = None

    assert build_plan(graph(), frame_profile(64, 48)).timing_cache == b""


def test_dla_takes_what_it_can_and_tells_the_rest(tensorrt: ModuleType) -> None:
    tensorrt.STATE.dla_cores = 2
    tensorrt.STATE.refused_by_dla = ("levels", "tail.add.shuffle")

    built = build_plan(graph(), frame_profile(64, 48), PlanOptions(dla_core=1))

    config = config_of(tensorrt)
    assert built.off_dla == ("levels", "tail.add.shuffle")
    assert config.default_device_type == tensorrt.DeviceType.DLA
    assert config.DLA_core == 1
    assert tensorrt.BuilderFlag.GPU_FALLBACK in config._flags


def test_dla_that_is_not_there_is_refused(tensorrt: ModuleType) -> None:
    with pytest.raises(UnsupportedError, match="no DLA core 0: 0 in all"):
        build_plan(graph(), frame_profile(64, 48), PlanOptions(dla_core=0))


def test_dla_takes_one_shape(tensorrt: ModuleType) -> None:
    with pytest.raises(ValueError, match="one input shape"):
        build_plan(graph(), tile_profile(64, 2), PlanOptions(dla_core=0))


# ---- Failures ----

FAILURES = [
    ("Builder", None, BackendError, "cannot start"),
    ("OnnxParser.parse", None, ModelFormatError, "cannot read the graph: extract.0"),
    ("IBuilderConfig.add_optimization_profile", -1, BackendError, "refused the input shapes"),
    ("Builder.build_serialized_network", None, BackendError, "no tactic for extract.0"),
    ("Runtime", None, BackendError, "cannot start"),
    ("Runtime.deserialize_cuda_engine", None, BackendError, "refused the plan: a failure"),
    ("EngineInspector.get_engine_information", "no json", BackendError, "inspector"),
]


@pytest.mark.parametrize(("call", "value", "kind", "text"), FAILURES)
def test_each_failure_of_a_build_is_one_clear_error(
    tensorrt: ModuleType, call: str, value: Any, kind: type[Exception], text: str
) -> None:
    tensorrt.STATE.failures[call] = value

    with pytest.raises(kind, match=text):
        build_plan(graph(), frame_profile(64, 48))


def test_what_is_no_graph_is_refused(tensorrt: ModuleType) -> None:
    with pytest.raises(ModelFormatError, match="cannot read the graph"):
        build_plan(b"not an ONNX file", frame_profile(64, 48))


def test_progress_is_told_and_can_cancel(tensorrt: ModuleType) -> None:
    told = []

    def progress(phase: str, step: int, steps: int) -> bool:
        told.append((phase, step, steps))
        return len(told) < 2

    with pytest.raises(BuildCancelledError):
        build_plan(graph(), frame_profile(64, 48), progress=progress)

    assert told == [("Building Engine", 0, 2), ("Building Engine", 0, 2)]


def test_interrupt_stops_the_build_at_its_next_step(tensorrt: ModuleType) -> None:
    tensorrt.STATE.during_build = lambda: os.kill(os.getpid(), signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build_plan(graph(), frame_profile(64, 48))

    assert signal.getsignal(signal.SIGINT) is before


def test_without_tensorrt_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)

    with pytest.raises(UnsupportedError, match=r"JetPack brings it.*edge-sr\[tensorrt\]"):
        import_tensorrt()


def test_an_old_tensorrt_is_refused(tensorrt: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "__version__", "8.6.1")

    with pytest.raises(UnsupportedError, match=r"8\.6\.1 is older than 10\.3"):
        import_tensorrt()


def test_a_graph_with_other_ends_is_refused(tensorrt: ModuleType, tmp_path: Path) -> None:
    import onnx

    model = onnx.load_from_string(graph())
    model.graph.output[0].name = "bytes"
    model.graph.node[-1].output[0] = "bytes"

    with pytest.raises(ModelFormatError, match="from lr to bytes"):
        build_plan(model.SerializeToString(), frame_profile(64, 48))
