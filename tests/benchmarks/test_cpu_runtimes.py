from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cpu_runtimes
import pytest
from native_support import make_native_bundle, seed_model

QUICK = ["--size", "32x24", "--threads", "1", "--rounds", "1", "--seconds", "0.01"]


@pytest.mark.usefixtures("needs_core")
def test_native_engine_and_onnxruntime_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "record.json"
    runtimes = ["--runtimes", "native,onnxruntime", "--precision", "fp32,int8"]
    assert cpu_runtimes.main([*QUICK, *runtimes, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    *table, last = printed.out.splitlines()
    record = json.loads(last)
    assert json.loads(out.read_text()) == record
    assert record["missing"] == {}
    assert record["settings"] | {"rounds": 1, "burst_s": 0.01, "seed": 0} == record["settings"]
    assert record["device"]["cores"] >= 1
    (section,) = record["sections"]
    assert (section["size"], section["threads"]) == ([32, 24], 1)
    assert section["left_out"] == {}
    rows = section["rows"]
    names = {(row["runtime"], row["precision"]) for row in rows}
    assert names == {(r, p) for r in ("native", "onnxruntime") for p in ("fp32", "int8")}
    for row in rows:
        assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["psnr_db"] > (100 if row["precision"] == "fp32" else 35)
        assert row["version"]
        assert row["peak_mb"] > row["idle_mb"] > 0
    native = {row["precision"]: row for row in rows if row["runtime"] == "native"}
    for precision, best in section["best_others"].items():
        assert best["runtime"] == "onnxruntime"
        ratio = best["median_ms"] / native[precision]["median_ms"]
        assert best["to_native"] == pytest.approx(ratio, rel=0.1)
    assert set(section["best_others"]) == {"fp32", "int8"}
    assert table[1].startswith("fsrcnn-x2.esr: fsrcnn_residual x2, 32x24, 1 thread on CPU ")
    assert sum(line.startswith("onnxruntime ") for line in table) == len(rows) - 2
    assert "heat 1/" in printed.err


def test_json_leaves_one_line_and_missing_runtimes_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sections: list[tuple[str, ...]] = []

    def run_section(subject: Any, threads: int, settings: Any, say: Any) -> dict[str, Any]:
        sections.append((subject.bundle.name, *subject.frame.shape, threads, settings.runtimes))
        say("not to be seen")
        return {"left": "out"}

    monkeypatch.setitem(cpu_runtimes.PACKAGES, "ncnn", ("no_such_package.at_all", "ncnn"))
    monkeypatch.setattr(cpu_runtimes, "run_section", run_section)
    monkeypatch.setattr(cpu_runtimes, "usable_cpus", lambda: frozenset(range(8)))
    bundles = [str(make_native_bundle(tmp_path / n, seed_model("x2_fp32"))) for n in "ab"]
    options = ["--size", "8x6,4x2", "--threads", "2,1,2", "--runtimes", "opencv,ncnn", "--json"]
    assert cpu_runtimes.main([*bundles, *options]) == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert printed.out.count("\n") == 1
    assert printed.err == ""
    assert record["missing"] == {"ncnn": "ncnn is not installed"}
    frames = [(6, 8), (2, 4)]
    assert sections == [(n, *f, t, ("opencv",)) for n in "ab" for f in frames for t in (2, 1)]


def test_a_bundle_that_is_none_is_one_line_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_runtimes, "run_section", lambda *_: pytest.fail("too early"))
    fit = make_native_bundle(tmp_path / "fit", seed_model("x2_fp32"))
    assert cpu_runtimes.main([str(fit), str(tmp_path / "none.esr"), *QUICK]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: bundle ")
    assert printed.err.count("\n") == 1


def test_nothing_to_run_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cpu_runtimes.PACKAGES, "ncnn", ("no_such_package", "ncnn"))
    assert cpu_runtimes.main([*QUICK, "--runtimes", "ncnn"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "skipped  ncnn: ncnn is not installed",
        "error: no case runs",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--size 640", "'640' is not WxH"),
        ("--size 8x8,", "'' is not WxH"),
        ("--threads 0", "--threads '0' is not a number from 1 to 3"),
        ("--threads 1,4", "--threads '4' is not a number from 1 to 3"),
        ("--threads two", "--threads 'two'"),
        ("--runtimes native,tensorflow", "--runtimes 'tensorflow' is not of native, "),
        ("--precision fp16", "--precision 'fp16' is not of fp32, bf16, int8"),
        ("--isa sse", "--isa 'sse' is not of auto, scalar, "),
        ("--rounds 0", "--rounds and --attempts must be at least 1"),
        ("--attempts 0", "--rounds and --attempts must be at least 1"),
        ("--seconds 0", "--seconds must be above 0 and at most 60"),
        ("--seconds nan", "--seconds must be above 0 and at most 60"),
        ("--seconds inf", "--seconds must be above 0 and at most 60"),
        ("--out no/such/folder/record.json", "there is no folder no/such/folder"),
    ],
)
def test_contradictions_are_misuse(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    message: str,
) -> None:
    monkeypatch.setattr(cpu_runtimes, "usable_cpus", lambda: frozenset(range(3)))
    with pytest.raises(SystemExit) as stopped:
        cpu_runtimes.parse_args(options.split())
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_options_are_read_in_the_order_of_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_runtimes, "usable_cpus", lambda: frozenset(range(2)))
    args = cpu_runtimes.parse_args(["--runtimes", "torch,native,torch", "--isa", "avx2,auto"])
    assert args.runtimes == ("native", "torch")
    assert args.isa == ("auto", "avx2")
    assert args.threads == [1, 2]
    assert args.sizes == [(640, 360)]
    assert args.bundles == [cpu_runtimes.SHIPPED]
    monkeypatch.setattr(cpu_runtimes, "usable_cpus", lambda: frozenset({0}))
    assert cpu_runtimes.parse_args([]).threads == [1]
