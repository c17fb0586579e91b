"""Open a bundle and upscale pictures and video: ``Upscaler.open(bundle).upscale(image)``."""

from __future__ import annotations

from runtime.errors import BackendError, ModelFormatError, UnsupportedError
from runtime.upscaler import Upscaler

__all__ = ["BackendError", "ModelFormatError", "UnsupportedError", "Upscaler"]
