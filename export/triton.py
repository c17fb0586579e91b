"""A bundle as models of an NVIDIA Triton Inference Server repository.

Each precision with a graph becomes one model of the onnxruntime backend, ``NAME/config.pbtxt`` with
``NAME/1/model.onnx``. Where the model is there already, a version is added beside the older ones.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import onnx
from onnx import TensorProto

from export.bundle import termination_as_interrupt
from export.plan import file_stem
from runtime.errors import ModelFormatError
from runtime.manifest import model_file, read_manifest, verify_file

CONFIG, MODEL = "config.pbtxt", "model.onnx"
# Frames of one size that wait together go through the network together.
LARGEST_BATCH = 4

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,119}")
_TYPES: Mapping[int, str] = MappingProxyType({TensorProto.UINT8: "TYPE_UINT8"})
_OURS = (r'backend\s*:\s*"onnxruntime"|platform\s*:\s*"onnxruntime_onnx"', '"lr"', '"sr"')


@dataclass(frozen=True)
class Served:
    """A version in the repository. ``config`` is ``written``, ``kept`` or ``kept, it differs``."""

    name: str
    version: int
    config: str


@dataclass(frozen=True)
class _Staged:
    """A version that is complete, but not yet under its name."""

    name: str
    model: bytes
    config: str


def served_name(model: str, scale: int, precision: str) -> str:
    """``fsrcnn_x2_int8``: what the server calls a precision of a network."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", file_stem(model)).strip("_") or "model"
    name = f"{name}_x{scale}_{precision}"
    assert _NAME.fullmatch(name), name
    return name


def check_repository(repository: Path, names: Iterable[str], bundle: Path) -> None:
    """OSError or ValueError if the models cannot be added, before anything is computed."""
    if bundle.resolve() in (repository.resolve(), *repository.resolve().parents):
        raise ValueError(f"model repository {repository} lies inside the bundle {bundle}")
    if not repository.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"folder {repository.absolute().parent} for the model repository does not exist"
        )
    if repository.exists() and not repository.is_dir():
        raise NotADirectoryError(f"model repository {repository} is not a folder")
    if (repository / CONFIG).exists():
        raise ValueError(f"{repository} is a model, not a repository: give the folder above it")
    for name in names:
        _check_model(repository / name)


def add_to_repository(
    bundle: Path, repository: Path, *, tensorrt: tuple[int, int] | None = None
) -> list[Served]:
    """Add a version of each precision of a bundle; all of them or none.

    ``tensorrt`` is width and height of the frames that TensorRT, inside ONNX Runtime, prepares for;
    it goes into new models only. Raises OSError or ValueError with one clear line.
    """
    staged = _versions_of(bundle, tensorrt)
    check_repository(repository, [version.name for version in staged], bundle)
    is_new = not repository.exists()
    with termination_as_interrupt():
        try:
            repository.mkdir(exist_ok=True)
            # A server that polls sees in it a folder without configuration and without versions.
            with tempfile.TemporaryDirectory(prefix=".edge-sr-", dir=repository) as stage:
                return _add(staged, Path(stage), repository)
        except OSError as error:
            raise OSError(
                f"cannot write the model repository {repository}: {error.strerror or error}"
            ) from error
        finally:
            if is_new and repository.is_dir() and not any(repository.iterdir()):
                repository.rmdir()


def config_text(
    name: str, graph: onnx.GraphProto, precision: str, tensorrt: tuple[int, int] | None = None
) -> str:
    """``config.pbtxt`` of a graph whose first axis is the batch."""
    (lr,), (sr,) = graph.input, graph.output
    lines = [
        "# Later builds add versions beside this file and leave it alone: edit it as you need.",
        f'name: "{name}"',
        'platform: "onnxruntime_onnx"',
        'backend: "onnxruntime"',
        "# The batch stands before the dims; -1 is any height and width.",
        f"max_batch_size: {LARGEST_BATCH}",
        f"input [ {{ {_tensor(lr)} }} ]",
        f"output [ {{ {_tensor(sr)} }} ]",
        "version_policy { latest { num_versions: 1 } }",
        "# One on each GPU, or one on the CPU where there is none.",
        "instance_group [ { count: 1 kind: KIND_AUTO } ]",
        "dynamic_batching { }",
    ]
    if tensorrt is not None:
        lines += _accelerator(lr, precision, *tensorrt)
    return "\n".join(lines) + "\n"


