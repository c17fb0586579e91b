from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bundle_support import make_tiny_bundle

from runtime.errors import ModelFormatError
from runtime.manifest import LARGEST_MANIFEST, read_manifest, verify_file


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_tiny_bundle(tmp_path / "tiny.esr")


def edit(bundle: Path, **changes: Any) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_written_manifest_is_read_back_and_its_files_verify(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert (manifest.model, manifest.scale, manifest.default_precision) == ("tiny", 2, "int8")
    for name in manifest.files:
        assert verify_file(bundle, name, manifest) == (bundle / name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "schema version 2 is not 1"),
        ({"scale": 5}, "scale 5 is not a whole number in 2..4"),
        ({"scale": True}, "scale True"),
        ({"scale": 2.0}, "scale 2"),
        ({"receptive_field_radius": 10**12}, "receptive_field_radius"),
        ({"receptive_field_radius": -1}, "receptive_field_radius"),
        ({"size_multiple": 0}, "size_multiple 0"),
        ({"model": ""}, "model must be a text"),
        ({"model": 7}, "model must be a text"),
        ({"channels": "yuv"}, "channels 'yuv'"),
        ({"precisions": []}, "precisions"),
        ({"precisions": ["int4"]}, "precisions"),
        ({"precisions": ["fp32", "fp32"]}, "precisions"),
        ({"default_precision": "bf16"}, "default precision 'bf16' is not present"),
        ({"files": {"../x": {"sha256": "0" * 64, "bytes": 1}}}, "not a plain name"),
        ({"files": {"a/b": {"sha256": "0" * 64, "bytes": 1}}}, "not a plain name"),
        ({"files": {"a": {"sha256": "xyz", "bytes": 1}}}, "64 hexadecimal"),
        ({"files": {"a": {"sha256": "0" * 64, "bytes": 1 << 60}}}, "bytes"),
        ({"files": []}, "files must be an object"),
        ({"quality": 3}, "quality must be an object"),
    ],
)
def test_hostile_value_is_refused_by_name(
    bundle: Path, changes: dict[str, Any], message: str
) -> None:
    edit(bundle, **changes)
    with pytest.raises(ModelFormatError, match=message):
        read_manifest(bundle)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100000])
def test_manifest_that_is_no_object_is_refused(bundle: Path, text: str) -> None:
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(ModelFormatError, match=r"manifest\.json"):
        read_manifest(bundle)


def test_oversized_manifest_is_not_read(bundle: Path) -> None:
    (bundle / "manifest.json").write_bytes(b" " * (LARGEST_MANIFEST + 1))
    with pytest.raises(ModelFormatError, match="more than"):
        read_manifest(bundle)


def test_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="is not a bundle"):
        read_manifest(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_manifest(tmp_path / "none.esr")


def test_changed_truncated_and_missing_files_are_refused(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    path = bundle / "model.int8.onnx"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"\x00" if data[-1] else data[:-1] + b"\x01")
    with pytest.raises(ModelFormatError, match="sha256"):
        verify_file(bundle, path.name, manifest)
    path.write_bytes(data[:50])
    with pytest.raises(ModelFormatError, match="has 50 bytes"):
        verify_file(bundle, path.name, manifest)
    path.unlink()
    with pytest.raises(ModelFormatError, match="lacks its file"):
        verify_file(bundle, path.name, manifest)
