from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures_support import synthetic_luma, synthetic_rgb

from edge_sr.data.image_io import list_images, read_image, write_image


@pytest.mark.parametrize(
    "image",
    [
        synthetic_luma(7, 9),
        synthetic_rgb(7, 9),
        np.dstack([synthetic_rgb(7, 9), synthetic_luma(7, 9)]),
        synthetic_luma(7, 9).astype(np.uint16) * 257,
    ],
    ids=["grey", "rgb", "rgba", "grey16"],
)
def test_png_round_trip_keeps_samples_and_order(image: np.ndarray, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"b\.png"):
        read_image(tmp_path / "b.png")


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        list_images(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="holds no picture"):
        list_images(tmp_path)
