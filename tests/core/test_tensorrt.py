"""Device tensorrt of the C API: compiled where TensorRT's headers are; its cache as Python sees it.

EDGE_SR_TENSORRT_INCLUDES names include folders, colons between them; each holds NvInfer.h and
NvOnnxParser.h of one TensorRT. TensorRT itself takes no part: the plugin is linked with empty
libraries in its place.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from core_support import RUNTIME, needs_compiler, run

from runtime import cache as cache_command
from runtime.backends.tensorrt_cache import PlanRequest, release_of
from runtime.backends.tensorrt_plan import PlanOptions, frame_profile
from runtime.manifest import read_manifest
from runtime.plan_cache import PlanCache, PlanKey

BUNDLE = RUNTIME / "bundles" / "fsrcnn-x2.esr"
SOURCES = RUNTIME / "core" / "src" / "backends" / "tensorrt"
PLUGIN = "libedge_sr_tensorrt.so"
CUDA = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
INCLUDES = [
    Path(text) for text in os.environ.get("EDGE_SR_TENSORRT_INCLUDES", "").split(":") if text
]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]

# What the plugin asks of TensorRT's libraries by name.
EMPTY_LIBRARIES = {
    "nvinfer": """
        void *createInferBuilder_INTERNAL(void *logger, int version) { return 0; }
        void *createInferRuntime_INTERNAL(void *logger, int version) { return 0; }
        int getInferLibMajorVersion(void) { return 10; }
        int getInferLibMinorVersion(void) { return 3; }
        int getInferLibPatchVersion(void) { return 0; }""",
    "nvonnxparser": """
        void *createNvOnnxParser_INTERNAL(void *net, void *logger, int version) { return 0; }""",
}

pytestmark = [pytest.mark.slow, needs_compiler]


@pytest.fixture(params=INCLUDES or [None], ids=lambda path: path.parent.name if path else "none")
def headers(request: pytest.FixtureRequest) -> Path:
    if request.param is None:
        pytest.skip("TensorRT headers absent")
    if not (CUDA / "include" / "cuda_runtime_api.h").exists():
        pytest.skip("CUDA headers absent")
    folder: Path = request.param
    return folder


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.cc")), ids=lambda path: path.name)
def test_source_compiles_without_a_warning(headers: Path, source: Path, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} absent")
    options: list[str | Path] = [
        "-std=c++17",
        "-fsyntax-only",
        *WARNINGS,
        "-I",
        RUNTIME / "core/src",
    ]
    run(compiler, *options, "-isystem", headers, "-isystem", CUDA / "include", source)


@pytest.fixture
def linked_plugin(headers: Path, tmp_path: Path) -> Path:
    """The plugin as CMake builds it, with empty libraries in TensorRT's place."""
    if not list(CUDA.glob("lib64/libcudart_static.a")):
        pytest.skip("CUDA's static runtime library absent")
    sdk, build = tmp_path / "sdk", tmp_path / "build"
    (sdk / "lib").mkdir(parents=True)
    (sdk / "include").symlink_to(headers)
    for name, source in EMPTY_LIBRARIES.items():
        (sdk / f"{name}.c").write_text(source)
        run("cc", "-shared", "-fPIC", sdk / f"{name}.c", "-o", sdk / "lib" / f"lib{name}.so")
    options = [f"-DTENSORRT_ROOT={sdk}", f"-DCUDAToolkit_ROOT={CUDA}"]
    options += ["-DEDGE_SR_CUDA=OFF", "-DEDGE_SR_WERROR=ON"]
    run("cmake", "-S", RUNTIME, "-B", build, *options)
    run("cmake", "--build", build, "--target", "edge_sr_tensorrt", "-j", "2")
    return build / "core" / PLUGIN


def test_plugin_offers_one_function_and_needs_no_toolkit(
    linked_plugin: Path, core_build: Path
) -> None:
    needed = run("readelf", "--dynamic", linked_plugin)
    assert "libnvinfer" in needed
    assert "libnvonnxparser" in needed
    assert "libcuda" not in needed
    assert run("nm", "-D", "--defined-only", linked_plugin).split()[2:] == ["esr_tensorrt_plugin"]
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("a driver is here")
    library = beside(linked_plugin.parent, core_build)
    assert refusal(library, "tensorrt") == (
        "device tensorrt is not offered: no NVIDIA driver is installed"
    )


