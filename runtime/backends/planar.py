"""Pictures as the planes that graphs take, and back: the one place that knows both orders."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]


def planes_of(picture: Samples) -> Samples:
    """HxW to [1, H, W], HxWx3 to [3, H, W], contiguous; not copied if it need not be."""
    if picture.ndim == 2:
        return np.ascontiguousarray(picture)[None]
    planes = np.empty((picture.shape[2], *picture.shape[:2]), picture.dtype)
    store_planes(picture, planes)
    return planes


def store_planes(picture: Samples, planes: Samples) -> None:
    """HxW or HxWx3 into memory for as many planes, [1, H, W] or [3, H, W]."""
    import cv2

    if picture.ndim == 2:
        np.copyto(planes[0], picture)
    else:
        cv2.split(np.ascontiguousarray(picture), list(planes))


def picture_of(planes: Samples) -> Samples:
    """[1, H, W] to a view HxW, [3, H, W] to a new HxWx3."""
    import cv2

    return planes[0] if len(planes) == 1 else np.asarray(cv2.merge(list(planes)))
