from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_support import make_native_bundle, seed_model
from pictures_support import write_pictures

from runtime import UnsupportedError, Upscaler, backends, info
from runtime.backends import BackendInfo, open_backend
from runtime.backends.native import NativeBackend
from runtime.installed import installed_bundle
from runtime.manifest import read_manifest, write_manifest

READY = installed_bundle()


class FakeBackend:
    """Opens everything but what it is told to refuse; runs bf16 as ``bf16_is``."""

    def __init__(self, name: str, refused: set[str], opened: list[Any], bf16_is: str) -> None:
        self.name, self.refused, self.opened, self.bf16_is = name, refused, opened, bf16_is

    def __call__(self, bundle: Path, manifest: Any, *, precision: str, **options: Any) -> Any:
        self.opened.append((self.name, precision))
        if precision in self.refused:
            raise UnsupportedError(f"no {precision}")
        runs = self.bf16_is if precision == "bf16" else precision
        self.info = BackendInfo(self.name, f"{self.name}-provider", "1", runs, "cpu", 1)
        return self


class Machine:
    """Two fake backends in place of the real ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.monkeypatch, self.folder = monkeypatch, folder
        self.opened: list[tuple[str, str]] = []

    def take(
        self,
        precisions: tuple[str, ...],
        default: str,
        *,
        native_refuses: set[str] | None = None,
        bf16_is: str = "bf16",
        has_cuda: bool = False,
        cpu: str = "AuthenticAMD",
        name: str = "auto",
        **options: Any,
    ) -> tuple[str, str]:
        refused = {"native": native_refuses or {"fp16"}, "onnxruntime": {"bf16"}}
        for backend, refuses in refused.items():
            fake = FakeBackend(backend, refuses, self.opened, bf16_is)
            self.monkeypatch.setitem(backends.BACKENDS, backend, fake)
        self.monkeypatch.setattr(backends, "has_cuda_provider", lambda: has_cuda)
        self.monkeypatch.setattr(backends, "cpu_vendor", lambda: cpu)
        bundle = make_native_bundle(self.folder, seed_model("x2_fp32"))
        manifest = replace(read_manifest(bundle), precisions=precisions, default_precision=default)
        options.setdefault("precision", None)
        taken = open_backend(name, bundle, manifest, **options).info
        return taken.name, taken.precision


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path / "n.esr")


def test_auto_prefers_the_native_engine(machine: Machine) -> None:
    assert machine.take(("fp32", "int8"), "int8") == ("native", "int8")


def test_auto_takes_onnx_runtime_for_what_the_native_engine_refuses(machine: Machine) -> None:
    assert machine.take(("fp32", "fp16"), "fp16") == ("onnxruntime", "fp16")
    assert machine.opened == [("native", "fp16"), ("onnxruntime", "fp16")]


def test_auto_leaves_the_work_to_a_gpu_that_onnx_runtime_was_installed_for(
    machine: Machine,
) -> None:
    assert machine.take(("fp32",), "fp32", has_cuda=True) == ("onnxruntime", "fp32")
    assert machine.take(("fp32",), "fp32", has_cuda=True, device="cpu") == ("native", "fp32")
    taken = machine.take(("fp32",), "fp32", has_cuda=True, name="native")
    assert taken == ("native", "fp32")


def test_on_a_gpu_the_native_engine_makes_fp16_of_any_bundle(machine: Machine) -> None:
    def tried(**options: Any) -> list[tuple[str, str]]:
        machine.opened.clear()
        machine.take(("fp32", "bf16", "int8"), "int8", device="cuda", **options)
        return machine.opened

    assert tried() == [("native", "fp16"), ("onnxruntime", "int8")]
    assert tried(native_refuses={"bf16"}) == [("native", "fp16")]
    assert tried(native_refuses={"bf16"}, name="native") == [("native", "fp16")]
    assert tried(precision="int8", native_refuses={"int8"})[0] == ("native", "int8")


@pytest.mark.parametrize(
    ("default", "options", "taken"),
    [
        ("fp32", {}, ("native", "bf16")),
        ("fp32", {"cpu": "GenuineIntel"}, ("native", "fp32")),
        ("fp32", {"cpu": "GenuineIntel", "precision": "bf16"}, ("native", "bf16")),
        ("fp32", {"precision": "fp32"}, ("native", "fp32")),
        ("fp32", {"bf16_is": "fp32"}, ("native", "fp32")),
        ("fp32", {"native_refuses": {"fp32", "bf16", "int8"}}, ("onnxruntime", "fp32")),
        ("int8", {}, ("native", "int8")),
        ("fp32", {"name": "native"}, ("native", "fp32")),
        ("fp32", {"has_cuda": True}, ("onnxruntime", "fp32")),
    ],
)
def test_bf16_is_chosen_for_an_fp32_bundle_alone(
    machine: Machine, default: str, options: dict[str, Any], taken: tuple[str, str]
) -> None:
    assert machine.take(("fp32", "bf16", "int8"), default, **options) == taken


def test_what_was_taken_and_why_not_the_others_is_logged(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "edge_sr.runtime"):
        machine.take(("fp32", "fp16"), "fp16")
    assert caplog.messages == [
        "not taken: native: no fp16",
        "backend onnxruntime in fp16 on onnxruntime-provider",
    ]


def test_bf16_that_runs_as_fp32_is_a_warning_to_who_asked_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeBackend("native", set(), [], bf16_is="fp32")
    monkeypatch.setitem(backends.BACKENDS, "native", fake)
    precisions = ("fp32", "bf16")
    bundle = make_native_bundle(tmp_path / "n.esr", seed_model("x2_fp32"), precisions=precisions)
    Upscaler.open(bundle)
    assert caplog.messages == []
    Upscaler.open(bundle, precision="bf16")
    assert caplog.messages == ["no bf16 instructions here: running fp32"]


@pytest.mark.parametrize("command", ["runtime.bench", "edge_sr.evaluate"])
def test_command_over_all_precisions_skips_what_this_cpu_cannot_run(
    command: str, tmp_path: Path
) -> None:
    pytest.importorskip("runtime._core", reason="this installation is without the native engine")
    pictures = write_pictures(tmp_path / "pictures", 1, height=40, width=40)
    precisions = ("fp32", "bf16", "int8")
    bundle = make_native_bundle(tmp_path / "n.esr", seed_model("x2_int8"), precisions=precisions)
    options = {
        "runtime.bench": "--size 16x16 --samples 1 --seconds 0 --tile-size 0",
        "edge_sr.evaluate": f"--data {pictures}",
    }[command].split()

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", command, str(bundle), *options, "--json", *more]
        environment = {**os.environ, "EDGE_SR_ISA": "avx2"}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    done = run()
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["results"]
    assert {row["precision"] for row in rows} - {"-"} == {"fp32", "int8"}
    assert done.stderr == "skipped bf16: this CPU has no bf16 instructions\n"
    refused = run("--precision", "bf16")
    assert refused.returncode == 1
    assert "no bf16 instructions" in json.loads(refused.stdout)["error"]["message"]


@pytest.mark.parametrize("threads", [-1, 257, 10**20])
def test_senseless_thread_count_is_refused(machine: Machine, threads: int) -> None:
    with pytest.raises(ValueError, match=f"threads {threads} must not be negative or more than 25"):
        machine.take(("fp32",), "fp32", threads=threads)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, "does not run fp16 on device cpu; choose fp32, bf16, int8"),
        ({"device": "cuda", "precision": "int8"}, "not run int8 on device cuda; choose fp16"),
    ],
)
def test_native_engine_refuses_what_it_cannot_do(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        Upscaler.open(READY, backend="native", **options)


def test_bundle_without_native_model_says_what_to_do(tmp_path: Path) -> None:
    bundle = make_native_bundle(tmp_path / "n.esr", seed_model("x2_fp32"))
    write_manifest(bundle, replace(read_manifest(bundle), files={}))
    with pytest.raises(UnsupportedError, match=r"holds no native model: .*build it again or use"):
        Upscaler.open(bundle, backend="native")


@pytest.fixture
def pure_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the extension."""
    monkeypatch.setitem(sys.modules, "runtime._core", None)