# ---- Found and refused ----


class Options(ctypes.Structure):
    """esr_options."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("precision", ctypes.c_char_p),
        ("num_threads", ctypes.c_int32),
        ("tile_size", ctypes.c_int32),
        ("log", ctypes.c_void_p),
        ("log_user", ctypes.c_void_p),
        ("device", ctypes.c_char_p),
    )


def beside(folder: Path, core_build: Path) -> Path:
    """The library, copied into a folder of its own."""
    return Path(
        shutil.copy((core_build / "core" / "libedge_sr.so").resolve(), folder / "libesr.so")
    )


def refusal(library: Path, device: str) -> str:
    core = ctypes.CDLL(str(library))
    core.esr_last_error.restype = ctypes.c_char_p
    options = Options(struct_size=ctypes.sizeof(Options), device=device.encode())
    handle = ctypes.c_void_p()
    opened = core.esr_upscaler_open(
        str(BUNDLE).encode(), ctypes.byref(options), ctypes.byref(handle)
    )
    assert opened == 4
    assert not handle
    return str(core.esr_last_error().decode())


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_without_the_plugin_it_is_refused(device: str, core_build: Path, tmp_path: Path) -> None:
    text = refusal(beside(tmp_path, core_build), device)
    assert text.startswith(f"device {device} is not offered: {tmp_path}/libedge_sr_{device}.so: ")
    assert "plugin, which lies beside this library" in text


def test_library_that_the_plugin_lacks_is_named(core_build: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.c").write_text("int nothing;")
    for name, others in (("libvendor.so", []), (PLUGIN, [tmp_path / "libvendor.so"])):
        options = ["-shared", "-fPIC", "-Wl,--no-as-needed"]
        run("cc", *options, tmp_path / "empty.c", *others, "-o", tmp_path / name)
    (tmp_path / "libvendor.so").unlink()
    text = refusal(beside(tmp_path, core_build), "tensorrt")
    assert "libvendor.so: cannot open shared object file" in text
    assert "build the" not in text


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
@pytest.mark.parametrize("function", ["esr_{}_plugin", "another_{}"])
def test_plugin_of_another_release_is_refused(
    device: str, function: str, core_build: Path, tmp_path: Path
) -> None:
    source = f"const int table[] = {{999, 1}}; const int *{function.format(device)}(void)"
    (tmp_path / "plugin.c").write_text(source + "{ return table; }")
    plugin = tmp_path / f"libedge_sr_{device}.so"
    run("cc", "-shared", "-fPIC", tmp_path / "plugin.c", "-o", plugin)
    assert refusal(beside(tmp_path, core_build), device) == (
        f"device {device} is not offered: {plugin} is of another release; build it again"
    )


# ---- The cache ----


MACHINE = {
    "gpu": 'Orin "nvgpu" µ',
    "compute capability": "8.7",
    "CUDA": "12.6",
    "driver": "540.4.0",
    "TensorRT": release_of("10.3.0.26"),
}


def key_of(options: PlanOptions) -> PlanKey:
    manifest = read_manifest(BUNDLE)
    request = PlanRequest(BUNDLE, manifest, "model.int8.onnx", frame_profile(640, 360), options)
    return PlanKey(request.facts(), asdict(options), MACHINE)


def test_python_finds_plans_of_c(
    core_build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stem = run(core_build / "tests" / "tensorrt_cache_files", BUNDLE, tmp_path).strip()
    key, plans = key_of(PlanOptions()), PlanCache(tmp_path)
    assert key.stem == stem
    assert plans.load(key).plan == b"plan"
    assert plans.newest(key.request, MACHINE) == key
    assert plans.timing_cache(MACHINE) == b"t"

    assert cache_command.main(["ls", "--folder", str(tmp_path), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out.splitlines()[-1])["plans"]
    assert listed["plan"] == f"{stem}.plan"
    assert not listed["damage"]
    assert listed["created"] == pytest.approx(time.time(), abs=600)


def test_c_finds_plans_of_python_whatever_their_options(core_build: Path, tmp_path: Path) -> None:
    key = key_of(PlanOptions(level=5, version_compatible=True))
    PlanCache(tmp_path).store(key, b"a plan of Python")
    shown = run(core_build / "tests" / "tensorrt_cache_files", BUNDLE, tmp_path)
    assert shown.splitlines() == ["a plan of Python", key.stem]
