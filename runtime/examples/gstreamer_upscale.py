"""Upscale a video inside GStreamer: decoder -> appsink -> edge-sr -> appsrc -> encoder.

    python -m runtime.examples.gstreamer_upscale in.mp4 out.mp4 --bundle fsrcnn-x2-int8.esr

On a Jetson nvv4l2decoder and nvv4l2h264enc do the coding, elsewhere decodebin and x264enc;
--decoder and --encoder choose. Frames cross as I420 in system memory. Sound is not carried over:
runtime.upscale keeps it, with all other streams, times and tags. stdout ends with one JSON line.

Needs GStreamer 1.20 or newer with its Python bindings, which come from the system:
apt install python3-gi gir1.2-gst-plugins-base-1.0, and a venv with --system-site-packages.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.atomic import written_beside
from runtime.cli import run_main
from runtime.installed import installed_bundle
from runtime.resample import resize_plane
from runtime.upscaler import Upscaler
from runtime.video.color import Siting, chroma_phase

Plane = NDArray[Any]

# From a file to I420 in system memory. nvvidconv copies it out of the decoder's own memory.
DECODERS = {
    "nvidia": "parsebin ! nvv4l2decoder ! nvvidconv",
    "software": "decodebin ! videoconvert",
}
# From I420 to an H.264 stream. Jetson Orin Nano has no hardware encoder.
ENCODERS = {
    "nvidia": (
        "nvvidconv ! video/x-raw(memory:NVMM),format=NV12 ! nvv4l2h264enc bitrate={bits_per_second}"
    ),
    "software": "x264enc bitrate={kilobits_per_second} speed-preset=veryfast",
}
SITINGS = {"jpeg": Siting(is_left=False), "cosited": Siting(is_top=True)}
# Frames that wait on either side; a slower neighbour holds the faster one up.
QUEUED = 4
SECOND_NS = 10**9


@dataclass(frozen=True)
class Layout:
    """How GStreamer lays an I420 frame out in memory, in bytes."""

    width: int
    height: int
    offsets: tuple[int, ...]
    strides: tuple[int, ...]
    size: int

    def planes(self, data: Plane) -> tuple[Plane, ...]:
        """Y, U and V as views into the bytes of a frame."""
        sizes = [(self.height, self.width), *[(-(-self.height // 2), -(-self.width // 2))] * 2]
        return tuple(
            np.ndarray(size, np.uint8, data, offset, (stride, 1))
            for size, offset, stride in zip(sizes, self.offsets, self.strides, strict=False)
        )

    def packed(self, planes: Sequence[Plane]) -> bytes:
        """The bytes of a frame with these planes."""
        data = np.zeros(self.size, np.uint8)
        for place, plane in zip(self.planes(data), planes, strict=True):
            place[:] = plane
        return data.tobytes()


def upscale_planes(
    upscaler: Upscaler, planes: tuple[Plane, ...], siting: Siting
) -> tuple[Plane, ...]:
    """Luma through the network, chroma bicubically, by the engine itself where it can."""
    if upscaler.takes_frames:
        return upscaler.upscale_frame(planes, subsampling=(2, 2), location=siting.location)
    luma = upscaler.upscale_luma(planes[0])
    phases = {
        "phase_x": chroma_phase(2, siting.is_left),
        "phase_y": chroma_phase(2, siting.is_top),
    }
    height, width = (-(-side // 2) for side in luma.shape)
    chroma = []
    for plane in planes[1:]:
        rows, columns = (side * upscaler.scale for side in plane.shape)
        resized = resize_plane(plane, columns, rows, **phases)[:height, :width]
        chroma.append(np.clip(np.rint(resized), 0, 255).astype(np.uint8))
    return (luma, *chroma)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the program."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.examples.gstreamer_upscale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path)
    add("target", type=Path, help=".mp4, replaced if it exists")
    add("--bundle", type=Path, help="default: the installed x2 one")
    add("--precision", help="default: the bundle's")
    add("--backend", default="auto")
    add("--threads", type=int, default=0, help="0 is one per physical core")
    add("--decoder", choices=DECODERS, help="default: nvidia where it is installed")
    add("--encoder", choices=ENCODERS, help="default: nvidia where it is installed")
    add("--bitrate", type=int, default=8000, help="of the output, in kbit/s")
    add("--json", action="store_true", help="errors as JSON, too")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Upscale a file; returns the object of the JSON line."""
    gst, _ = load_gstreamer()
    if not args.source.is_file():
        raise FileNotFoundError(f"{args.source} does not exist")
    if args.target.suffix != ".mp4":
        raise ValueError(f"{args.target} is no .mp4, which this example writes")
    decoder = args.decoder or _first_installed(gst, DECODERS)
    encoder = args.encoder or _first_installed(gst, ENCODERS)
    bundle = args.bundle or installed_bundle()
    started = time.monotonic()
    with (
        Upscaler.open(
            bundle, backend=args.backend, precision=args.precision, threads=args.threads
        ) as upscaler,
        written_beside(args.target) as partial,
    ):
        reader = Reader(args.source, DECODERS[decoder])
        writer = Writer(partial, ENCODERS[encoder], args.bitrate)
        try:
            frames = _upscale_all(reader, upscaler, writer)
        finally:
            reader.stop()
            writer.stop()
        if not frames:
            raise ValueError(f"{args.source} holds no frame")
        info = upscaler.info
    seconds = time.monotonic() - started
    return {
        "input": str(args.source),
        "output": str(args.target),
        "frames": frames,
        "seconds": round(seconds, 3),
        "fps": round(frames / seconds, 2),
        "backend": info.name,
        "precision": info.precision,
        "decoder": decoder,
        "encoder": encoder,
    }


