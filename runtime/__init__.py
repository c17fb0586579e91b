"""Open a bundle and upscale pictures and video: ``Upscaler.open(bundle).upscale(image)``."""

from __future__ import annotations

from runtime.errors import BackendError, ModelFormatError, UnsupportedError
from runtime.manifest import Manifest, read_manifest
from runtime.upscaler import Upscaler

__all__ = [
    "BackendError",
    "Manifest",
    "ModelFormatError",
    "UnsupportedError",
    "Upscaler",
    "read_manifest",
]
