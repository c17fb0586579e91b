"""Still pictures on disk as numpy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sr.atomic import write_atomically

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


def list_images(folder: Path) -> list[Path]:
    """All pictures below ``folder``, recursively, sorted by path.

    Raises FileNotFoundError if the folder is missing, ValueError if it holds no picture.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"folder {folder} does not exist")
    paths = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()
    )
    if not paths:
        raise ValueError(
            f"folder {folder} holds no picture; looked for {' '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return paths


def read_image(path: Path) -> NDArray[Any]:
    """Decode a picture: uint8 or uint16, HxW grey, HxWx3 RGB or HxWx4 RGBA.

    Raises OSError if the file cannot be read, ValueError if it is not a picture of that kind.
    """
    import cv2

    data = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise ValueError(f"{path} cannot be decoded: {error.err}") from error
    if image is None:
        raise ValueError(f"{path} is not a picture that can be decoded")
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path} has samples of type {image.dtype}; uint8 or uint16 is needed")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim == 3 and image.shape[2] == 2:
        raise ValueError(f"{path} has 2 channels; 1, 3 or 4 are needed")
    if image.ndim == 3:
        order = cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        image = cv2.cvtColor(image, order)
    return image


def write_image(path: Path, image: NDArray[Any]) -> None:
    """Encode by the suffix of ``path``; the file appears whole or not at all."""
    import cv2

    if image.ndim == 3:
        order = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        image = cv2.cvtColor(image, order)
    encoded, data = cv2.imencode(path.suffix, image)
    if not encoded:
        raise ValueError(f"{path} cannot be encoded as {path.suffix}")
    write_atomically(path, data.tobytes())
