"""What can go wrong besides bad arguments (ValueError) and files (OSError)."""

from __future__ import annotations


class ModelFormatError(ValueError):
    """A bundle, manifest or graph is malformed."""


class UnsupportedError(RuntimeError):
    """A backend cannot do this here: device, shape or precision."""


class BackendError(RuntimeError):
    """A vendor library failed; its text is kept."""


class DeviceMemoryError(BackendError):
    """The device has no memory left for this; smaller frames or tiles may do."""