def _upscale_all(reader: Reader, upscaler: Upscaler, writer: Writer) -> int:
    frames = 0
    for sample in reader.samples():
        caps, buffer = sample.get_caps(), sample.get_buffer()
        if frames == 0:
            writer.start(enlarged(caps, upscaler.scale))
        planes = layout_of(caps).planes(bytes_of(buffer))
        writer.write(upscale_planes(upscaler, planes, siting_of(caps)), buffer)
        frames += 1
    if frames:
        writer.finish()
    return frames


class Reader:
    """Decoded frames of a file."""

    def __init__(self, source: Path, decoder: str) -> None:
        gst, _ = load_gstreamer()
        self._pipeline = gst.parse_launch(
            f"filesrc name=file ! {decoder} ! video/x-raw,format=I420 ! "
            f"appsink name=frames sync=false max-buffers={QUEUED}"
        )
        self._pipeline.get_by_name("file").set_property("location", str(source))
        self._frames = self._pipeline.get_by_name("frames")

    def samples(self) -> Iterator[Any]:
        """GStreamer's samples until the end; RuntimeError if the pipeline fails."""
        gst, _ = load_gstreamer()
        self._pipeline.set_state(gst.State.PLAYING)
        while not self._frames.get_property("eos"):
            sample = self._frames.emit("try-pull-sample", SECOND_NS)
            if sample is not None:
                yield sample
            raise_error_of(self._pipeline)

    def stop(self) -> None:
        """Release the decoder."""
        self._pipeline.set_state(load_gstreamer()[0].State.NULL)