def _tensor(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    batch, *dims = kind.shape.dim
    if not batch.dim_param or kind.elem_type not in _TYPES:
        raise ModelFormatError(f"{value.name} has no free batch or a type that is not served")
    shape = ", ".join("-1" if dim.dim_param else str(dim.dim_value) for dim in dims)
    return f'name: "{value.name}" data_type: {_TYPES[kind.elem_type]} dims: [ {shape} ]'


def _accelerator(lr: onnx.ValueInfoProto, precision: str, width: int, height: int) -> list[str]:
    """TensorRT for one frame size: without it an engine is built again for each size that comes."""
    frame = f"{lr.type.tensor_type.shape.dim[1].dim_value}x{height}x{width}"
    parameters = {
        # Allows what the graph states by its casts and Q/DQ pairs; it chooses nothing by itself.
        "precision_mode": precision.upper(),
        "trt_profile_min_shapes": f"{lr.name}:1x{frame}",
        "trt_profile_opt_shapes": f"{lr.name}:1x{frame}",
        "trt_profile_max_shapes": f"{lr.name}:{LARGEST_BATCH}x{frame}",
    }
    return [
        "optimization { execution_accelerators { gpu_execution_accelerator [ {",
        '  name: "tensorrt"',
        *(f'  parameters {{ key: "{key}" value: "{value}" }}' for key, value in parameters.items()),
        "} ] } }",
    ]


def _versions_of(bundle: Path, tensorrt: tuple[int, int] | None) -> list[_Staged]:
    manifest = read_manifest(bundle)
    versions = []
    for precision in manifest.precisions:
        if model_file(precision) not in manifest.files:
            continue
        data = verify_file(bundle, model_file(precision), manifest)
        name = served_name(manifest.model, manifest.scale, precision)
        graph = onnx.load_from_string(data).graph
        versions.append(_Staged(name, data, config_text(name, graph, precision, tensorrt)))
    return versions


def _check_model(folder: Path) -> None:
    """ValueError if the folder is there, but is no model that takes further versions of ours."""
    if not folder.exists():
        return
    config = folder / CONFIG
    text = config.read_text(errors="replace") if config.is_file() else ""
    if not all(re.search(mark, text) for mark in _OURS):
        raise ValueError(
            f"{folder} exists and its {CONFIG} is none of an onnxruntime model from lr to sr; "
            "move it away or give another repository"
        )


def _add(staged: Sequence[_Staged], stage: Path, repository: Path) -> list[Served]:
    """Write everything, then give everything its name."""
    moves = []
    for version in staged:
        number = _next_version(repository / version.name)
        folder = stage / version.name / str(number)
        folder.mkdir(parents=True)
        (folder / MODEL).write_bytes(version.model)
        served, source = _config_of(version, number, repository), folder
        if served.config == "written":
            source = folder.parent
            (source / CONFIG).write_text(version.config)
        moves.append((served, source, repository / source.relative_to(stage)))
    done: list[tuple[Path, Path]] = []
    try:
        for _, source, target in moves:
            source.rename(target)
            done.append((source, target))
    except BaseException:
        for source, target in done:
            target.rename(source)
        raise
    return [served for served, _, _ in moves]


def _config_of(version: _Staged, number: int, repository: Path) -> Served:
    path = repository / version.name / CONFIG
    if not path.exists():
        return Served(version.name, number, "written")
    is_same = path.read_text(errors="replace") == version.config
    return Served(version.name, number, "kept" if is_same else "kept, it differs")


def _next_version(folder: Path) -> int:
    """One more than the highest number; 1 in a new model."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return 1 + max((int(name) for name in names if re.fullmatch("[0-9]{1,9}", name)), default=0)
