"""What our code and its stand-in use of TensorRT exists in the real bindings, argument by argument.

``make tensorrt-bindings`` fetches them; their libraries are stubs here, which is enough to import.
"""

from __future__ import annotations

import enum
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorrt_double

ROOT = Path(__file__).resolve().parents[3]
BINDINGS = ROOT / "build" / "tensorrt-bindings"
VERSIONS = ("10.3", "10.13", "11.4")
UNDEFINED = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")

DESCRIBE = """
import json, re, sys
import tensorrt_bindings as trt
sys.modules["tensorrt"] = trt

def signatures(doc, name):
    # Of each overload: its arguments after self, as name and whether it has a default.
    found = []
    for text in re.findall(rf"\\b{name}\\((self.*?)\\) ->", doc or ""):
        arguments, depth = [""], 0
        for character in text:
            depth += (character in "[({<") - (character in "])}>")
            if character == "," and depth == 0:
                arguments.append("")
            else:
                arguments[-1] += character
        found.append([[x.split(":")[0].strip(), " = " in x] for x in arguments[1:]])
    return found

def describe(kind):
    facts = {"methods": {}, "properties": {}, "members": sorted(getattr(kind, "__members__", {}))}
    for name in dir(kind):
        value = inspect_static(kind, name)
        if isinstance(value, property):
            facts["properties"][name] = value.fset is not None
        elif callable(getattr(kind, name)):
            facts["methods"][name] = signatures(getattr(kind, name).__doc__, name)
    return facts

def inspect_static(kind, name):
    for base in kind.__mro__:
        if name in vars(base):
            return vars(base)[name]

wanted = json.loads(sys.argv[1])
found = {}
for name in wanted:
    kind = trt
    for part in name.split("."):
        kind = getattr(kind, part, None)
    found[name] = None if kind is None else describe(kind)
print(json.dumps({"version": trt.__version__, "classes": found}))
"""


def doubles() -> dict[str, type]:
    """Classes of the stand-in by their names in TensorRT."""
    found = {
        name: value
        for name, value in vars(tensorrt_double).items()
        if inspect.isclass(value) and value.__module__ == "tensorrt_double" and name[0] != "_"
    }
    return {**found, "ILogger.Severity": tensorrt_double.ILogger.Severity}


def enums() -> dict[str, type[enum.IntEnum]]:
    return {name: kind for name, kind in doubles().items() if issubclass(kind, enum.IntEnum)}


def classes() -> dict[str, type]:
    return {name: kind for name, kind in doubles().items() if name not in enums()}


@pytest.fixture(scope="session")
def stub_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("cc absent")
    folder = tmp_path_factory.mktemp("nvinfer")
    source = folder / "stub.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in UNDEFINED))
    for major in (10, 11):
        for library in LIBRARIES:
            name = f"lib{library}.so.{major}"
            command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name)]
            subprocess.run([*command, str(source)], check=True)
    return folder


def run_with(version: str, libraries: Path, code: str, *arguments: str) -> str:
    """Stdout of code beside the bindings of one version, in a process of its own."""
    folders = sorted(BINDINGS.glob(f"{version}*"))
    if not folders:
        pytest.skip("tensorrt bindings absent")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    environment["PYTHONPATH"] = os.pathsep.join([str(folders[-1]), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="session", params=VERSIONS)
def real(request: pytest.FixtureRequest, stub_libraries: Path) -> dict[str, Any]:
    wanted = json.dumps(sorted(doubles()))
    described = json.loads(run_with(request.param, stub_libraries, DESCRIBE, wanted))
    assert described["version"].startswith(request.param)
    result: dict[str, Any] = described["classes"]
    return result


def takes(theirs: list[tuple[str, bool]], ours: list[str]) -> bool:
    """Whether a real method can be called with our arguments: what it has beyond has defaults."""
    names = [name for name, _ in theirs]
    return names[: len(ours)] == ours and all(default for _, default in theirs[len(ours) :])


@pytest.mark.parametrize("name", sorted(classes()))
def test_methods_and_their_arguments_exist(name: str, real: dict[str, Any]) -> None:
    assert real[name] is not None
    checked = 0
    for method, function in vars(classes()[name]).items():
        if not inspect.isfunction(function) or (method.startswith("_") and method != "__init__"):
            continue
        known = real[name]["methods"]
        assert method in known, method
        if method == "__init__" and not known[method]:
            continue  # made by TensorRT alone
        ours = list(inspect.signature(function).parameters)[1:]
        assert any(takes(theirs, ours) for theirs in known[method]), (method, ours, known[method])
        checked += 1
    assert checked or name in ("IHostMemory", "ITensor")


@pytest.mark.parametrize("name", sorted(classes()))
def test_properties_exist_and_can_be_set_where_we_set_them(name: str, real: dict[str, Any]) -> None:
    settable = {"IBuilderConfig", "Runtime"}
    for attribute in getattr(classes()[name], "__annotations__", {}):
        assert attribute in real[name]["properties"], attribute
        if name in settable:
            assert real[name]["properties"][attribute], f"{attribute} cannot be set"


@pytest.mark.parametrize("name", sorted(enums()))
def test_enum_members_exist(name: str, real: dict[str, Any]) -> None:
    assert set(enums()[name].__members__) <= set(real[name]["members"])


OURS = """
import sys
import tensorrt_bindings as trt
sys.modules["tensorrt"] = trt
from runtime.backends import tensorrt_library as library
from runtime.backends import tensorrt_plan as plan
from runtime.errors import BackendError

module = library.import_tensorrt()
logger = library.logger_of(module)
logger.log(module.ILogger.Severity.ERROR, "kept \\n text")
assert logger.last_error == "kept text", logger.last_error
told = []
monitor = plan._monitor(module, lambda *what: told.append(what) or len(told) < 3)
monitor.phase_start("Building", "", 2)
assert monitor.step_complete("Building", 1)
assert not monitor.step_complete("Building", 2)
assert told == [("Building", 0, 2), ("Building", 1, 2), ("Building", 2, 2)], told
try:
    plan.build_plan(b"", plan.frame_profile(64, 48))
except BackendError as error:
    print(error)
try:
    library.open_engine(module, logger, b"")
except BackendError as error:
    print(error)
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_our_classes_derive_from_the_real_ones(version: str, stub_libraries: Path) -> None:
    lines = run_with(version, stub_libraries, OURS).splitlines()

    # The stub libraries make no builder and no runtime, as the real ones on a broken driver.
    assert len(lines) == 2
    assert all(line.startswith("TensorRT cannot start") for line in lines)


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_driver_the_backend_is_refused(version: str, stub_libraries: Path) -> None:
    code = """
import sys
import tensorrt_bindings as trt
sys.modules["tensorrt"] = trt
from runtime.errors import UnsupportedError
from runtime.installed import installed_bundle
from runtime.upscaler import Upscaler
from runtime.backends import cuda_driver
cuda_driver.LIBRARY = "libcuda-that-is-absent.so"
try:
    Upscaler.open(installed_bundle(), backend="tensorrt")
except UnsupportedError as error:
    print(error)
"""
    assert "no CUDA driver here" in run_with(version, stub_libraries, code)
