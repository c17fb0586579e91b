"""The stage that encodes: frames in, the packets of closed segments out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from runtime.video.frame import Frame
from runtime.video.segments import SegmentEncoder, SegmentEnd, SegmentSink


class SegmentedEncoding:
    """Frames into one encoder a segment.

    While one segment's last frames leave their encoder, the next one's first frames enter theirs.
    """

    def __init__(
        self, open_encoder: Callable[[], SegmentEncoder], segments: range, sink: SegmentSink
    ) -> None:
        self._open, self._segments, self._sink = open_encoder, segments, sink
        self._current = segments.start
        self._encoder: SegmentEncoder | None = None
        self._damaged = self._damaged_before = 0
        self._pool = ThreadPoolExecutor(1)
        self._ending: Future[None] | None = None

    def write(self, segment: int, damaged: int, frame: Frame) -> None:
        """Encode a frame of a segment that is not before that of the last; ``damaged`` so far."""
        while self._current < segment:
            self._end_segment()
        self._damaged = damaged
        self._encoder = self._encoder or self._open()
        self._sink.add(segment, self._encoder.encode(frame))

    def finish(self, damaged: int) -> None:
        """No more frames: end all segments."""
        self._damaged = damaged
        while self._current < self._segments.stop:
            self._end_segment()
        self._wait()

    def __enter__(self) -> SegmentedEncoding:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _end_segment(self) -> None:
        self._wait()
        damaged = self._damaged - self._damaged_before
        self._damaged_before = self._damaged
        self._ending = self._pool.submit(self._flush, self._current, self._encoder, damaged)
        self._current, self._encoder = self._current + 1, None

    def _flush(self, segment: int, encoder: SegmentEncoder | None, damaged: int) -> None:
        """All of a segment to the sink; one whose frames are all damaged has no encoder."""
        end = SegmentEnd(0, damaged, b"")
        if encoder is not None:
            self._sink.add(segment, encoder.finish())
            end = SegmentEnd(encoder.frames, damaged, encoder.extradata)
        self._sink.finish(segment, end)

    def _wait(self) -> None:
        if self._ending is not None:
            self._ending.result()