@pytest.mark.usefixtures("pure_python")
def test_without_the_extension_native_is_refused_and_auto_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(UnsupportedError, match="has no native engine; install edge-sr again"):
        Upscaler.open(READY, backend="native")
    with caplog.at_level(logging.INFO, "edge_sr.runtime"), Upscaler.open(READY) as upscaler:
        assert upscaler.info.name == "onnxruntime"
        assert not upscaler.takes_frames
        with pytest.raises(UnsupportedError, match="onnxruntime upscales luminance alone"):
            upscaler.upscale_frame((np.zeros((4, 4), np.uint8),), subsampling=(0, 0))
    assert "has no native engine" in caplog.messages[0]


@pytest.mark.usefixtures("pure_python")
def test_info_says_why_the_native_engine_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert info.main([str(READY)]) == 0
    shown = capsys.readouterr().out
    assert "native not for fp32" in shown
    assert "this installation has no native engine" in shown
    assert "onnxruntime 1." in shown


def test_info_lists_what_runs_where() -> None:
    pytest.importorskip("runtime._core", reason="this installation is without the native engine")
    manifest = read_manifest(READY)
    facts = info.backend_facts("native", READY, manifest)
    assert facts["runs"].keys() | facts["refuses"].keys() == set(manifest.precisions)
    assert facts["runs"]["int8"]
    assert "does not run fp16 on device cpu" in facts["refuses"]["fp16"]


def test_extension_that_cannot_be_loaded_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("GLIBC_9.9 not found")

    monkeypatch.setattr("runtime.backends.native.import_module", broken)
    with pytest.raises(UnsupportedError, match=r"cannot be loaded here: GLIBC_9\.9 not found"):
        NativeBackend(READY, read_manifest(READY), precision="fp32", threads=1, device="auto")
