from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from bundle_support import make_rgb_bundle, make_tiny_bundle
from google.protobuf import text_format
from triton_support import ENUMS, MESSAGES, read_config

from export.triton import LARGEST_BATCH, add_to_repository, check_repository, served_name
from runtime import Upscaler
from runtime.errors import ModelFormatError

NAMES = ("tiny_x2_fp32", "tiny_x2_fp16", "tiny_x2_int8")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_tiny_bundle(tmp_path / "tiny.esr")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_each_precision_becomes_a_model(bundle: Path, tmp_path: Path) -> None:
    served = add_to_repository(bundle, tmp_path / "models")
    assert [(s.name, s.version, s.config) for s in served] == [(n, 1, "written") for n in NAMES]
    assert set(tree(tmp_path / "models")) == {
        f"{name}/{file}" for name in NAMES for file in ("config.pbtxt", "1/model.onnx")
    }


@pytest.mark.parametrize("name", NAMES)
def test_configuration_describes_the_graph_beside_it(
    name: str, bundle: Path, tmp_path: Path
) -> None:
    add_to_repository(bundle, tmp_path / "models")
    config = read_config(tmp_path / "models" / name / "config.pbtxt")
    assert (config.name, config.backend, config.platform) == (
        name,
        "onnxruntime",
        "onnxruntime_onnx",
    )
    graph = onnx.load(tmp_path / "models" / name / "1" / "model.onnx").graph
    for tensor, value in ((config.input[0], graph.input[0]), (config.output[0], graph.output[0])):
        assert tensor.name == value.name
        assert tensor.data_type == ENUMS["DataType"]["TYPE_UINT8"]
        # max_batch_size takes the first axis out of the dims.
        assert list(tensor.dims) == [1, -1, -1]
        assert len(tensor.dims) == len(value.type.tensor_type.shape.dim) - 1
    assert config.max_batch_size == LARGEST_BATCH > 1
    assert config.HasField("dynamic_batching")
    assert config.version_policy.latest.num_versions == 1
    assert [(g.count, g.kind) for g in config.instance_group] == [(1, 0)]
    assert not config.HasField("optimization")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_served_graph_answers_as_the_bundle_does(
    precision: str, bundle: Path, tmp_path: Path
) -> None:
    add_to_repository(bundle, tmp_path / "models")
    folder = tmp_path / "models" / f"tiny_x2_{precision}"
    config = read_config(folder / "config.pbtxt")
    frames = np.random.default_rng(0).integers(0, 256, (LARGEST_BATCH, 1, 23, 31), np.uint8)
    session = onnxruntime.InferenceSession(
        folder / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (batch,) = session.run([config.output[0].name], {config.input[0].name: frames})
    with Upscaler.open(bundle, backend="onnxruntime", precision=precision, threads=1) as upscaler:
        for frame, answer in zip(frames, batch, strict=True):
            assert np.array_equal(answer[0], upscaler.upscale_luma(frame[0]))


def test_next_build_adds_a_version_beside_the_older_ones(bundle: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    add_to_repository(bundle, repository)
    before = tree(repository)
    newer = make_tiny_bundle(tmp_path / "newer.esr", seed=1)
    served = add_to_repository(newer, repository)
    assert [(s.version, s.config) for s in served] == [(2, "kept")] * 3
    after = tree(repository)
    assert before.items() < after.items()
    assert set(after) - set(before) == {f"{name}/2/model.onnx" for name in NAMES}
    assert after["tiny_x2_int8/2/model.onnx"] == (newer / "model.int8.onnx").read_bytes()


def test_numbers_go_on_from_the_highest(bundle: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    add_to_repository(bundle, repository)
    (repository / NAMES[0] / "41").mkdir()
    (repository / NAMES[0] / "notes").mkdir()
    shutil.rmtree(repository / NAMES[1] / "1")
    assert [s.version for s in add_to_repository(bundle, repository)] == [42, 1, 2]


def test_configuration_that_somebody_tuned_is_kept_and_said(bundle: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    add_to_repository(bundle, repository)
    config = repository / NAMES[2] / "config.pbtxt"
    tuned = config.read_text().replace("count: 1", "count: 4")
    config.write_text(tuned)
    served = add_to_repository(bundle, repository)
    assert [s.config for s in served] == ["kept", "kept", "kept, it differs"]
    assert config.read_text() == tuned


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_tensorrt_is_prepared_for_one_frame_size(
    precision: str, bundle: Path, tmp_path: Path
) -> None:
    add_to_repository(bundle, tmp_path / "models", tensorrt=(640, 360))
    config = read_config(tmp_path / "models" / f"tiny_x2_{precision}" / "config.pbtxt")
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert {p.key: p.value for p in accelerator.parameters} == {
        "precision_mode": precision.upper(),
        "trt_profile_min_shapes": "lr:1x1x360x640",
        "trt_profile_opt_shapes": "lr:1x1x360x640",
        "trt_profile_max_shapes": f"lr:{LARGEST_BATCH}x1x360x640",
    }


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("fsrcnn_residual", "fsrcnn_x2_int8"),
        ("fsrcnn_residual-h264", "fsrcnn_h264_x2_int8"),
        ("my net (v1.2)", "my_net_v1_2_x2_int8"),
        ("../../etc", "etc_x2_int8"),
        ("網絡", "model_x2_int8"),
        ("a" * 200, "a" * 80 + "_x2_int8"),
    ],
)
def test_names_are_plain(model: str, expected: str) -> None:
    assert served_name(model, 2, "int8") == expected


def spoil(repository: Path, how: str) -> None:
    """Make the place unfit."""
    if how == "missing":
        return
    if how == "file":
        repository.parent.mkdir()
        repository.write_text("")
        return
    (repository / NAMES[1]).mkdir(parents=True)
    if how == "model":
        (repository / "config.pbtxt").write_text("")
    elif how == "foreign":
        foreign = 'backend: "pytorch" input [ { name: "lr" } ] output [ { name: "sr" } ]'
        (repository / NAMES[1] / "config.pbtxt").write_text(foreign)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "for the model repository does not exist"),
        ("file", "is not a folder"),
        ("model", "is a model, not a repository"),
        ("empty", r"tiny_x2_fp16 exists and its config\.pbtxt is none of an onnxruntime model"),
        ("foreign", r"tiny_x2_fp16 exists and its config\.pbtxt is none of an onnxruntime model"),
    ],
)
def test_unfit_repository_is_refused_and_left_alone(
    how: str, message: str, bundle: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "deep" / "models"
    spoil(repository, how)
    before = tree(tmp_path)
    with pytest.raises((OSError, ValueError), match=message):
        check_repository(repository, NAMES, bundle)
    with pytest.raises((OSError, ValueError), match=message):
        add_to_repository(bundle, repository)
    assert tree(tmp_path) == before


def test_repository_inside_the_bundle_is_refused(bundle: Path) -> None:
    for place in (bundle, bundle / "models"):
        with pytest.raises(ValueError, match="lies inside the bundle"):
            check_repository(place, NAMES, bundle)


def test_damaged_bundle_leaves_no_repository(bundle: Path, tmp_path: Path) -> None:
    (bundle / "model.int8.onnx").write_bytes(b"x")
    with pytest.raises(ModelFormatError, match="the bundle is damaged"):
        add_to_repository(bundle, tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_all_versions_appear_or_none(
    is_new: bool,
    error: BaseException,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository = tmp_path / "models"
    if not is_new:
        add_to_repository(bundle, repository)
    before = tree(tmp_path)
    rename, names = Path.rename, []

    def fail_at_the_last(path: Path, target: Path) -> Any:
        names.append(target)
        if len(names) == 3:
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_at_the_last)
    with pytest.raises(type(error)) as caught:
        add_to_repository(bundle, repository)
    if isinstance(error, OSError):
        expected = f"cannot write the model repository {repository}: No space left on device"
        assert str(caught.value) == expected
    assert tree(tmp_path) == before
    assert repository.exists() is not is_new


def test_a_field_that_the_server_does_not_know_would_be_noticed(tmp_path: Path) -> None:
    for text in ("max_batch: 4", "input [ { data_type: UINT8 } ]", 'max_batch_size: "4"'):
        (tmp_path / "config.pbtxt").write_text(text)
        with pytest.raises(text_format.ParseError):
            read_config(tmp_path / "config.pbtxt")


def test_our_table_of_fields_agrees_with_the_servers_own() -> None:
    found = importlib.util.find_spec("tritonclient")
    if found is None or not found.submodule_search_locations:
        pytest.skip("tritonclient, which carries the server's definition, is not installed")
    path = Path(found.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)

    def descriptor(name: str) -> Any:
        outer, *inner = name.split(".")
        kind = getattr(theirs, outer).DESCRIPTOR
        for part in inner:
            kind = {**kind.nested_types_by_name, **kind.enum_types_by_name}[part]
        return kind

    for name, fields in MESSAGES.items():
        for field, kind in fields.items():
            known = descriptor(name).fields_by_name[field]
            plain = kind.removesuffix("*")
            assert known.is_repeated == kind.endswith("*"), field
            if plain in MESSAGES or plain in ENUMS:
                named = known.message_type or known.enum_type
                assert named.full_name == f"inference.{plain}"
            else:
                assert known.type == getattr(type(known), f"TYPE_{plain.upper()}"), field
    for name, values in ENUMS.items():
        known = descriptor(name).values_by_name
        assert {value: known[value].number for value in values} == values


def test_rgb_network_has_three_channels_in_every_shape(tmp_path: Path) -> None:
    bundle = make_rgb_bundle(tmp_path / "colour.esr")
    add_to_repository(bundle, tmp_path / "models", tensorrt=(64, 36))
    config = read_config(tmp_path / "models" / "tiny_x2_int8" / "config.pbtxt")
    assert [list(end.dims) for end in (config.input[0], config.output[0])] == [[3, -1, -1]] * 2
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    shapes = {p.key: p.value for p in accelerator.parameters if "shapes" in p.key}
    assert shapes == {
        "trt_profile_min_shapes": "lr:1x3x36x64",
        "trt_profile_opt_shapes": "lr:1x3x36x64",
        "trt_profile_max_shapes": "lr:4x3x36x64",
    }
