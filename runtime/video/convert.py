"""Upscaled frames to another pixel format, where the user asked for one."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from runtime.video.color import (
    RANGE_FULL,
    RANGE_LIMITED,
    RGB_MATRIX,
    UNSPECIFIED,
    ColorTags,
    guessed_matrix,
)
from runtime.video.frame import Frame, av_from_frame, frame_from_av
from runtime.video.pixels import FULL_CHROMA, GREY, LAYOUTS, PixelLayout
from runtime.video.probe import VideoInfo

if TYPE_CHECKING:
    from av.filter import Graph

# What swscale calls the matrices of ITU-T H.273; it takes BT.709 for those that it lacks.
SCALE_MATRICES = MappingProxyType(
    {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
)
RGB_DEFAULT_MATRIX = 1
EXACT = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"


def wanted_layout(layout: PixelLayout, pixel_format: str, alpha: str) -> PixelLayout:
    """The layout to write: the input's, without alpha if that is dropped, or the one asked for.

    Raises ValueError for a format that cannot be written or that would lose alpha unasked.
    """
    kept = layout.without_alpha() if alpha == "drop" else layout
    if pixel_format == "keep":
        return kept
    wanted = LAYOUTS.get(pixel_format)
    if wanted is None or wanted.planar_name != pixel_format:
        raise ValueError(
            f"pixel format {pixel_format!r} is not one to write; name a planar one such as "
            "yuv420p, yuv444p, yuv420p10le, gbrp or yuva420p"
        )
    if kept.has_alpha and not wanted.has_alpha:
        raise ValueError(
            f"{pixel_format} holds no alpha, which the input has; pass --alpha drop, or a format "
            "such as yuva420p"
        )
    return wanted


def converted_tags(
    colors: ColorTags, before: PixelLayout, after: PixelLayout, matrix: int | None
) -> ColorTags:
    """The tags of converted frames; RGB becomes limited-range YUV of ``matrix``, or BT.709."""
    if before.is_rgb == after.is_rgb:
        return colors
    if after.is_rgb:
        return replace(colors, matrix=RGB_MATRIX, sample_range=RANGE_FULL)
    matrix = RGB_DEFAULT_MATRIX if matrix is None else matrix
    return replace(colors, matrix=matrix, sample_range=RANGE_LIMITED)


class Converter:
    """Converts frames of ``source``'s layout and colours to those of ``target``, by swscale.

    Frames have the target's size already. Not for more than one thread.
    """

    def __init__(self, source: VideoInfo, target: VideoInfo) -> None:
        self._target = target
        # swscale takes any grey for full range; as 4:4:4 with neutral chroma it does not.
        self._entry = _with_chroma(source.layout)
        self._exit = _with_chroma(target.layout)
        self._graph = self._configured(source)

    def convert(self, frame: Frame) -> Frame:
        """The same picture at the same time."""
        if frame.layout.subsampling == GREY:
            frame = _coloured(frame, self._entry)
        source = av_from_frame(frame, self._entry.planar_name)
        self._graph.vpush(source)
        result = frame_from_av(self._graph.vpull(), frame.pts, frame.time_base)
        planes = result.planes
        if self._target.layout.subsampling == GREY:
            planes = (planes[0], *planes[3:])
        return replace(frame, planes=planes, layout=self._target.layout)

    def _configured(self, source: VideoInfo) -> Graph:
        from av.filter import Graph
        from av.video.format import VideoFormat

        target = self._target
        graph = Graph()
        width, height = target.size
        chain = [
            graph.add_buffer(
                width=width,
                height=height,
                format=VideoFormat(self._entry.planar_name),
                time_base=target.time_base,
            ),
            graph.add("scale", _scale_options(source, target)),
            graph.add("format", f"pix_fmts={self._exit.planar_name}"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*chain).configure()
        return graph


def _scale_options(source: VideoInfo, target: VideoInfo) -> str:
    # Several threads of FFmpeg 8's swscale have been seen to lose rows of chroma.
    options = {"flags": EXACT, "threads": "1"}
    for end, info in (("in", source), ("out", target)):
        options[f"{end}_color_matrix"] = _matrix_name(source, target)
        options[f"{end}_range"] = "full" if _is_full(info) else "limited"
        if info.layout.is_subsampled:
            options[f"{end}_chroma_loc"] = info.siting.name
    return ":".join(f"{key}={value}" for key, value in options.items())


def _matrix_name(source: VideoInfo, target: VideoInfo) -> str:
    """The matrix that the YUV of either end is made by; untagged YUV as players take it."""
    end = target if source.layout.is_rgb else source
    if end.colors.matrix == UNSPECIFIED:
        return "bt709" if guessed_matrix(*source.size) == "BT.709" else "bt601"
    return SCALE_MATRICES.get(end.colors.matrix, "bt709")


def _is_full(info: VideoInfo) -> bool:
    return info.layout.is_rgb or info.colors.sample_range == RANGE_FULL


def _with_chroma(layout: PixelLayout) -> PixelLayout:
    """The layout for swscale: 4:4:4 in the place of grey."""
    if layout.subsampling != GREY:
        return layout
    neutral = replace(layout, subsampling=FULL_CHROMA)
    return LAYOUTS[neutral.planar_name]


def _coloured(frame: Frame, layout: PixelLayout) -> Frame:
    luma, *alpha = frame.planes
    neutral = np.full_like(luma, 1 << (layout.bit_depth - 1))
    return replace(frame, planes=(luma, neutral, neutral, *alpha), layout=layout)
