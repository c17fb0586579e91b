"""Quality and speed in each encoder's own terms, such that equal input gives equal bytes.

Numbers of threads that change what an encoder writes are fixed; the others follow the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from runtime.video.hdr import HdrMetadata
from runtime.video.probe import VideoInfo

PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)
# About equal PSNR on a 960x540 clip, where x264 of 16 has 45.5 dB.
DEFAULT_CRF: Mapping[str, float] = MappingProxyType({"h264": 16, "hevc": 17, "av1": 14, "vp9": 16})
MAX_CRF: Mapping[str, int] = MappingProxyType({"h264": 51, "hevc": 51, "av1": 63, "vp9": 63})
HDR_ENCODERS = frozenset({"libx264", "libx264rgb", "libx265", "libsvtav1"})
X265_FRAME_THREADS = 4
# By the pixels of a frame, the same on every machine: as many as pay beside a network that
# computes on the same cores.
THREADS_BY_PIXELS = ((1280 * 720, 4), (1920 * 1088, 6))
MOST_THREADS = 8
SMALLEST_CUT = 32


def _by_preset(*values: int | str) -> Mapping[str, str]:
    return MappingProxyType(dict(zip(PRESETS, map(str, values), strict=True)))


# libvpx's own scale: 5 is its fastest with good quality, 0 its slowest.
VP9_SPEEDS = _by_preset(5, 5, 5, 4, 4, 2, 1, 1, 0)
SVT_PRESETS = _by_preset(12, 11, 10, 9, 8, 6, 4, 3, 2)
NVENC_PRESETS = _by_preset("p1", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p7")
QSV_PRESETS = _by_preset(*["veryfast"] * 3, *PRESETS[3:])
AMF_QUALITIES = _by_preset(*["speed"] * 4, "balanced", "balanced", *["quality"] * 3)


def encoder_threads(info: VideoInfo) -> int:
    """Threads of an encoder whose bytes depend on their number."""
    pixels = info.width * info.height
    return next((count for most, count in THREADS_BY_PIXELS if pixels <= most), MOST_THREADS)


def software_options(encoder: str, crf: float, preset: str, info: VideoInfo) -> dict[str, str]:
    """Options of an encoder that runs on the CPU."""
    hdr = info.hdr or HdrMetadata()
    quality, threads = {"crf": f"{crf:g}"}, str(encoder_threads(info))
    if encoder in ("libx264", "libx264rgb"):
        chosen = quality | {"preset": preset, "threads": threads}
        return chosen | _joined("x264-params", _mastering(hdr, "mastering-display", "cll"))
    if encoder == "libx265":
        # Its report of itself names the machine.
        fixed = {"log-level": "none", "info": "0", "frame-threads": str(X265_FRAME_THREADS)}
        params = fixed | _mastering(hdr, "master-display", "max-cll")
        return quality | {"preset": preset} | _joined("x265-params", params)
    if encoder == "libsvtav1":
        params = _mastering(hdr, "mastering-display", "content-light", is_decimal=True)
        return quality | {"preset": SVT_PRESETS[preset]} | _joined("svtav1-params", params)
    if encoder == "libvpx-vp9":
        return quality | {
            "b": "0",
            "deadline": "good",
            "cpu-used": VP9_SPEEDS[preset],
            "row-mt": "1",
            "threads": threads,
        }
    if encoder == "ffv1":
        chosen = {"level": "3", "threads": threads}
        # Cut into slices, it loses chroma of quarter size at their edges, and refuses small frames.
        is_whole = max(info.layout.subsampling) > 2 or min(info.size) < SMALLEST_CUT
        return chosen | ({"slices": "1"} if is_whole else {})
    if encoder == "prores_ks":
        profile = "hq" if info.layout.subsampling == (2, 1) else "4444"
        return {"profile": profile, "threads": threads}
    return {"threads": threads}


def hardware_options(encoder: str, crf: float, preset: str, info: VideoInfo) -> dict[str, str]:
    """Options of an encoder that runs on a device; its constant quality is near the crf."""
    kind = encoder.rpartition("_")[2]
    level = str(round(crf))
    if kind == "nvenc":
        return {"rc": "vbr", "cq": level, "b": "0", "preset": NVENC_PRESETS[preset]}
    if kind == "qsv":
        return {"global_quality": level, "preset": QSV_PRESETS[preset]}
    if kind == "amf":
        # AV1 counts its quantiser to 255.
        step = str(round(crf * 4)) if encoder.startswith("av1") else level
        return {"rc": "cqp", "qp_i": step, "qp_p": step, "quality": AMF_QUALITIES[preset]}
    if kind == "vaapi":
        return {"rc_mode": "CQP", "qp": level}
    # The others know a bit rate alone: 0.2 bits a pixel, twice that of a good film.
    rate = float(info.rate or 25)
    return {"b": str(round(0.2 * info.width * info.height * rate))}


def _mastering(
    hdr: HdrMetadata, display_key: str, light_key: str, *, is_decimal: bool = False
) -> dict[str, str]:
    params = {}
    if hdr.mastering is not None:
        params[display_key] = hdr.decimal_mastering() if is_decimal else hdr.coded_mastering()
    if hdr.light is not None:
        params[light_key] = hdr.coded_light()
    return params


def _joined(name: str, params: Mapping[str, str]) -> dict[str, str]:
    text = ":".join(f"{key}={value}" for key, value in params.items())
    return {name: text} if text else {}
