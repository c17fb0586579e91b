"""Weights on disk: one safetensors file and its JSON sidecar."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from edge_sr.atomic import write_atomically
from edge_sr.models import build_model
from edge_sr.models.network import Network

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
_LARGEST_FILE = 1 << 30


def save_checkpoint(path: Path, model: Network, metadata: dict[str, Any]) -> None:
    """Write ``path`` (.safetensors) and the sidecar beside it (.json).

    The sidecar names the model, scale, options and the digest of the weights, then ``metadata``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    data = save(tensors)
    sidecar = {
        "model": model.spec.name,
        "scale": model.spec.scale,
        "options": model.options,
        "sha256": hashlib.sha256(data).hexdigest(),
        **metadata,
    }
    write_atomically(path, data)
    write_atomically(path.with_suffix(".json"), (json.dumps(sidecar, indent=2) + "\n").encode())


def load_checkpoint(path: Path) -> tuple[Network, dict[str, Any]]:
    """The network in evaluation mode and its sidecar.

    Raises OSError if a file is missing, ValueError if weights and sidecar do not fit together.
    """
    sidecar = _read_sidecar(path.with_suffix(".json"))
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{path} is larger than {_LARGEST_FILE} bytes and is not a checkpoint")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if sidecar.get("sha256") != digest:
        raise ValueError(
            f"{path} does not match its sidecar: sha256 {digest[:12]}..., "
            f"expected {str(sidecar.get('sha256'))[:12]}...; the file is damaged or was replaced"
        )
    try:
        model = build_model(sidecar["model"], sidecar["scale"], **sidecar["options"])
        model.load_state_dict(load(data))
    except (SafetensorError, RuntimeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not a checkpoint of this toolkit: {reason}") from error
    return model.eval(), sidecar


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        sidecar = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing; a checkpoint is two files") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(sidecar, dict):
        raise ValueError(f"{path} holds {type(sidecar).__name__}, not an object")
    return sidecar


def shipped_checkpoint(scale: int, name: str = "fsrcnn_residual") -> Path:
    """Path of a student that comes with the package; ValueError lists those there are."""
    path = WEIGHTS / f"{name}-x{scale}.safetensors"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in WEIGHTS.glob("*.safetensors"))) or "none"
        raise ValueError(f"no student {path.stem} is shipped (there are: {shipped})")
    return path


def shipped_for_int8(scale: int, name: str = "fsrcnn_residual") -> Path | None:
    """The same student fine-tuned for INT8, if one comes with the package."""
    path = WEIGHTS / f"{name}-x{scale}-int8.safetensors"
    return path if path.is_file() else None
