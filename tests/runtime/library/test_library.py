from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_support import make_tiny_bundle
from video_support import Clip, make_clip

from runtime import installed, upscale
from runtime.library.listing import is_playlist, list_folder, read_playlist
from runtime.library.workplace import EngineOptions
from runtime.picture import read_picture, write_picture

CLIP = Clip(width=64, height=48, pts=tuple(range(8)), has_audio=True)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.esr")


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON object, and stderr."""
    code = upscale.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    return code, json.loads(out.splitlines()[-1]) if out else {}, err


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def picture(path: Path) -> Path:
    write_picture(path, np.random.default_rng(5).integers(0, 256, (4, 5), dtype=np.uint8))
    return path


def outputs(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_folder_is_listed_pictures_first_with_what_lies_deeper(tmp_path: Path) -> None:
    touch(tmp_path, "b.MP4", "a.jpg", "note.txt", "sub/c.webp", "sub/d.mkv", ".hidden.png")
    library = list_folder(tmp_path, tmp_path / "out", ".mkv")
    assert [item.name for item in library.items] == ["a.jpg", "sub/c.webp", "b.MP4", "sub/d.mkv"]
    assert [item.kind for item in library.items] == ["picture", "picture", "video", "video"]
    assert library.items[3].target == tmp_path / "out" / "sub" / "d.mkv"
    assert library.ignored == 2


def test_what_lies_in_the_output_folder_is_not_input(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "out/a.png", "out/b.mp4")
    assert [item.name for item in list_folder(tmp_path, tmp_path / "out", ".mkv").items] == [
        "a.png"
    ]


def test_folder_without_picture_or_video_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "note.txt")
    with pytest.raises(ValueError, match="holds no picture or video"):
        list_folder(tmp_path, tmp_path / "out", ".mkv")


def test_video_that_cannot_be_written_as_it_is_gets_the_container_and_a_free_name(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "a.avi", "a.mkv", "a.ts", "b.mov", "a-2.mkv")
    library = list_folder(tmp_path, tmp_path / "out", ".mkv")
    assert {item.name: item.target.name for item in library.items} == {
        "a.avi": "a-3.mkv",
        "a.mkv": "a.mkv",
        "a.ts": "a-4.mkv",
        "b.mov": "b.mov",
        "a-2.mkv": "a-2.mkv",
    }
    assert library.notes == ("a.avi becomes a-3.mkv", "a.ts becomes a-4.mkv")


def test_playlist_names_files_relative_to_itself(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    path = tmp_path / "lists" / "l.m3u8"
    lines = ["\ufeff#EXTM3U", "#EXTINF:12,title", "sub/a b.mp4", "", "  ../x/c.mp4  "]
    path.write_text("\r\n".join([*lines, "/abs/c.mp4", "sub/a b.mp4"]), encoding="utf-8")
    library = read_playlist(path, tmp_path / "out", ".mkv")
    assert [(item.source, item.target) for item in library.items] == [
        (tmp_path / "lists/sub/a b.mp4", tmp_path / "out/sub/a b.mp4"),
        (tmp_path / "lists/../x/c.mp4", tmp_path / "out/c.mp4"),
        (Path("/abs/c.mp4"), tmp_path / "out/c-2.mp4"),
    ]
    assert library.notes == (
        "sub/a b.mp4 is named again in line 7; it is done once",
        "c.mp4 becomes c-2.mp4",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a.mp4\nhttps://example.org/b.mp4\n", "line 2: https://.* is a URL; only files"),
        (b"file:///a.mp4\n", "line 1: file://.* is a URL"),
        (b"# nothing\n\n", "names no file"),
        (b"a\0b.mp4\n", "line 1 holds a zero byte"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
    ],
)
def test_playlist_that_cannot_be_used_is_one_clear_error(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_playlist(tmp_path / "l.txt", tmp_path / "out", ".mkv")


def test_stream_of_parts_is_no_playlist(tmp_path: Path) -> None:
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n0.ts\n")
    (tmp_path / "b.m3u8").write_text("#EXTM3U\na.mp4\n")
    assert not is_playlist(tmp_path / "a.m3u8")
    assert is_playlist(tmp_path / "b.m3u8")
    assert not is_playlist(tmp_path / "b.mp4")


def test_output_that_would_replace_an_input_is_refused_before_any_work(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = picture(tmp_path / "a.png").read_bytes()
    (tmp_path / "l.txt").write_text("a.png\n")
    code, _, err = run(
        capsys, tmp_path / "l.txt", tmp_path, "--bundle", bundle, "--overwrite", "--quiet"
    )
    assert code == 1
    assert "a.png is an input itself; name another output folder" in err
    assert (tmp_path / "a.png").read_bytes() == before


def test_folder_of_pictures_and_videos_goes_on_after_failures(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "sub").mkdir(parents=True)
    picture(source / "p.png")
    make_clip(source / "a.mp4", CLIP)
    make_clip(source / "sub" / "b.avi", Clip(width=64, height=48, codec="mpeg4", options={}))
    (source / "bad.mp4").write_text("no video")
    (source / "notes.doc").touch()
    args = (source, target, "--bundle", bundle, "--preset", "fast")
    code, result, err = run(capsys, *args)
    assert (code, result["done"], result["frames"], result["ignored"]) == (1, 3, 1 + 8 + 12, 1)
    assert [entry["file"] for entry in result["failed"]] == ["bad.mp4"]
    assert "bad.mp4 is not a video" in result["failed"][0]["message"]
    assert (result["backend"], result["bundle"]) == ("onnxruntime", str(bundle))
    assert outputs(target) == ["a.mp4", "p.png", "sub/b.mkv"]
    assert "sub/b.avi becomes sub/b.mkv" in err
    assert "done: 3 files, 21 frames; left out: 0 exist, 1 of other kinds" in err
    assert "failed: bad.mp4: " in err
    assert err.endswith("error: 1 of 4 files failed\n")
    alone = tmp_path / "alone.mp4"
    assert run(capsys, source / "a.mp4", alone, *args[2:])[0] == 0
    assert (target / "a.mp4").read_bytes() == alone.read_bytes()


def test_second_run_leaves_what_is_there(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "p.png")
    make_clip(tmp_path / "in" / "a.mp4", CLIP)
    args = (tmp_path / "in", tmp_path / "out", "--bundle", bundle)
    run(capsys, *args)
    (tmp_path / "out" / "a.mp4").write_text("mine")
    code, result, err = run(capsys, *args)
    assert (code, result["done"], result["skipped_existing"]) == (0, 0, 2)
    assert f"{tmp_path / 'out' / 'a.mp4'} exists; left as it is" in err
    assert (tmp_path / "out" / "a.mp4").read_text() == "mine"
    code, result, _ = run(capsys, *args, "--overwrite")
    assert (code, result["done"], result["skipped_existing"]) == (0, 2, 0)
    assert (tmp_path / "out" / "a.mp4").stat().st_size > 1000


def test_playlist_with_a_missing_file_does_the_others(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "p.png")
    (tmp_path / "l.m3u").write_text("nothing.mp4\np.png\nsub\n")
    (tmp_path / "sub").mkdir()
    code, result, _ = run(capsys, tmp_path / "l.m3u", tmp_path / "out", "--bundle", bundle)
    assert (code, result["done"]) == (1, 1)
    assert [entry["file"] for entry in result["failed"]] == ["nothing.mp4", "sub"]
    assert "does not exist" in result["failed"][0]["message"]
    assert read_picture(tmp_path / "out" / "p.png").shape == (8, 10)


def test_each_file_gets_the_installed_bundle_that_suits_it_and_each_engine_opens_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "BUNDLES", tmp_path)
    for name in ("fsrcnn", "fsrcnn-h264"):
        make_tiny_bundle(tmp_path / f"{name}-x2.esr")
    opened: list[str] = []
    open_bundle = EngineOptions.open

    def counted(options: EngineOptions, bundle: Path) -> Any:
        opened.append(bundle.name)
        return open_bundle(options, bundle)

    monkeypatch.setattr(EngineOptions, "open", counted)
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.png", "b.png"):
        picture(source / name)
    coarse = Clip(width=256, height=192, options={"crf": "45"}, pts=(0, 1))
    for name in ("c.mp4", "d.mp4"):
        make_clip(source / name, coarse)
    make_clip(source / "e.mkv", Clip(codec="ffv1", pts=(0, 1)))
    code, result, _ = run(capsys, source, tmp_path / "out", "--preset", "fast")
    assert (code, result["done"]) == (0, 5)
    assert opened == ["fsrcnn-x2.esr", "fsrcnn-h264-x2.esr"]
    assert result["bundle"].split(", ") == [str(tmp_path / name) for name in opened]


def test_interrupted_video_of_a_folder_is_gone_on_with(
    tmp_path: Path,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in" / "a.mp4", Clip(width=64, height=48, pts=tuple(range(40))))
    make_clip(tmp_path / "in" / "b.mp4", CLIP)
    args = (tmp_path / "in", tmp_path / "out", "--bundle", bundle, "--segment-frames", "5")
    frames = 0

    def interrupt(self: object, count: int = 1) -> None:
        nonlocal frames
        frames += 1
        if frames == 30:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("runtime.library.run.LibraryRun.advance", interrupt)
        assert run(capsys, *args)[0] == 130
    assert outputs(tmp_path / "out") == ["a.mp4.unfinished"]
    code, result, _ = run(capsys, *args)
    assert (code, result["done"]) == (1, 1)
    assert "pass --resume" in result["failed"][0]["message"]
    code, result, err = run(capsys, *args, "--resume")
    assert (code, result["done"], result["skipped_existing"]) == (0, 1, 1)
    assert result["resumed"] >= 20
    assert f"going on after {result['resumed']} frames" in err
    assert outputs(tmp_path / "out") == ["a.mp4", "b.mp4"]


def test_bundle_that_does_not_open_ends_the_run_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "p.png")
    args = (tmp_path / "in", tmp_path / "out", "--bundle", tmp_path / "none.esr", "--quiet")
    code, _, err = run(capsys, *args)
    assert (code, err.count("\n")) == (1, 1)
    assert "none.esr does not exist" in err
    assert not (tmp_path / "out").exists()
