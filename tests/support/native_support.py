"""Bundles for the native engine alone, without ONNX: a model.native and its manifest."""

from __future__ import annotations

from pathlib import Path

from native_reference import NativeFile, read_native

from runtime.backends.native import load_core
from runtime.errors import UnsupportedError
from runtime.manifest import NATIVE_MODEL, Manifest, file_entry, write_manifest

SEEDS = Path(__file__).parents[1] / "corpus" / "network_file"


def seed_model(name: str) -> bytes:
    """A small model.native, such as x2_int8 or x3_clip."""
    return (SEEDS / f"seed_{name}").read_bytes()


def runs_bf16() -> bool:
    """Whether this installation has the native engine and this CPU the instructions for bf16."""
    try:
        engine = load_core().Upscaler(seed_model("x2_fp32"), "bf16", 1, 0)
    except UnsupportedError:
        return False
    return bool(engine.precision == "bf16")


def radius_of(file: NativeFile) -> int:
    """How far an output sees, in LR pixels."""
    reach = sum(layer["kernel"] // 2 for layer in file.layers)
    if file.upsamples_first:
        return -(-reach // file.scale) + 2
    return max(reach, 2 if file.has_base else 0)


def make_native_bundle(folder: Path, model: bytes, *, precisions: tuple[str, ...] = ()) -> Path:
    """A bundle of this model; of fp32 and what it holds besides, unless precisions are given."""
    file = read_native(model)
    has_int8 = any(layer["int8"] for layer in file.layers)
    precisions = precisions or (("fp32", "int8") if has_int8 else ("fp32",))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NATIVE_MODEL).write_bytes(model)
    manifest = Manifest(
        model="small",
        scale=file.scale,
        channels="y",
        receptive_field_radius=radius_of(file),
        precisions=precisions,
        default_precision="int8" if "int8" in precisions else "fp32",
        files={NATIVE_MODEL: file_entry(model)},
    )
    write_manifest(folder, manifest)
    return folder
