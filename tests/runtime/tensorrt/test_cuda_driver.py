from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runtime.backends import cuda_driver as module
from runtime.backends.cuda_driver import PROTOTYPES, Copy2D, cuda_driver, driver_release
from runtime.errors import BackendError, DeviceMemoryError, UnsupportedError

HEADERS = [Path("/usr/local/cuda/include"), Path("/usr/include")]


def test_facts_of_the_device(cuda: Any) -> None:
    facts = cuda_driver().facts()

    assert (facts.name, facts.compute_capability, facts.cuda) == ("Fake GPU", "8.7", "12.6")


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16\nGCC", "560.35.03"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Rel", "540.4.0"),
        ("nothing", ""),
        (None, ""),
    ],
)
def test_release_of_the_driver(tmp_path: Path, text: str | None, release: str) -> None:
    path = tmp_path / "version"
    if text is not None:
        path.write_text(text)

    assert driver_release(path) == release


def test_no_device_is_refused(cuda: Any) -> None:
    cuda.fake_devices(0)

    with pytest.raises(UnsupportedError, match="sees no device"):
        cuda_driver()


def test_a_driver_that_fails_is_refused(cuda: Any) -> None:
    cuda.fake_fail(b"cuInit", 0, 100)

    with pytest.raises(UnsupportedError, match=r"no CUDA device here: cuInit failed"):
        cuda_driver()


def test_no_driver_is_refused(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIBRARY", "libcuda-that-is-absent.so")

    with pytest.raises(UnsupportedError, match="no CUDA driver here"):
        cuda_driver()


def test_an_old_driver_is_refused(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROTOTYPES", {**PROTOTYPES, "cuOfTomorrow": ()})

    with pytest.raises(UnsupportedError, match="too old: it has no cuOfTomorrow"):
        cuda_driver()


def test_no_memory_is_an_error_of_its_own(cuda: Any) -> None:
    driver = cuda_driver()
    cuda.fake_fail(b"cuMemFree_v2", 0, 2)
    with pytest.raises(DeviceMemoryError, match="out of memory"):
        driver.call("cuMemFree_v2", 0)
    cuda.fake_fail(b"cuMemFree_v2", 0, 1)
    with pytest.raises(BackendError) as error:
        driver.call("cuMemFree_v2", 0)
    assert not isinstance(error.value, DeviceMemoryError)


def test_prototypes_have_the_sizes_of_the_header(tmp_path: Path) -> None:
    """Each argument is as wide as the header's, and there are as many."""
    include = next((folder for folder in HEADERS if (folder / "cuda.h").is_file()), None)
    compiler = shutil.which("c++")
    if include is None or compiler is None:
        pytest.skip("cuda.h or c++ absent")
    lines = [
        "#include <cuda.h>",
        "#include <cstddef>",
        "template <class F> struct Of;",
        "template <class... A> struct Of<CUresult (*)(A...)> {",
        "  static constexpr std::size_t count = sizeof...(A);",
        "  static constexpr std::size_t sizes[] = {sizeof(A)..., 0};",
        "};",
    ]
    for name, arguments in PROTOTYPES.items():
        kind = f"Of<decltype(&{name})>"
        lines.append(f'static_assert({kind}::count == {len(arguments)}, "{name}");')
        for index, argument in enumerate(arguments):
            size = ctypes.sizeof(argument)
            lines.append(f'static_assert({kind}::sizes[{index}] == {size}, "{name} {index}");')
    lines.append(f'static_assert(sizeof(CUDA_MEMCPY2D) == {ctypes.sizeof(Copy2D)}, "");')
    fields = {
        "source_device": "srcDevice",
        "source_pitch": "srcPitch",
        "target_device": "dstDevice",
        "target_pitch": "dstPitch",
        "width_in_bytes": "WidthInBytes",
        "height": "Height",
    }
    for ours, theirs in fields.items():
        offset = getattr(Copy2D, ours).offset
        lines.append(f'static_assert(offsetof(CUDA_MEMCPY2D, {theirs}) == {offset}, "{theirs}");')
    constants = {
        "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": module.COMPUTE_CAPABILITY_MAJOR,
        "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": module.COMPUTE_CAPABILITY_MINOR,
        "CU_STREAM_NON_BLOCKING": module.STREAM_NON_BLOCKING,
        "CU_EVENT_DISABLE_TIMING": module.EVENT_DISABLE_TIMING,
        "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL": module.CAPTURE_THREAD_LOCAL,
        "CU_MEMORYTYPE_DEVICE": module.MEMORY_DEVICE,
        "CUDA_ERROR_OUT_OF_MEMORY": module.OUT_OF_MEMORY,
    }
    lines += [f'static_assert({name} == {value}, "{name}");' for name, value in constants.items()]
    source = tmp_path / "check.cc"
    source.write_text("\n".join(lines) + "\n")

    command = [compiler, "-std=c++17", "-fsyntax-only", f"-I{include}", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
