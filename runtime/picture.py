"""Still pictures on disk as numpy arrays, in RGB order."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.atomic import written_beside

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})
ALPHA_SUFFIXES = frozenset({".png", ".webp", ".tif", ".tiff", ".bmp"})
DEEP_SUFFIXES = frozenset({".png", ".tif", ".tiff"})

JPEG_QUALITY = 95

Picture = NDArray[Any]


def read_picture(path: Path) -> Picture:
    """Decode a picture: uint8 or uint16, HxW grey, HxWx3 RGB or HxWx4 RGBA.

    Palettes are expanded, an EXIF orientation is applied. Raises OSError if the file cannot be
    read, ValueError if it is damaged or not a picture of that kind.
    """
    data = path.read_bytes()
    if not data:
        raise ValueError(f"{path} is an empty file")
    if _is_truncated(data):
        raise ValueError(f"{path} is truncated: the end of the picture is missing")
    picture = _decode(path, data)
    if picture.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path} has samples of type {picture.dtype}; uint8 or uint16 is needed")
    return _rgb_from_bgr(path, picture)


def write_picture(path: Path, picture: Picture) -> None:
    """Encode by the suffix of ``path``; the file appears whole or not at all.

    Raises ValueError if the file format cannot hold the picture without loss of depth or alpha.
    """
    data = encode_picture(path, picture)
    with written_beside(path) as partial:
        partial.write_bytes(data)


def encode_picture(path: Path, picture: Picture) -> bytes:
    """The content that a file of this name has with the picture; raises as write_picture."""
    check_format(path, picture)
    return _encode(path, picture)


def check_format(path: Path, picture: Picture) -> None:
    """Refuse an output suffix that would silently lose bit depth or alpha."""
    suffix = path.suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        raise ValueError(
            f"{path} has no picture suffix; use one of {' '.join(sorted(PICTURE_SUFFIXES))}"
        )
    if picture.dtype == np.uint16 and suffix not in DEEP_SUFFIXES:
        raise ValueError(f"{suffix} cannot hold 16-bit samples ({path}); write .png or .tif")
    if picture.ndim == 3 and picture.shape[2] == 4 and suffix not in ALPHA_SUFFIXES:
        raise ValueError(f"{suffix} cannot hold an alpha channel ({path}); write .png or .webp")


def _is_truncated(data: bytes) -> bool:
    """Whether a PNG or JPEG lacks its end marker; older decoders fill what is missing with grey."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.find(b"\xff\xda")
    return False


def _decode(path: Path, data: bytes) -> Picture:
    import cv2

    buffer = np.frombuffer(data, np.uint8)
    try:
        with _quiet_opencv:
            picture = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
            has_alpha = picture is not None and picture.ndim == 3 and picture.shape[2] == 4
            # Only the flags that drop alpha make the decoder turn the picture upright.
            if picture is not None and not has_alpha and _may_be_turned(data):
                picture = cv2.imdecode(buffer, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error as error:
        raise ValueError(f"{path} cannot be decoded: {error.err}") from error
    if picture is None:
        raise ValueError(f"{path} is not a picture that can be decoded")
    decoded: Picture = picture
    return decoded


def _may_be_turned(data: bytes) -> bool:
    return any(mark in data for mark in (b"Exif\0", b"eXIf", b"EXIF"))


def _rgb_from_bgr(path: Path, picture: Picture) -> Picture:
    import cv2

    if picture.ndim == 3 and picture.shape[2] == 1:
        return picture[:, :, 0]
    if picture.ndim == 2:
        return picture
    if picture.shape[2] not in (3, 4):
        raise ValueError(f"{path} has {picture.shape[2]} channels; 1, 3 or 4 are needed")
    order = cv2.COLOR_BGR2RGB if picture.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return np.asarray(cv2.cvtColor(picture, order))


def _encode(path: Path, picture: Picture) -> bytes:
    import cv2

    suffix = path.suffix.lower()
    options: list[int] = []
    if suffix in (".jpg", ".jpeg"):
        options = [
            cv2.IMWRITE_JPEG_QUALITY,
            JPEG_QUALITY,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
    if picture.ndim == 3:
        order = cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        picture = np.asarray(cv2.cvtColor(picture, order))
    height, width = picture.shape[:2]
    with _quiet_opencv, suppress(cv2.error):
        encoded, data = cv2.imencode(suffix, picture, options)
        if encoded:
            return bytes(data.tobytes())
    raise ValueError(
        f"a picture of {width}x{height} cannot be encoded as {suffix} ({path}); write .png"
    )


class _Quiet:
    """OpenCV's log is silent while any thread is inside: the level is one for all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = self._before = 0

    def __enter__(self) -> None:
        import cv2

        log = cv2.utils.logging
        with self._lock:
            if not self._inside:
                self._before = log.getLogLevel()
                log.setLogLevel(log.LOG_LEVEL_SILENT)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        import cv2

        with self._lock:
            self._inside -= 1
            if not self._inside:
                cv2.utils.logging.setLogLevel(self._before)


# What the log has to say is raised as one clear line.
_quiet_opencv = _Quiet()
