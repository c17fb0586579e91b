"""What the zoo of clips holds, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from clip_surgery import (
    aspect_of,
    behead,
    move_edit,
    patch,
    put,
    repeat_edit,
    shorten_edit,
    ticks_of,
    with_second_video,
)
from clip_zoo import PARAMETER_SETS, Sound, Spec, Text

Change = Callable[[Path], Path]

GAPS = (0, 1, 4, 5, 17, 18, 19, 37)
TWO_AAC = (Sound(language="eng", title="one", disposition=1), Sound(language="deu"))
CHAPTERS = ((0, 160, "one"), (160, 400, "zw\u00f6lf"))
ODD_TAGS = {"title": 'a "b" \u00e4\u6f22 \\ | ; = #', "comment": "two\nlines", "artist": "x" * 300}
HDR10 = (9, 9, 16, 1)
TURNS = {
    "90": (0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30),
    "180": (-(1 << 16), 0, 0, 0, -(1 << 16), 0, 64 << 16, 48 << 16, 1 << 30),
    "270": (0, -(1 << 16), 0, 1 << 16, 0, 0, 0, 64 << 16, 1 << 30),
    "flip-x": (-(1 << 16), 0, 0, 0, 1 << 16, 0, 64 << 16, 0, 1 << 30),
    "flip-y": (1 << 16, 0, 0, 0, -(1 << 16), 0, 0, 48 << 16, 1 << 30),
}


@dataclass(frozen=True)
class Case:
    """A clip, where it goes, and what is done to it first."""

    spec: Spec
    target: str = ".mp4"
    change: Change | None = None
    options: tuple[str, ...] = ()


ORDERED = {"preset": "ultrafast", "bf": "0", "crf": "12"}
SEVERAL_KEYS = PARAMETER_SETS | {"g": "12"}
OPEN_GOP = {"preset": "fast", "bf": "3", "x264-params": "open-gop=1:keyint=8:min-keyint=8"}
LIGHT = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
MASTERING = {"x265-params": f"log-level=none:hdr-opt=1:repeat-headers=1:{LIGHT}:max-cll=1000,400"}
LONG = Spec(pts=tuple(range(75)), options=SEVERAL_KEYS)
RAW = {"codec": "rawvideo", "options": {}}
MATROSKA = Spec(".mkv", time_base=Fraction(1, 1000), pts=tuple(range(0, 400, 40)))
AV1 = {"codec": "libsvtav1", "pixels": "yuv420p10le", "size": (64, 64)}
DEEP = {"codec": "libx265", "pixels": "yuv420p10le", "size": (96, 80)}

SQUARE = Spec(aspect=Fraction(4, 3))
GOOD: dict[str, Case] = {
    # Times.
    "constant-mp4": Case(Spec()),
    "constant-mov": Case(Spec(".mov"), ".mov"),
    "constant-mkv": Case(MATROSKA, ".mkv"),
    "constant-webm": Case(replace(MATROSKA, suffix=".webm", codec="libvpx-vp9"), ".webm"),
    "vp8": Case(replace(MATROSKA, suffix=".webm", codec="libvpx"), ".webm"),
    "ts": Case(Spec(".ts", sounds=(Sound(),)), ".mp4"),
    "ts-to-mkv": Case(Spec(".ts", sounds=(Sound(),)), ".mkv"),
    "ts-late": Case(Spec(".ts", sounds=(Sound(),), muxer={"output_ts_offset": "4000"}), ".mp4"),
    "ts-mpeg2": Case(Spec(".ts", codec="mpeg2video", sounds=(Sound("mp2"),)), ".mp4"),
    "avi-mpeg4": Case(Spec(".avi", codec="mpeg4", sounds=(Sound("libmp3lame"),)), ".mp4"),
    "avi-b-frames": Case(Spec(".avi"), ".mkv"),
    "avi-pcm": Case(
        Spec(".avi", codec="mjpeg", pixels="yuvj420p", sounds=(Sound("pcm_s16le"),)), ".mkv"
    ),
    "flv": Case(Spec(".flv", sounds=(Sound(),)), ".mp4"),
    "nut": Case(Spec(".nut", **RAW), ".mp4"),
    "mpg": Case(Spec(".mpg", codec="mpeg1video", sounds=(Sound("mp2"),)), ".mp4"),
    "mpg-vob": Case(Spec(".vob", codec="mpeg2video", sounds=(Sound("ac3"),)), ".mkv"),
    "wmv": Case(Spec(".wmv", codec="wmv2", sounds=(Sound("libmp3lame"),)), ".mkv"),
    "3gp": Case(Spec(".3gp", codec="h263", size=(176, 144)), ".mp4"),
    "h264-elementary": Case(Spec(".h264"), ".mp4"),
    "gif": Case(Spec(".gif", codec="gif", pixels="rgb8"), ".mkv"),
    "variable-mp4": Case(Spec(pts=GAPS, sounds=(Sound(),))),
    "variable-mp4-30000": Case(Spec(time_base=Fraction(1001, 30000), pts=GAPS), ".mov"),
    "variable-mkv": Case(replace(MATROSKA, pts=tuple(41 * p for p in GAPS)), ".mkv"),
    "variable-mkv-to-mp4": Case(replace(MATROSKA, pts=tuple(41 * p for p in GAPS)), ".mp4"),
    "variable-mp4-to-mkv": Case(
        Spec(time_base=Fraction(1, 90000), pts=tuple(4001 * p for p in GAPS)), ".mkv"
    ),
    "late-mp4": Case(Spec(pts=tuple(range(7, 17)), sounds=(Sound(),))),
    "late-mp4-silent": Case(Spec(pts=tuple(range(7, 17)))),
    "late-sound": Case(Spec(sounds=(Sound(start=0.2),))),
    "late-both": Case(Spec(pts=tuple(range(7, 17)), sounds=(Sound(start=0.2),))),
    "late-mkv": Case(replace(MATROSKA, pts=tuple(range(280, 680, 40)), sounds=(Sound(),)), ".mkv"),
    "late-mp4-to-mkv": Case(Spec(pts=tuple(range(7, 17)), sounds=(Sound("ac3"),)), ".mkv"),
    "ticks-90000": Case(Spec(time_base=Fraction(1, 90000), pts=tuple(range(0, 36036, 3003)))),
    "ticks-1000000": Case(
        Spec(
            time_base=Fraction(1, 1_000_000), pts=tuple(range(7, 400000, 33367)), sounds=(Sound(),)
        )
    ),
    "ticks-30030000": Case(
        Spec(
            time_base=Fraction(1, 30_030_000),
            pts=tuple(range(0, 9_009_000, 1_001_000)),
            sounds=(Sound(),),
        )
    ),
    "ticks-1001-30000": Case(Spec(time_base=Fraction(1001, 30000), rate=Fraction(30000, 1001))),
    "one-frame": Case(Spec(pts=(0,))),
    "one-frame-mkv": Case(replace(MATROSKA, pts=(0,)), ".mkv"),
    "two-frames": Case(Spec(pts=(0, 3), durations=(3, 5))),
    "two-frames-webm": Case(
        replace(MATROSKA, suffix=".webm", codec="libvpx-vp9", pts=(0, 40)), ".webm"
    ),
    "three-frames": Case(Spec(pts=(0, 3, 4), durations=(3, 1, 9))),
    "long-last-frame": Case(Spec(durations=(1,) * 9 + (40,))),
    "long-last-frame-mkv": Case(replace(MATROSKA, durations=(40,) * 9 + (1600,)), ".mkv"),
    "long-last-frame-hevc": Case(Spec(durations=(1,) * 9 + (40,), **{**DEEP})),
    "long-last-frame-ordered": Case(
        Spec(durations=(1,) * 9 + (40,), options={"preset": "ultrafast", "bf": "0"})
    ),
    "long-sound": Case(Spec(sounds=(Sound(seconds=3.0),))),
    "long-sound-mkv": Case(replace(MATROSKA, sounds=(Sound("libopus", seconds=3.0),)), ".mkv"),
    "short-sound": Case(Spec(sounds=(Sound(seconds=0.1),))),
    "late-sound-mkv-to-mp4": Case(
        replace(MATROSKA, sounds=(Sound(rate=44100, start=0.044),)), ".mp4"
    ),
    "opus-mkv-to-mp4": Case(replace(MATROSKA, sounds=(Sound("libopus"),)), ".mp4"),
    "opus-mp4-to-mkv": Case(Spec(sounds=(Sound("libopus"),)), ".mkv"),
    "timecode-mov": Case(Spec(".mov", video_tags={"timecode": "01:00:00:00"}), ".mov"),
    "variable-slow": Case(
        Spec(time_base=Fraction(1, 1000), pts=(0, 33, 67, 100, 500, 533, 1000, 1001, 1002)),
        options=("--preset", "veryslow"),
    ),
    "variable-hevc": Case(
        Spec(time_base=Fraction(1, 1000), pts=(0, 33, 67, 100, 500, 533, 1000), size=(96, 80)),
        options=("--codec", "hevc"),
    ),
    **{
        f"hevc-of-{count}": Case(
            Spec(pts=(3, 9, 10)[:count], size=(96, 80)), options=("--codec", "hevc")
        )
        for count in (1, 2, 3)
    },
    "hevc-of-tiny": Case(Spec(size=(16, 16)), options=("--codec", "hevc")),
    "vp9-in-mp4": Case(Spec(pts=GAPS), options=("--codec", "vp9")),
    "two-videos": Case(Spec(size=(32, 24)), ".mkv", lambda p: with_second_video(p)),
    "b-pyramid": Case(
        Spec(
            pts=tuple(range(20)),
            options={
                "preset": "medium",
                "bf": "8",
                "x264-params": "b-pyramid=normal:b-adapt=0:ref=8",
            },
        )
    ),
    "negative-cts": Case(Spec(muxer={"movflags": "negative_cts_offsets"}, sounds=(Sound(),))),
    "fragmented": Case(Spec(muxer={"movflags": "frag_keyframe+empty_moov"}, sounds=(Sound(),))),
    "faststart": Case(Spec(muxer={"movflags": "faststart"}, sounds=(Sound(),))),
    "no-edit-list": Case(Spec(muxer={"use_editlist": "0"}, sounds=(Sound(),))),
    "edit-cuts-start": Case(Spec(sounds=(Sound(),)), change=lambda p: patch(p, move_edit(3, 512))),
    "edit-cuts-part-of-a-frame": Case(
        Spec(time_base=Fraction(1, 12800), pts=tuple(range(0, 5120, 512))),
        change=lambda p: patch(p, move_edit(1, 700)),
    ),
    "edit-cuts-end": Case(Spec(sounds=(Sound(),)), change=lambda p: patch(p, shorten_edit)),
    "edit-repeats": Case(
        Spec(pts=tuple(range(2, 12)), options=ORDERED), change=lambda p: patch(p, repeat_edit)
    ),
    "fragments-late": Case(
        Spec(
            muxer={"movflags": "frag_keyframe+empty_moov", "output_ts_offset": "50"},
            sounds=(Sound(),),
        )
    ),
    "mkv-fine-ticks": Case(MATROSKA, ".mp4", change=lambda p: patch(p, ticks_of(100_001))),
    "mkv-finer-ticks": Case(MATROSKA, ".mkv", change=lambda p: patch(p, ticks_of(1000))),
    "nut-negative": Case(Spec(".nut", pts=tuple(range(-5, 5)), **RAW), ".mp4"),
    "nut-negative-to-mkv": Case(Spec(".nut", pts=tuple(range(-5, 5)), **RAW), ".mkv"),
    "long-gap": Case(Spec(pts=(0, 1, 2, 300_000, 300_001))),
    "long-gap-mkv": Case(replace(MATROSKA, pts=(0, 40, 80, 12_000_000, 12_000_040)), ".mkv"),
    "y4m": Case(Spec(".y4m", codec="wrapped_avframe"), ".mp4"),
    "ivf": Case(Spec(".ivf", codec="libvpx-vp9"), ".mkv"),
    "hevc-elementary": Case(Spec(".hevc", codec="libx265", size=(96, 80)), ".mp4"),
    "mpeg2-elementary": Case(Spec(".m2v", codec="mpeg2video"), ".mp4"),
    "mjpeg-elementary": Case(Spec(".mjpeg", codec="mjpeg", pixels="yuvj420p"), ".mp4"),
    "ts-beheaded": Case(
        replace(LONG, suffix=".ts", options=SEVERAL_KEYS), ".mp4", lambda p: behead(p, 0.37, 188)
    ),
    "open-gop": Case(Spec(pts=tuple(range(40)), options=OPEN_GOP), ".mp4"),
    "intra-refresh": Case(
        Spec(pts=tuple(range(40)), options=PARAMETER_SETS | {"x264-params": "intra-refresh=1"})
    ),
    "hevc-mov": Case(Spec(".mov", codec="libx265", size=(96, 80)), ".mov"),
    "vp9-mp4": Case(Spec(codec="libvpx-vp9"), ".mp4"),
    "mjpeg-mov": Case(Spec(".mov", codec="mjpeg", pixels="yuvj422p"), ".mov"),
    "mpeg4-b-avi": Case(Spec(".avi", codec="mpeg4", options={"bf": "2"}), ".mp4"),
    "utvideo-avi": Case(Spec(".avi", codec="utvideo", pixels="yuv422p"), ".mkv"),
    # Sound, text, the rest.
    "two-aac": Case(Spec(sounds=TWO_AAC)),
    "two-aac-to-mkv": Case(Spec(sounds=TWO_AAC), ".mkv"),
    "second-sound-default": Case(
        Spec(sounds=(Sound(language="eng"), Sound(language="deu", disposition=1)))
    ),
    "opus-mp4": Case(Spec(sounds=(Sound("libopus", "eng"), Sound("libopus", "fra")))),
    "flac-mp4": Case(Spec(sounds=(Sound("flac"),))),
    "mp3-mp4": Case(Spec(sounds=(Sound("libmp3lame"),))),
    "ac3-mp4": Case(Spec(sounds=(Sound("ac3"), Sound("eac3")))),
    "alac-mov": Case(Spec(".mov", sounds=(Sound("alac"),)), ".mov"),
    "pcm-mov": Case(Spec(".mov", sounds=(Sound("pcm_s16le"), Sound("pcm_s24le"))), ".mov"),
    "pcm-mov-to-mkv": Case(Spec(".mov", sounds=(Sound("pcm_s16le"),)), ".mkv"),
    "pcm-mkv": Case(replace(MATROSKA, sounds=(Sound("pcm_s16le"), Sound("pcm_f32le"))), ".mkv"),
    "many-sounds-mkv": Case(
        replace(
            MATROSKA,
            sounds=tuple(
                Sound(c, "eng", c)
                for c in ("aac", "libopus", "flac", "libmp3lame", "ac3", "eac3", "mp2", "alac")
            ),
        ),
        ".mkv",
    ),
    "vorbis-opus-webm": Case(
        replace(
            MATROSKA,
            suffix=".webm",
            codec="libvpx",
            sounds=(Sound("vorbis", "eng", layout="stereo"), Sound("libopus", "deu")),
        ),
        ".webm",
    ),
    "vorbis-ogv": Case(
        Spec(".ogv", codec="libvpx", sounds=(Sound("vorbis", layout="stereo"),)), ".mkv"
    ),
    "vorbis-mkv-to-mp4": Case(
        replace(MATROSKA, sounds=(Sound("vorbis", layout="stereo"),)), ".mp4"
    ),
    "dispositions-mkv": Case(
        replace(
            MATROSKA,
            sounds=(Sound(disposition=1), Sound(disposition=8), Sound(disposition=0x100)),
            texts=(Text(disposition=0x40), Text(disposition=0x80)),
        ),
        ".mkv",
    ),
    "dispositions-mp4": Case(
        Spec(
            sounds=(Sound(disposition=1), Sound(disposition=8), Sound(disposition=0x100)),
            texts=(Text("mov_text", disposition=0x40),),
        )
    ),
    "mov-text": Case(Spec(texts=(Text("mov_text", "eng"), Text("mov_text", "deu")))),
    "mov-text-to-mkv": Case(Spec(texts=(Text("mov_text", "eng"),)), ".mkv"),
    "subrip-mkv": Case(
        replace(
            MATROSKA, texts=(Text("subrip", "eng", "one"), Text("subrip", "deu", disposition=0x40))
        ),
        ".mkv",
    ),
    "subrip-to-mp4": Case(replace(MATROSKA, texts=(Text("subrip", "eng"),)), ".mp4"),
    "ass-mkv": Case(
        replace(
            MATROSKA,
            texts=(Text("ass", "eng"),),
            attachments=(("a.ttf", "font/ttf", b"font" * 99),),
        ),
        ".mkv",
    ),
    "pgs-mkv": Case(replace(MATROSKA, texts=(Text("hdmv_pgs_subtitle", "eng"),)), ".mkv"),
    "pgs-to-mp4": Case(replace(MATROSKA, texts=(Text("hdmv_pgs_subtitle", "eng"),)), ".mp4"),
    "attachments-mkv": Case(
        replace(
            MATROSKA,
            attachments=(
                ("a.ttf", "font/ttf", b"font" * 99),
                ("b \u00e4.bin", "application/octet-stream", bytes(range(256))),
            ),
        ),
        ".mkv",
    ),
    "attachments-to-mp4": Case(
        replace(MATROSKA, attachments=(("a.ttf", "font/ttf", b"font" * 99),)), ".mp4"
    ),
    "cover-mkv": Case(replace(MATROSKA, cover=True), ".mkv"),
    "cover-mp4": Case(Spec(cover=True)),
    "cover-mp4-to-mkv": Case(Spec(cover=True), ".mkv"),
    "cover-mkv-to-mp4": Case(replace(MATROSKA, cover=True), ".mp4"),
    "chapters-mp4": Case(Spec(chapters=CHAPTERS)),
    "chapters-mkv": Case(replace(MATROSKA, chapters=CHAPTERS), ".mkv"),
    "chapters-webm": Case(
        replace(MATROSKA, suffix=".webm", codec="libvpx", chapters=CHAPTERS), ".webm"
    ),
    "chapters-mkv-to-mp4": Case(replace(MATROSKA, chapters=CHAPTERS), ".mp4"),
    "chapters-mp4-to-mkv": Case(Spec(chapters=CHAPTERS, sounds=(Sound(),)), ".mkv"),
    "odd-tags-mp4": Case(Spec(tags=ODD_TAGS)),
    "odd-tags-mkv": Case(
        replace(
            MATROSKA,
            tags=ODD_TAGS | {"MY OWN TAG": "1"},
            video_tags={"title": "the \u00e4 picture", "language": "jpn"},
        ),
        ".mkv",
    ),
    "own-tags-to-mp4": Case(replace(MATROSKA, tags={"MY_OWN_TAG": "1"}), ".mp4"),
    "own-tags-mp4": Case(Spec(tags={"my_own_tag": "1"}, muxer={"movflags": "use_metadata_tags"})),
    "video-title-mp4": Case(Spec(video_tags={"title": "the picture", "language": "jpn"})),
    "creation-time": Case(Spec(tags={"creation_time": "2020-02-03T04:05:06.000000Z"})),
    "pcm-to-mp4": Case(Spec(".mov", sounds=(Sound("pcm_s16le"),)), ".mp4"),
    "pcm-avi-to-mp4": Case(Spec(".avi", codec="mpeg4", sounds=(Sound("pcm_s16le"),)), ".mp4"),
    "flac-mkv-to-mp4": Case(replace(MATROSKA, sounds=(Sound("flac"), Sound("ac3"))), ".mp4"),
    "webvtt": Case(
        replace(MATROSKA, suffix=".webm", codec="libvpx", texts=(Text("webvtt", "eng"),)), ".webm"
    ),
    "webvtt-to-mp4": Case(
        replace(MATROSKA, suffix=".webm", codec="libvpx", texts=(Text("webvtt", "eng"),)), ".mp4"
    ),
    "many-streams": Case(
        replace(MATROSKA, sounds=tuple(Sound(language=c * 3) for c in "abcdefghijkl")), ".mkv"
    ),
    "many-chapters": Case(
        replace(MATROSKA, chapters=tuple((i, i + 1, f"part {i}") for i in range(300))), ".mkv"
    ),
    "many-chapters-mp4": Case(Spec(chapters=tuple((i, i + 1, f"part {i}") for i in range(300)))),
    "alac-mkv-to-mp4": Case(replace(MATROSKA, sounds=(Sound("alac"),)), ".mp4"),
    "titles-to-m4v": Case(
        replace(MATROSKA, sounds=(Sound(title="the sound"),), video_tags={"title": "the film"}),
        ".m4v",
    ),
    "tags-to-mov": Case(replace(MATROSKA, tags={"description": "d", "track": "1/2"}), ".mov"),
    "phone-tags-to-mp4": Case(Spec(".mov", tags={"make": "a", "model": "b"}), ".mp4"),
    "languages-to-mov": Case(
        Spec(sounds=(Sound(language="deu"),), texts=(Text("mov_text", "deu"),)), ".mov"
    ),
    "forced-text-to-mov": Case(Spec(texts=(Text("mov_text", disposition=0x40),)), ".mov"),
    "untitled-chapters": Case(replace(MATROSKA, chapters=((0, 99, ""), (99, 400, ""))), ".mp4"),
    "late-chapters": Case(Spec(chapters=((500, 700, "late"), (700, 9000, "later")))),
    "latin-1-tags": Case(
        Spec(tags={"title": "caf__"}),
        change=lambda p: patch(p, put(b"caf__", "caf\u00e9\u00e8".encode("latin-1"))),
    ),
    "latin-1-tags-mkv": Case(
        replace(MATROSKA, tags={"title": "caf__"}),
        ".mkv",
        lambda p: patch(p, put(b"caf__", "caf\u00e9\u00e8".encode("latin-1"))),
    ),
    # Pictures.
    "stereo": Case(Spec(options=PARAMETER_SETS | {"x264-params": "frame-packing=3"})),
    "hdr10-mastering": Case(Spec(colors=HDR10, options=MASTERING, **DEEP)),
    "hdr10-mastering-mkv": Case(replace(MATROSKA, colors=HDR10, options=MASTERING, **DEEP), ".mkv"),
    "prores-tags": Case(
        Spec(".mov", codec="prores_ks", pixels="yuv422p10le", colors=HDR10), ".mov"
    ),
    "ffv1-tags": Case(Spec(".mkv", codec="ffv1", colors=(6, 5, 6, 2)), ".mkv"),
    "vp8-tags": Case(
        replace(MATROSKA, suffix=".webm", codec="libvpx", colors=(1, 1, 1, 1)), ".webm"
    ),
    "vp9-tags": Case(
        replace(MATROSKA, suffix=".webm", codec="libvpx-vp9", colors=(9, 9, 16, 1)), ".webm"
    ),
    "mpeg4-tags": Case(Spec(".mov", codec="mpeg4", colors=(6, 6, 6, 1)), ".mov"),
    "hlg-to-mov": Case(Spec(colors=(9, 9, 18, 1), **DEEP), ".mov"),
    "ten-bits": Case(Spec(**DEEP)),
    "ten-bits-mkv": Case(replace(MATROSKA, **DEEP), ".mkv"),
    "ten-bits-h264": Case(Spec(pixels="yuv420p10le")),
    "ten-bits-av1": Case(replace(MATROSKA, **AV1), ".mkv"),
    "ten-bits-av1-mp4": Case(Spec(**AV1)),
    "twelve-bits": Case(Spec(**{**DEEP, "pixels": "yuv422p12le"}), ".mkv"),
    "prores": Case(Spec(".mov", codec="prores_ks", pixels="yuv422p10le", options={}), ".mov"),
    "prores-4444": Case(Spec(".mov", codec="prores_ks", pixels="yuva444p10le", options={}), ".mov"),
    "full-range": Case(Spec(colors=(1, 1, 1, 2))),
    "full-range-mjpeg": Case(Spec(".avi", codec="mjpeg", pixels="yuvj420p"), ".mp4"),
    "full-range-vp9": Case(
        replace(MATROSKA, suffix=".webm", codec="libvpx-vp9", colors=(1, 1, 1, 2)), ".webm"
    ),
    "yuv422": Case(Spec(pixels="yuv422p")),
    "yuv444": Case(Spec(pixels="yuv444p")),
    "yuv411": Case(Spec(".mkv", codec="ffv1", pixels="yuv411p"), ".mkv"),
    "grey": Case(Spec(".mkv", codec="ffv1", pixels="gray"), ".mkv"),
    "grey-h264": Case(Spec(pixels="gray")),
    "grey-16": Case(Spec(".mkv", codec="ffv1", pixels="gray16le"), ".mkv"),
    "rgb-h264": Case(Spec(codec="libx264rgb", pixels="rgb24")),
    "rgb-ffv1": Case(Spec(".mkv", codec="ffv1", pixels="bgr0"), ".mkv"),
    "alpha-qtrle": Case(Spec(".mov", codec="qtrle", pixels="argb", options={}), ".mov"),
    "alpha-ffv1": Case(Spec(".mkv", codec="ffv1", pixels="yuva420p"), ".mkv"),
    "alpha-vp9": Case(
        replace(MATROSKA, suffix=".webm", codec="libvpx-vp9", pixels="yuva420p"), ".webm"
    ),
    "odd-size": Case(Spec(size=(63, 47), pixels="yuv444p")),
    "odd-size-vp9": Case(
        replace(MATROSKA, suffix=".webm", codec="libvpx-vp9", size=(63, 47)), ".webm"
    ),
    "odd-size-ffv1": Case(Spec(".mkv", codec="ffv1", size=(63, 47)), ".mkv"),
    "tiny-size": Case(Spec(".mkv", codec="ffv1", size=(2, 2)), ".mkv"),
    "aspect-mp4": Case(Spec(aspect=Fraction(16, 11))),
    "aspect-mkv": Case(replace(MATROSKA, aspect=Fraction(16, 11)), ".mkv"),
    "aspect-mkv-to-mp4": Case(replace(MATROSKA, aspect=Fraction(16, 11)), ".mp4"),
    "aspect-webm": Case(
        replace(MATROSKA, suffix=".webm", codec="libvpx-vp9", aspect=Fraction(4, 3)), ".webm"
    ),
    "aspect-fine": Case(SQUARE, change=lambda p: patch(p, aspect_of(65537, 65536))),
    "aspect-wide": Case(SQUARE, change=lambda p: patch(p, aspect_of(2**31 - 1, 1))),
    "aspect-tall": Case(SQUARE, change=lambda p: patch(p, aspect_of(1, 2**31 - 1))),
    "aspect-none": Case(SQUARE, change=lambda p: patch(p, aspect_of(0, 0))),
    "hdr-tags": Case(Spec(colors=HDR10, **DEEP)),
    "hdr-tags-mkv": Case(replace(MATROSKA, colors=HDR10, **DEEP), ".mkv"),
    "hdr-tags-av1": Case(replace(MATROSKA, colors=HDR10, **AV1), ".mkv"),
    "bt709-mov": Case(Spec(".mov", colors=(1, 1, 1, 1)), ".mov"),
    "bt601-mkv": Case(replace(MATROSKA, colors=(6, 6, 6, 1)), ".mkv"),
    **{f"turn-{name}": Case(Spec(matrix=turn)) for name, turn in TURNS.items()},
    **{
        f"turn-{name}-mov-to-mkv": Case(Spec(".mov", matrix=turn), ".mkv")
        for name, turn in TURNS.items()
    },
    "turn-and-aspect": Case(Spec(matrix=TURNS["90"], aspect=Fraction(4, 3))),
    # Broken, but right in the end.
    "mkv-named-mp4": Case(
        replace(MATROSKA, sounds=(Sound(),)), change=lambda p: p.rename(p.with_suffix(".mp4"))
    ),
    "garbage-behind-mp4": Case(
        Spec(), change=lambda p: patch(p, lambda d: d.extend(b"garbage" * 99))
    ),
}

# What may be refused, but not be changed.
MAY_BE_REFUSED = frozenset(
    {"gif", "prores-4444", "yuv411", "grey-16", "rgb-h264", "rgb-ffv1", "alpha-qtrle"}
    | {"alpha-ffv1", "alpha-vp9", "aspect-wide", "aspect-tall"}
)
