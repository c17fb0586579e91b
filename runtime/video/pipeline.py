"""A video file in, the same video with more pixels out.

The video is encoded in closed segments, which a journal keeps; at the end they are joined with the
sound and all else that the input holds.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from runtime.atomic import written_beside
from runtime.video.color import (
    BY_CUSTOM,
    BY_USER,
    SITINGS,
    UNSPECIFIED,
    Siting,
    guessed_matrix,
)
from runtime.video.compare import BicubicUpscaler, Comparison, compare_frames, compared_info
from runtime.video.convert import converted_tags, wanted_layout
from runtime.video.deinterlace import Deinterlace
from runtime.video.encoder import EncodeOptions, Encoding, choose_codec
from runtime.video.frame import Frame
from runtime.video.frame_upscaler import FrameUpscaler, PlaneUpscaler, Prepared, frame_stages
from runtime.video.geometry import output_aspect, scale_matrix
from runtime.video.join import check_writable, check_written, join_segments
from runtime.video.journal import Journal, journal_path
from runtime.video.probe import VideoInfo
from runtime.video.reader import OnError, VideoReader
from runtime.video.relay import StageLoad, run_stages
from runtime.video.segmented_encoding import SegmentedEncoding
from runtime.video.segments import (
    SegmentEncoder,
    SegmentPlan,
    SegmentReader,
    SegmentSink,
    plan_segments,
)
from runtime.video.timeline import Timeline, read_timeline

Made = TypeVar("Made")

SEGMENT_FRAMES = 250
STAGES = ("decode", "upscale", "encode")
# Of the input, at either end, that tells it from another.
FINGERPRINT_BYTES = 1 << 20


@dataclass(frozen=True)
class VideoOptions:
    """How a video is upscaled."""

    # Final width and height; None keeps the upscaler's.
    size: tuple[int, int] | None = None
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    on_error: OnError = "stop"
    # ITU-T H.273 matrix to write where the input names none; None leaves that open.
    matrix: int | None = None
    # Frames that are encoded together.
    segment_frames: int = SEGMENT_FRAMES
    # Show the bicubic enlargement, too.
    compare: Comparison | None = None
    # Where chroma lies, by FFmpeg's name; None is as tagged or by custom.
    chroma_location: str | None = None
    deinterlace: Deinterlace = "off"


@dataclass(frozen=True)
class VideoResult:
    """What was written; ``resumed`` of the frames came from an earlier run."""

    frames: int
    resumed: int
    damaged: int
    width: int
    height: int
    encoder: str
    seconds: float
    notes: tuple[str, ...]
    # Part of the time that each stage was at work.
    stages: Mapping[str, float] = field(default_factory=dict)
    # Where chroma was taken to lie, and why; None if it has as many samples as luma.
    chroma_location: str | None = None


@dataclass(frozen=True)
class VideoJob:
    """A video to upscale, as far as it is known before any frame is."""

    source: Path
    options: VideoOptions
    timeline: Timeline
    plan: SegmentPlan
    # Of the input, of upscaled frames, and of what is encoded.
    info: VideoInfo
    frame_info: VideoInfo
    target_info: VideoInfo
    encoding: Encoding
    notes: tuple[str, ...]

    def open_reader(self) -> SegmentReader:
        """The input, from its beginning."""
        options = self.options
        return SegmentReader(
            self.source,
            self.timeline,
            self.plan,
            on_error=options.on_error,
            deinterlace=options.deinterlace,
        )

    def open_encoder(self) -> SegmentEncoder:
        """An encoder for one segment."""
        return SegmentEncoder(self.encoding, self.target_info, self.options.encode)


# Encodes runs of a video's segments into a sink, and tells of each frame and of its load.
Encode = Callable[[VideoJob, list[range], SegmentSink, Callable[[], None], StageLoad], None]


class VideoProgress(Protocol):
    """Is told how far a video is."""

    def start(self, source: VideoInfo, target: VideoInfo, resumed: int, load: StageLoad) -> None:
        """What is read and written, the frames of an earlier run, and what tells the load."""
        ...

    def advance(self) -> None:
        """One more frame is encoded."""
        ...


def upscale_video(
    source: Path,
    target: Path,
    upscaler: PlaneUpscaler,
    options: VideoOptions | None = None,
    *,
    engine: Mapping[str, str] | None = None,
    resume: bool = False,
    progress: VideoProgress | None = None,
) -> VideoResult:
    """Upscale the main video stream; sound, subtitles, times, tags and chapters stay as they are.

    ``target`` appears whole or not at all. What a run that ends early has finished stays beside it,
    and ``resume`` goes on with it, if all that decides about the output is the same; ``engine``
    names what does on the upscaler's side. Raises OSError or ValueError with one clear line.
    """

    def encode(
        job: VideoJob,
        runs: list[range],
        sink: SegmentSink,
        advance: Callable[[], None],
        load: StageLoad,
    ) -> None:
        for segments in runs:
            encode_segments(job, segments, upscaler, sink, advance=advance, load=load)

    started = time.monotonic()
    return run_video(
        plan_video(source, target.suffix, upscaler.scale, options or VideoOptions()),
        target,
        encode,
        engine=engine,
        resume=resume,
        progress=progress,
        started=started,
    )


def run_video(
    job: VideoJob,
    target: Path,
    encode: Encode,
    *,
    engine: Mapping[str, str] | None = None,
    resume: bool = False,
    progress: VideoProgress | None = None,
    started: float | None = None,
) -> VideoResult:
    """Write a planned video, what is not finished of it by ``encode``; else as upscale_video.

    Its seconds count from ``started``, of the monotonic clock, which None sets to now.
    """
    start = time.monotonic() if started is None else started
    check_writable(job.source, target, job.target_info, job.options.encode)
    with Journal(journal_path(target), identity(job, engine or {}), resume=resume) as journal:
        resumed = sum(end.frames for end in journal.finished().values())
        load = StageLoad(*STAGES)
        if progress is not None:
            progress.start(job.info, job.target_info, resumed, load)
        advance = progress.advance if progress is not None else lambda: None
        encode(job, missing_segments(job, journal), journal, advance, load)
        shares = load.shares()
        result = finish_video(job, target, journal, resumed=resumed, started=start)
        return replace(result, stages=shares)


def plan_video(source: Path, suffix: str, scale: int, options: VideoOptions) -> VideoJob:
    """Read what is in a video and how it is cut.

    Raises OSError or ValueError if it cannot be upscaled to a file of that suffix.
    """
    timeline = read_timeline(source)
    if timeline.missing and not timeline.packets:
        raise ValueError(f"{source} is truncated before its first frame: {timeline.missing}")
    if timeline.missing and options.on_error == "stop":
        raise ValueError(
            f"{source} is truncated: {timeline.missing}; pass --on-error skip to keep what is there"
        )
    with VideoReader(source, on_error=options.on_error, deinterlace=options.deinterlace) as reader:
        info = located(reader.info, options.chroma_location)
        info = replace(info, frames=timeline.packets)
        notes = tuple(reader.notes)
    if timeline.missing:
        notes = (*notes, f"the file is truncated: {timeline.missing}")
    if options.deinterlace != "off":
        which = "all frames" if options.deinterlace == "all" else "frames flagged as interlaced"
        notes = (*notes, f"{which} were deinterlaced by bwdif")
    frame_info = output_info(info, scale, options)
    target = compared_info(frame_info, options.compare) if options.compare else frame_info
    encoding = choose_codec(suffix, target, options.encode)
    plan = plan_segments(timeline, options.segment_frames)
    return VideoJob(source, options, timeline, plan, info, frame_info, target, encoding, notes)


def identity(job: VideoJob, engine: Mapping[str, str]) -> dict[str, str]:
    """All that decides about the bytes of the output."""
    import av

    return {
        "input": fingerprint(job.source),
        "output": f"{job.target_info.width}x{job.target_info.height} {job.encoding.encoder}",
        "options": repr(asdict(job.options)),
        "PyAV": av.__version__,
        **engine,
    }


def fingerprint(path: Path) -> str:
    """Tells a file from another one, by its size and both ends."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(FINGERPRINT_BYTES))
        size = file.seek(0, 2)
        file.seek(max(size - FINGERPRINT_BYTES, 0))
        digest.update(file.read())
    return f"{digest.hexdigest()[:16]} of {size} bytes"


