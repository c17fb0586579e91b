from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edge_sr.__main__ import COMMANDS
from runtime import cache, engine
from runtime.installed import installed_bundle
from runtime.plan_cache import PlanCache

READY = str(installed_bundle())


def result_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result


def built(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert engine.main(["build", READY, *options]) == 0
    return result_of(capsys)


def test_both_are_commands_of_edge_sr() -> None:
    assert COMMANDS["engine"] == "runtime.engine"
    assert COMMANDS["cache"] == "runtime.cache"


def test_build_reports_precisions_and_keeps_the_plan(
    tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    result = built(capsys, "--size", "64x48")

    assert result["device"]["gpu"] == "Fake GPU"
    (one,) = result["results"]
    assert one["built"]
    assert Path(one["plan"]).is_file()
    assert one["shapes"] == [[1, 48, 64]] * 3
    assert {"name": "tail", "asked": "int8", "runs": "int8"} in one["layers"]


def test_build_prints_what_runs_in_which_precision(
    tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine.main(["build", READY, "--size", "64x48"]) == 0
    text = capsys.readouterr().out
    assert "convolutions: 1 fp32, 8 int8" in text

    assert engine.main(["build", READY, "--size", "64x48"]) == 0
    assert "already in the cache" in capsys.readouterr().out


def test_rebuild_builds_again(tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    built(capsys, "--size", "64x48")

    (one,) = built(capsys, "--size", "64x48", "--rebuild")["results"]

    assert one["built"]
    assert one["reason"] == "it was asked for"


def test_all_precisions_and_twins(tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    result = built(capsys, "--precision", "fp16,int8", "--deep", "--tile-size", "64")

    names = [one["graph"] for one in result["results"]]
    assert names == [
        "model.fp16.onnx",
        "model.fp16.f32.onnx",
        "model.int8.onnx",
        "model.int8.f32.onnx",
    ]
    assert result["results"][0]["shapes"] == [[1, 1, 1], [8, 64, 64], [8, 64, 64]]


def test_options_come_back(tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = built(capsys, "--size", "64x48", "--level", "5", "--workspace", "32")["results"]

    assert one["options"]["level"] == 5
    assert one["options"]["workspace_mib"] == 32


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--precision", "bf16"], "is not one of"),
        (["--tile-size", "0"], "at least 1"),
        (["--size", "64x48", "--tile-size", "64"], "one of them"),
        (["--batch", "0"], "not in 1..64"),
        (["--size", "64"], "is not WxH"),
    ],
)
def test_bad_options_are_refused(
    options: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        engine.main(["build", READY, *options])

    assert exit_.value.code == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--tile-size", "16"], "leaves no core with halo 8"),
        (["--dla", "0"], "no DLA core 0"),
        (["--workspace", "-1"], "must not be negative"),
    ],
)
def test_what_cannot_be_built_is_one_line(
    tensorrt: ModuleType, options: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine.main(["build", READY, "--json", *options]) == 1

    output = capsys.readouterr()
    assert text in output.err
    assert output.err.count("\n") == 1
    assert text in json.loads(output.out)["error"]["message"]


def test_interrupted_build_leaves_nothing(
    tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    import signal

    tensorrt.STATE.during_build = lambda: os.kill(os.getpid(), signal.SIGINT)

    assert engine.main(["build", READY, "--size", "64x48"]) == 130
    assert PlanCache().entries() == []


def test_without_tensorrt_it_says_so(
    cuda: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)

    assert engine.main(["build", READY]) == 1
    assert "TensorRT cannot be imported" in capsys.readouterr().err


def test_export_build_makes_the_engines_too(
    tensorrt: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from export import build

    out = str(tmp_path / "x2.esr")
    options = ["--out", out, "--no-html", "--backend", "tensorrt", "--size", "64x48"]

    assert build.main(options) == 0

    output = capsys.readouterr().out
    assert "convolutions: 1 fp32, 8 int8" in output
    (one,) = json.loads(output.splitlines()[-1])["engines"]
    assert one["graph"] == "model.int8.onnx"
    assert Path(one["plan"]).is_file()


def test_export_build_says_at_once_that_there_is_no_tensorrt(
    cuda: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    pytest.importorskip("torch")
    from export import build

    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    out = tmp_path / "x2.esr"

    assert build.main(["--out", str(out), "--backend", "tensorrt"]) == 1
    assert "TensorRT cannot be imported" in capsys.readouterr().err
    assert not out.exists()


# ---- edge-sr cache ----


def test_ls_shows_plans(tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    built(capsys, "--size", "64x48")
    built(capsys, "--tile-size", "64")

    assert cache.main(["ls"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert "fsrcnn_residual x2 model.int8.onnx 64x48  Fake GPU, TensorRT 10.3.0" in lines[0]
    assert "8 of 64x64" in lines[1]
    assert lines[2].startswith("2 plans, ")
    assert [plan["stale"] for plan in json.loads(lines[-1])["plans"]] == [False, False]


def test_prune_takes_damaged_and_stale_plans_alone(
    tensorrt: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (damaged,) = built(capsys, "--size", "64x48")["results"]
    Path(damaged["plan"]).write_bytes(b"")
    built(capsys, "--size", "32x24")
    monkeypatch.setattr(tensorrt, "__version__", "10.13.3")
    (good,) = built(capsys, "--size", "64x32")["results"]

    assert cache.main(["prune"]) == 0
    result = result_of(capsys)

    reasons = sorted(one["reason"] for one in result["removed"])
    assert reasons[0].startswith("damaged")
    assert reasons[1].startswith("of another GPU")
    assert result["kept"] == [Path(good["plan"]).name]


def test_prune_by_age(tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    (old,) = built(capsys, "--size", "64x48")["results"]
    built(capsys, "--size", "32x24")
    os.utime(old["plan"], (time.time() - 40 * 86400,) * 2)

    assert cache.main(["prune", "--older-than", "30"]) == 0

    assert [one["reason"] for one in result_of(capsys)["removed"]] == ["40 days old"]


def test_prune_all_leaves_an_empty_folder(
    tensorrt: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    built(capsys, "--size", "64x48")

    assert cache.main(["prune", "--all"]) == 0

    assert list(PlanCache().folder.iterdir()) == []


def test_without_a_gpu_prune_keeps_what_it_cannot_judge(
    tensorrt: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    built(capsys, "--size", "64x48")
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)

    assert cache.main(["prune"]) == 0

    output = capsys.readouterr()
    assert "plans of other machines are kept: TensorRT cannot be imported" in output.err
    assert len(json.loads(output.out.splitlines()[-1])["kept"]) == 1


def test_an_empty_cache_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cache.main(["ls", "--folder", str(tmp_path / "none"), "--json"]) == 0
    assert result_of(capsys)["plans"] == []


@pytest.mark.parametrize("action", ["ls", "prune"])
def test_a_file_is_no_cache(
    action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no cache")

    assert cache.main([action, "--folder", str(path)]) == 1

    assert "is not a folder" in capsys.readouterr().err
    assert path.read_bytes() == b"no cache"


@pytest.mark.parametrize("options", [["ls", "--all"], ["prune", "--older-than", "-1"], ["empty"]])
def test_bad_cache_options_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit):
        cache.main(options)
