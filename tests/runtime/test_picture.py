from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.picture import read_picture, write_picture


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(2).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.dstack([x, y, x + y]).astype(np.uint8)


def png(color_type: int, depth: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A 2x1 PNG made by hand, for kinds that OpenCV does not write."""
    header = struct.pack(">IIBBBBB", 2, 1, depth, color_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def turned_jpeg(picture: np.ndarray, orientation: int, preview: bytes = b"") -> bytes:
    _, data = cv2.imencode(".jpg", picture)
    tiff = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff + preview
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    return data.tobytes()[:2] + segment + data.tobytes()[2:]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (5, 7, 3), (5, 7, 4)])
def test_deep_formats_give_back_the_same_samples(
    tmp_path: Path, suffix: str, dtype: type, shape: tuple[int, ...]
) -> None:
    picture = noise(*shape, dtype=dtype)
    write_picture(tmp_path / f"a{suffix}", picture)
    got = read_picture(tmp_path / f"a{suffix}")
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, picture)


@pytest.mark.parametrize(
    ("suffix", "shape"), [(".bmp", (5, 7)), (".bmp", (5, 7, 3)), (".webp", (5, 7, 4))]
)
def test_lossless_8_bit_formats_give_back_the_same_samples(
    tmp_path: Path, suffix: str, shape: tuple[int, ...]
) -> None:
    picture = noise(*shape)
    write_picture(tmp_path / f"a{suffix}", picture)
    got = read_picture(tmp_path / f"a{suffix}")
    # WebP may change colours where nothing is seen.
    seen = picture[:, :, 3] > 0 if picture.ndim == 3 and picture.shape[2] == 4 else ...
    np.testing.assert_array_equal(got[seen], picture[seen])


def test_jpeg_stays_close_in_rgb_order(tmp_path: Path) -> None:
    picture = smooth(32, 40)
    write_picture(tmp_path / "a.jpg", picture)
    got = read_picture(tmp_path / "a.jpg")
    assert np.abs(got.astype(int) - picture).mean() < 2


def test_palette_is_expanded_to_rgb(tmp_path: Path) -> None:
    palette = (b"PLTE", bytes([10, 20, 30, 200, 100, 50]))
    (tmp_path / "p.png").write_bytes(png(3, 8, b"\0\0\1", palette))
    np.testing.assert_array_equal(
        read_picture(tmp_path / "p.png"), [[[10, 20, 30], [200, 100, 50]]]
    )


def test_transparent_palette_is_expanded_to_rgba(tmp_path: Path) -> None:
    palette = (b"PLTE", bytes([10, 20, 30, 200, 100, 50]))
    (tmp_path / "p.png").write_bytes(png(3, 8, b"\0\0\1", palette, (b"tRNS", bytes([0, 255]))))
    got = read_picture(tmp_path / "p.png")
    assert got.shape == (1, 2, 4)
    assert got[0, :, 3].tolist() == [0, 255]


def test_black_and_white_is_expanded_to_8_bit_grey(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(png(0, 1, b"\0\x40"))
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png"), [[0, 255]])


def test_grey_with_alpha_becomes_rgba(tmp_path: Path) -> None:
    (tmp_path / "g.png").write_bytes(png(4, 8, b"\0\x50\xff\x60\x10"))
    np.testing.assert_array_equal(
        read_picture(tmp_path / "g.png"), [[[80, 80, 80, 255], [96, 96, 96, 16]]]
    )


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    (tmp_path / "turned.jpg").write_bytes(turned_jpeg(smooth(16, 32), 6))
    assert read_picture(tmp_path / "turned.jpg").shape == (32, 16, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_truncated_picture_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    whole = tmp_path / f"whole{suffix}"
    write_picture(whole, noise(40, 50, 3))
    data = whole.read_bytes()
    broken = tmp_path / f"broken{suffix}"
    broken.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ValueError, match=f"broken{suffix} is (truncated|not a picture)"):
        read_picture(broken)


def test_truncated_jpeg_with_a_whole_preview_is_refused(tmp_path: Path) -> None:
    preview = turned_jpeg(noise(8, 8, 3), 1)
    picture = turned_jpeg(noise(40, 50, 3), 1, preview)
    (tmp_path / "a.jpg").write_bytes(picture[: len(picture) // 2])
    with pytest.raises(ValueError, match=r"is truncated|is not a picture"):
        read_picture(tmp_path / "a.jpg")


def test_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(ValueError, match=r"a\.png is not a picture that can be decoded"):
        read_picture(tmp_path / "a.png")


def test_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match="is an empty file"):
        read_picture(tmp_path / "a.png")


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_picture(tmp_path / "nothing.png")


def test_nothing_is_said_on_the_terminal_about_a_broken_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "a.bmp", noise(9, 9, 3))
    (tmp_path / "a.bmp").write_bytes((tmp_path / "a.bmp").read_bytes()[:100])
    with pytest.raises(ValueError, match="is not a picture"):
        read_picture(tmp_path / "a.bmp")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
def test_8_bit_format_refuses_16_bit_samples(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ValueError, match="cannot hold 16-bit samples"):
        write_picture(tmp_path / f"a{suffix}", noise(4, 4, dtype=np.uint16))
    assert list(tmp_path.iterdir()) == []


def test_jpeg_refuses_alpha(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot hold an alpha channel"):
        write_picture(tmp_path / "a.jpg", noise(4, 4, 4))


def test_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no picture suffix"):
        write_picture(tmp_path / "a.xyz", noise(4, 4))


def test_picture_too_wide_for_its_format_is_refused_without_a_trace(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"70000x1 cannot be encoded as \.jpg"):
        write_picture(tmp_path / "a.jpg", noise(1, 70000))
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_picture(target, noise(4, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_threads_leave_opencvs_log_as_it_was(tmp_path: Path) -> None:
    log = cv2.utils.logging
    before = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_ERROR)
    try:
        with ThreadPoolExecutor(4) as pool:
            for number in range(40):
                pool.submit(write_picture, tmp_path / f"{number}.png", noise(20, 20, 3))
        assert log.getLogLevel() == log.LOG_LEVEL_ERROR
    finally:
        log.setLogLevel(before)
