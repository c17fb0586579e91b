"""Broken and hostile inputs of ``runtime.upscale``: one clear line, and nothing is left."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clip_cases import DEEP, LONG, MATROSKA
from clip_check.facts import lumas, read_facts
from clip_surgery import cut, flip_bytes, patch, punch
from clip_zoo import PARAMETER_SETS, Spec, cover_png, make
from zoo_findings import assert_refused, marked, run

ROOT = Path(__file__).parents[3]
Hostile = Callable[[Path], Path]

LONG_MKV = replace(LONG, suffix=".mkv", time_base=Fraction(1, 1000), pts=tuple(range(0, 3000, 40)))
MPEG2 = {"codec": "mpeg2video", "time_base": None, "pts": tuple(range(75))}
PRORES = {"suffix": ".mov", "codec": "prores_ks", "pixels": "yuv422p10le"}
FRONT = replace(LONG, muxer={"movflags": "faststart"})


def cut_at(spec: Spec, share: float) -> Hostile:
    return lambda folder: cut(make(folder, spec), share)


def written(name: str, data: bytes) -> Hostile:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def without_pictures(folder: Path) -> Path:
    """Sound alone."""
    path = folder / "in.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cover_alone(folder: Path) -> Path:
    path = folder / "in.mp3"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=48000)
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        packets = []
        for _ in range(40):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), "fltp", "mono")
            frame.sample_rate = 48000
            packets += stream.encode(frame)
        packet = av.Packet(cover_png())
        packet.stream, packet.pts, packet.dts = cover, 0, 0
        container.mux([packet, *packets])
    return path.rename(folder / "in.mp4")


def of_two_sizes(folder: Path) -> Path:
    """A transport stream whose pictures grow half way."""
    first = make(folder, Spec(".ts"), "first")
    second = Spec(".ts", size=(96, 80), muxer={"output_ts_offset": "0.4"})
    joined = folder / "in.ts"
    joined.write_bytes(first.read_bytes() + make(folder, second, "second").read_bytes())
    return joined


def absurd_size(folder: Path) -> Path:
    """A header of 65535x65535 raw pixels."""
    path = make(folder, replace(MATROSKA, codec="ffv1", size=(320, 272), pts=(0, 40)))

    def change(data: bytearray) -> None:
        for tag, old in ((b"\xb0\x82", 320), (b"\xba\x82", 272)):
            place = data.index(tag + old.to_bytes(2, "big"))
            data[place + 2 : place + 4] = b"\xff\xff"

    return patch(path, change)


def interlaced(folder: Path) -> Path:
    options = PARAMETER_SETS | {"x264-params": "tff=1", "flags": "+ildct+ilme"}
    return make(folder, Spec(size=(64, 64), options=options))


def playlist(text: str) -> Hostile:
    def write(folder: Path) -> Path:
        make(folder, Spec(".ts"), "other")
        make(folder, Spec(".mp4"), "secret")
        (folder / "in.mp4").write_text(text.replace("FOLDER", str(folder)))
        return folder / "in.mp4"

    return write


KEY = "00112233445566778899aabbccddeeff"
CENC = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": KEY, "encryption_kid": KEY}
# Else the key stream begins at random, and now and then what it hides can be decoded.
CENC |= {"fflags": "+bitexact"}
HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\n{}\n#EXT-X-ENDLIST\n"
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 9999 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
    "<BaseURL>secret.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>"
)
HOSTILE: dict[str, Hostile] = {
    **{f"mp4-cut-{share}": cut_at(LONG, share) for share in (0.001, 0.1, 0.5, 0.9, 0.98)},
    **{f"front-cut-{share}": cut_at(FRONT, share) for share in (0.05, 0.3, 0.6, 0.9, 0.999)},
    **{f"mkv-cut-{share}": cut_at(LONG_MKV, share) for share in (0.01, 0.3, 0.6, 0.9)},
    "avi-cut": cut_at(replace(LONG, suffix=".avi", codec="mpeg4"), 0.6),
    "h264-hole": lambda folder: punch(make(folder, LONG), 40),
    "hevc-hole": lambda folder: punch(make(folder, replace(LONG, **DEEP)), 40),
    "mpeg2-hole": lambda folder: punch(make(folder, replace(LONG_MKV, **MPEG2)), 40),
    "vp9-hole": lambda folder: punch(make(folder, replace(LONG_MKV, codec="libvpx-vp9")), 60),
    "prores-hole": lambda folder: punch(make(folder, replace(LONG, **PRORES)), 40),
    "empty": written("in.mp4", b""),
    "text": written("in.mp4", b"I am a text, not a film.\n" * 50),
    "text-mkv": written("in.mkv", b"I am a text, not a film.\n" * 50),
    "zeros": written("in.mp4", bytes(100_000)),
    "picture-named-mp4": written("in.mp4", cover_png()),
    "mp3-with-cover": cover_alone,
    "encrypted": lambda folder: make(folder, Spec(muxer=CENC)),
    "sound-alone": without_pictures,
    "header-alone": lambda folder: make(folder, Spec(pts=())),
    "header-alone-mkv": lambda folder: make(folder, replace(MATROSKA, pts=())),
    "two-sizes": of_two_sizes,
    "absurd-size": absurd_size,
    "interlaced": interlaced,
    "hls-file": playlist(HLS.format("other.ts")),
    "hls-absolute": playlist(HLS.format("FOLDER/other.ts")),
    "hls-itself": playlist(HLS.format("in.mp4")),
    "hls-http": playlist(HLS.format("http://127.0.0.1:9/other.ts")),
    "concat-file": playlist("ffconcat version 1.0\nfile 'secret.mp4'\n"),
    "concat-itself": playlist("ffconcat version 1.0\nfile 'in.mp4'\n"),
    "concat-absolute": playlist("ffconcat version 1.0\nfile 'FOLDER/secret.mp4'\n"),
    "sdp": playlist(SDP),
    "dash": playlist(DASH),
}


@pytest.mark.parametrize(
    "name", marked(f"{name}-{on_error}" for name in HOSTILE for on_error in ("stop", "skip"))
)
def test_what_is_no_whole_video_is_refused(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    name, _, on_error = name.rpartition("-")
    source = HOSTILE[name](tmp_path)
    assert source.exists()
    target = target.with_suffix(".mkv" if source.suffix == ".mkv" else ".mp4")
    code, result, err = run(capsys, source, target, "--on-error", on_error)
    if on_error == "skip" and ("-cut" in name or "-hole" in name) and code == 0:
        frames, skipped = result["frames"], result["skipped"]
        assert 0 < frames < 75
        is_noted = any("truncated" in note for note in result["notes"])
        assert is_noted or frames + skipped == 75
        return
    assert_refused(code, err, target)
    if name == "concat-itself":
        assert "open files" not in err


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".webm"])
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_changed_bytes_end_in_a_file_or_in_one_line(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str], suffix: str, on_error: str
) -> None:
    codecs = {".avi": "mpeg4", ".webm": "libvpx"}
    spec = replace(LONG, suffix=suffix, codec=codecs.get(suffix, "libx264"), sounds=())
    source = patch(make(tmp_path, spec), flip_bytes(0.3, 0.7, 12))
    target = target.with_suffix(".webm" if suffix == ".webm" else ".mkv")
    code, result, err = run(capsys, source, target, "--on-error", on_error)
    if code:
        assert_refused(code, err, target)
        return
    assert err == ""
    assert on_error == "skip" or result["skipped"] == 0
    shown = read_facts(target, 0).video.times
    assert len(shown) == result["frames"]
    assert shown == tuple(sorted(set(shown)))


@pytest.mark.parametrize("name", marked(["kept-h264", "kept-mpeg4"]))
def test_what_is_left_after_skipping_shows_what_it_should(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    spec = LONG if name == "kept-h264" else replace(LONG, suffix=".avi", codec="mpeg4")
    source, target = make(tmp_path, spec), target.with_suffix(".mkv")
    facts = read_facts(source, 0)
    whole = dict(
        zip((round(time * 25) for time in facts.video.times), lumas(source, 0), strict=True)
    )
    assert run(capsys, punch(source, 40), target, "--on-error", "skip")[0] == 0
    times = read_facts(target, 0).video.times
    assert len(times) >= 40
    for time, luma in zip(times, lumas(target, 0), strict=True):
        expected = whole[round(time * 25)]
        reduced = luma.reshape(*expected.shape[:1], 2, -1, 2).mean((1, 3))
        assert np.mean((reduced - expected) ** 2) < 60, f"at {float(time):.3f} s"


@pytest.mark.parametrize("kind", marked(["fifo", "socket", "folder", "device", "unreadable"]))
def test_input_that_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, target: Path, kind: str
) -> None:
    source = tmp_path / "in.mp4"
    if kind == "fifo":
        os.mkfifo(source)
    if kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(source))
    if kind == "folder":
        source.mkdir()
    if kind == "device":
        source.symlink_to("/dev/zero")
    if kind == "unreadable":
        make(tmp_path, Spec()).chmod(0)
        if os.access(source, os.R_OK):
            pytest.skip("this user reads everything")
    command = [sys.executable, "-m", "runtime.upscale", str(source), f"{target}.mp4", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=4)
    assert_refused(done.returncode, done.stderr, target)