class Writer:
    """An .mp4 file of frames."""

    def __init__(self, target: Path, encoder: str, kilobits: int) -> None:
        gst, _ = load_gstreamer()
        words = encoder.format(bits_per_second=kilobits * 1000, kilobits_per_second=kilobits)
        self._pipeline = gst.parse_launch(
            f"appsrc name=frames format=time block=true max-buffers={QUEUED} max-bytes=0 ! "
            f"{words} ! h264parse ! mp4mux ! filesink name=file"
        )
        self._pipeline.get_by_name("file").set_property("location", str(target))
        self._frames = self._pipeline.get_by_name("frames")
        self._layout: Layout | None = None

    def start(self, caps: Any) -> None:
        """Begin a file of frames of these capabilities."""
        self._layout = layout_of(caps)
        self._frames.set_property("caps", caps)
        self._pipeline.set_state(load_gstreamer()[0].State.PLAYING)

    def write(self, planes: Sequence[Plane], source: Any) -> None:
        """A frame at the time of the buffer that it was made from."""
        gst, _ = load_gstreamer()
        assert self._layout is not None
        buffer = gst.Buffer.new_wrapped(self._layout.packed(planes))
        buffer.pts, buffer.duration = source.pts, source.duration
        answer = self._frames.emit("push-buffer", buffer)
        raise_error_of(self._pipeline)
        if answer != gst.FlowReturn.OK:
            raise RuntimeError(f"the encoder took no frame: {answer.value_nick}")

    def finish(self) -> None:
        """Wait until the file is complete."""
        gst, _ = load_gstreamer()
        self._frames.emit("end-of-stream")
        bus = self._pipeline.get_bus()
        message = bus.timed_pop_filtered(
            gst.CLOCK_TIME_NONE, gst.MessageType.EOS | gst.MessageType.ERROR
        )
        _raise_if_error(message)

    def stop(self) -> None:
        """Release the encoder."""
        self._pipeline.set_state(load_gstreamer()[0].State.NULL)


def load_gstreamer() -> tuple[Any, Any]:
    """The Gst and GstVideo modules; RuntimeError with advice if they are not installed."""
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstVideo", "1.0")
        from gi.repository import Gst, GstVideo
    except (ImportError, ValueError) as error:
        raise RuntimeError(
            f"GStreamer's Python bindings are not here ({error}); apt install python3-gi "
            "gir1.2-gst-plugins-base-1.0, and make the venv with --system-site-packages"
        ) from error
    Gst.init(None)
    return Gst, GstVideo


def layout_of(caps: Any) -> Layout:
    """GStreamer's own layout of frames of these capabilities."""
    info = load_gstreamer()[1].VideoInfo.new_from_caps(caps)
    return Layout(info.width, info.height, tuple(info.offset), tuple(info.stride), info.size)


def enlarged(caps: Any, scale: int) -> Any:
    """The same capabilities with more pixels: colour, aspect ratio and frame rate stay."""
    gst, video = load_gstreamer()
    info = video.VideoInfo.new_from_caps(caps)
    text = caps.to_string()
    for name, value in (("width", info.width), ("height", info.height)):
        text = text.replace(f"{name}=(int){value}", f"{name}=(int){value * scale}")
    return gst.Caps.from_string(text)


def siting_of(caps: Any) -> Siting:
    """Where chroma lies; left of two luma samples, as in H.264, if nothing is said."""
    site = caps.get_structure(0).get_string("chroma-site")
    return SITINGS.get(site, Siting())


def bytes_of(buffer: Any) -> Plane:
    """A copy of the bytes of a buffer."""
    return np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)


def raise_error_of(pipeline: Any) -> None:
    """RuntimeError if the pipeline has failed."""
    gst, _ = load_gstreamer()
    _raise_if_error(pipeline.get_bus().pop_filtered(gst.MessageType.ERROR))


def _raise_if_error(message: Any) -> None:
    if message is None or message.type != load_gstreamer()[0].MessageType.ERROR:
        return
    error, _ = message.parse_error()
    raise RuntimeError(f"GStreamer: {message.src.get_name()}: {error.message}")


def _first_installed(gst: Any, kinds: Mapping[str, str]) -> str:
    missing = []
    for kind, words in kinds.items():
        elements = re.findall(r"(?:^|! )(\w+)(?= |$)", words)
        absent = [element for element in elements if not gst.ElementFactory.find(element)]
        if not absent:
            return kind
        missing += absent
    raise RuntimeError(f"GStreamer lacks {', '.join(missing)} here")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