def missing_segments(job: VideoJob, journal: Journal) -> list[range]:
    """Runs of segments that are not finished yet."""
    finished = journal.finished()
    runs: list[range] = []
    for number in range(job.plan.count):
        if number in finished:
            continue
        if runs and runs[-1].stop == number:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return runs


def encode_segments(
    job: VideoJob,
    segments: range,
    upscaler: PlaneUpscaler,
    sink: SegmentSink,
    *,
    advance: Callable[[], None] = lambda: None,
    load: StageLoad | None = None,
) -> None:
    """Upscale and encode consecutive segments of a video into ``sink``.

    ``advance`` is called for each frame, ``load`` told how busy the stages are.
    """
    work = frame_stages(job.info, job.frame_info, upscaler)
    comparison = job.options.compare
    plain = FrameUpscaler(job.info, job.frame_info, BicubicUpscaler(upscaler.scale))
    with (
        job.open_reader() as reader,
        SegmentedEncoding(job.open_encoder, segments, sink) as encoding,
    ):

        def produce() -> Iterator[_Step[Prepared]]:
            for segment, frame in reader.frames(segments):
                yield _Step(segment, reader.damaged, frame, work.prepare(frame))

        def transform(step: _Step[Prepared]) -> _Step[Frame]:
            return _Step(step.segment, step.damaged, step.frame, work.upscale(step.made))

        def consume(step: _Step[Frame]) -> None:
            frame = work.finish(step.made)
            if comparison is not None:
                bicubic = plain.finish(plain.upscale(plain.prepare(step.frame)))
                frame = compare_frames(bicubic, frame, comparison)
            encoding.write(step.segment, step.damaged, frame)
            advance()

        run_stages(produce(), transform, consume, workers=upscaler.max_concurrency, load=load)
        encoding.finish(reader.damaged)


