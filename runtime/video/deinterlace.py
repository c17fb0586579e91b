"""Interlaced frames made progressive, one for one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

from runtime.video.pixels import layout_of

if TYPE_CHECKING:
    from av.filter import Graph
    from av.video.frame import VideoFrame

Deinterlace = Literal["off", "flagged", "all"]
DEINTERLACE_MODES: tuple[Deinterlace, ...] = ("off", "flagged", "all")
_FILTER_MODES = {"flagged": "interlaced", "all": "all"}


class Deinterlacer:
    """FFmpeg's bwdif: each frame in gives one frame out, with the time that it had.

    ``flagged`` leaves frames alone that are not marked as interlaced. A frame comes out when the
    next one is known. All frames have one size and pixel format; those that come out are planar.
    """

    def __init__(self, mode: Deinterlace) -> None:
        self._mode = mode
        self._graph: Graph | None = None
        self._times: deque[tuple[int | None, int | None, int]] = deque()
        self.count = 0

    def push(self, frame: VideoFrame) -> list[VideoFrame]:
        """Take one frame; the frames that are ready."""
        if self._mode == "off":
            return [frame]
        name = _planar_name(frame.format.name)
        if frame.format.name != name:
            # By one thread: several lose chroma rows of P010 (FFmpeg 8).
            frame = frame.reformat(format=name, threads=1)
        if self._graph is None:
            self._graph = self._configured(frame)
        self.count += frame.interlaced_frame or self._mode == "all"
        self._times.append((frame.pts, frame.dts, frame.duration))
        self._graph.vpush(frame)
        return self._pulled(self._graph)

    def flush(self) -> list[VideoFrame]:
        """The frames that are left."""
        if self._graph is None:
            return []
        self._graph.vpush(None)
        return self._pulled(self._graph)

    def _pulled(self, graph: Graph) -> list[VideoFrame]:
        from av.error import EOFError as EndError

        frames: list[VideoFrame] = []
        while True:
            try:
                frame = graph.vpull()
            except (BlockingIOError, EndError):
                return frames
            # The filter counts time twice as fine.
            frame.pts, _, frame.duration = self._times.popleft()
            frame.time_base = self._time_base
            frames.append(frame)

    def _configured(self, frame: VideoFrame) -> Graph:
        from av.filter import Graph

        self._time_base = frame.time_base
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base,
        )
        chain = [
            source,
            graph.add("bwdif", f"mode=send_frame:deint={_FILTER_MODES[self._mode]}"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*chain).configure()
        return graph


def _planar_name(name: str) -> str:
    """The planar format of the same samples and range."""
    return name if name.startswith("yuvj") else layout_of(name).planar_name
