"""What a bundle is built from: a checkpoint, the shipped student or a user's ONNX file."""

from __future__ import annotations

import hashlib
import math
from argparse import Namespace
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sr.models.spec import ModelSpec

if TYPE_CHECKING:
    import onnx

    from edge_sr.models.network import Network

DEFAULT_MODEL, DEFAULT_SCALE = "fsrcnn_residual", 2


@dataclass(frozen=True)
class Source:
    """An opened network: as PyTorch module with its sidecar, or as ONNX graph.

    ``int8`` is the same network fine-tuned for INT8, whose weights that precision takes.
    """

    path: Path
    sha256: str
    spec: ModelSpec
    network: Network | None = None
    graph: onnx.ModelProto | None = None
    sidecar: dict[str, Any] = field(default_factory=dict)
    int8: Source | None = None

    @property
    def kind(self) -> str:
        """``checkpoint`` or ``onnx``."""
        return "onnx" if self.network is None else "checkpoint"

    @property
    def activation_ranges(self) -> dict[str, float] | None:
        """Of a student that was trained for INT8, by tensor; ValueError if they are malformed."""
        ranges = self.sidecar.get("activation_ranges")
        if ranges is None:
            return None
        if not isinstance(ranges, dict) or not all(
            isinstance(value, float) and 0 < value < math.inf for value in ranges.values()
        ):
            raise ValueError(f"activation_ranges beside {self.path} are no positive numbers")
        return ranges


def open_source(args: Namespace) -> Source:
    """Open what the options name; OSError or ValueError with one clear line if it is unfit."""
    source = _open_onnx(args.onnx) if args.onnx else _open_checkpoint(args)
    if args.scale is not None and args.scale != source.spec.scale:
        raise ValueError(
            f"{source.path} upscales by {source.spec.scale}, not {args.scale}; leave --scale out"
        )
    return source


def _open_checkpoint(args: Namespace) -> Source:
    from edge_sr.models.checkpoint import shipped_checkpoint, shipped_for_int8

    path, int8_path = args.checkpoint, args.int8_checkpoint
    if path is None:
        scale, name = args.scale or DEFAULT_SCALE, args.model or DEFAULT_MODEL
        path = shipped_checkpoint(scale, name)
        if int8_path is None and "int8" in args.precision:
            int8_path = shipped_for_int8(scale, name)
    source = _read_checkpoint(path)
    if int8_path is None:
        return source
    int8 = _read_checkpoint(int8_path)
    if _identity_of(source) != _identity_of(int8):
        raise ValueError(f"{int8_path} is another network than {path}")
    if int8.activation_ranges is None:
        raise ValueError(f"{int8_path} was not fine-tuned by train --method qat: it has no ranges")
    return replace(source, int8=int8)


def _read_checkpoint(path: Path) -> Source:
    from edge_sr.models.checkpoint import load_checkpoint

    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    network, sidecar = load_checkpoint(path)
    return Source(path, _digest(path), network.spec, network=network, sidecar=sidecar)


def _identity_of(source: Source) -> tuple[Any, ...]:
    return source.spec, source.sidecar["options"]


def _open_onnx(path: Path) -> Source:
    from export.onnx_import import import_onnx

    imported = import_onnx(path)
    return Source(path, _digest(path), imported.spec, graph=imported.model)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