@dataclass(frozen=True)
class _Step(Generic[Made]):
    """A frame on its way through the stages."""

    segment: int
    # Damaged frames up to here.
    damaged: int
    frame: Frame
    made: Made


def finish_video(
    job: VideoJob, target: Path, journal: Journal, *, resumed: int = 0, started: float
) -> VideoResult:
    """Join the segments of a complete journal to ``target``; the journal goes."""
    ends = journal.finished().values()
    with written_beside(target, tag="joined") as partial:
        notes = join_segments(journal, job.source, partial, job.target_info, job.options.encode)
        kept = check_written(job.source, partial, job.target_info, sorted(journal.times()))
    journal.remove()
    return VideoResult(
        frames=sum(end.frames for end in ends),
        resumed=resumed,
        damaged=sum(end.damaged for end in ends),
        width=job.target_info.width,
        height=job.target_info.height,
        encoder=job.encoding.encoder,
        chroma_location=_chroma_location(job.info, job.target_info),
        seconds=time.monotonic() - started,
        notes=(*notes_on(job.info, job.target_info), *kept, *notes, *job.notes),
    )


def located(info: VideoInfo, location: str | None) -> VideoInfo:
    """What is read, with its chroma where the user says it lies."""
    if location is None and not info.layout.is_subsampled:
        return replace(info, siting=Siting(), siting_reason=f"{BY_CUSTOM} most codecs")
    if location is None:
        return info
    return replace(info, siting=SITINGS[location], siting_reason=BY_USER)


def output_info(info: VideoInfo, scale: int, options: VideoOptions) -> VideoInfo:
    """What an upscaled video is like."""
    width, height = options.size or (info.width * scale, info.height * scale)
    matrix, colors = info.display_matrix, info.colors
    layout = wanted_layout(info.layout, options.encode.pixel_format, options.encode.alpha)
    if options.matrix is not None and colors.matrix == UNSPECIFIED:
        colors = replace(colors, matrix=options.matrix)
    colors = converted_tags(colors, info.layout, layout, options.matrix)
    return replace(
        info,
        width=width,
        height=height,
        layout=layout,
        colors=colors,
        aspect=output_aspect(info.aspect, info.size, (width, height)),
        display_matrix=matrix and tuple(scale_matrix(matrix, info.size, (width, height))),
    )


def notes_on(source: VideoInfo, target: VideoInfo) -> list[str]:
    """What a viewer should know about an output of this kind."""
    notes = [f"{text} is left out" for text in source.left_out]
    stretch = Fraction(source.width * target.height, source.height * target.width)
    if source.aspect and target.aspect and abs(target.aspect / source.aspect / stretch - 1) > 0.01:
        notes.append(f"the sample aspect ratio {source.aspect} is more than a video can have")
    before, after = guessed_matrix(*source.size), guessed_matrix(*target.size)
    is_open = target.colors.matrix == UNSPECIFIED and source.layout.color_count == 3
    if is_open and before != after:
        notes.append(
            f"the input names no colour matrix; players take {before} for {source.width}x"
            f"{source.height}, {after} for {target.width}x{target.height}: name it with "
            "--color-matrix"
        )
    return notes


def _chroma_location(source: VideoInfo, target: VideoInfo) -> str | None:
    if not (source.layout.is_subsampled or target.layout.is_subsampled):
        return None
    return f"{source.siting.name}, {source.siting_reason}"
