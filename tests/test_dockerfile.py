"""The Dockerfile: what its targets promise, without a container engine."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "Dockerfile"
WITHOUT_TORCH = ("runtime", "jetson", "gpu")


def load_replay() -> ModuleType:
    path = ROOT / "packaging" / "replay_dockerfile.py"
    spec = importlib.util.spec_from_file_location("replay_dockerfile", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


replay = load_replay()
STAGES = replay.parse(DOCKERFILE.read_text(), {})


def words_of(name: str) -> list[str]:
    return [step.word for step in STAGES[name].steps]


def sources_of(name: str) -> set[str]:
    """The stages that a stage is made of, itself among them."""
    found = {name}
    for step in STAGES[name].steps:
        mount = dict(p.split("=", 1) for p in step.flags.get("mount", "").split(",") if p)
        found |= {flags["from"] for flags in (step.flags, mount) if "from" in flags}
    base = STAGES[name].base
    return found | (sources_of(base) if base in STAGES else set())


def test_targets_are_there() -> None:
    assert {"export", *WITHOUT_TORCH} <= set(STAGES)


@pytest.mark.parametrize("name", ["export", *WITHOUT_TORCH])
def test_image_runs_edge_sr_as_somebody_else_than_root(name: str) -> None:
    words = words_of(name)
    assert words[-3:] == ["USER", "ENTRYPOINT", "CMD"]
    user, entry, _ = STAGES[name].steps[-3:]
    assert int(user.rest) >= 1000
    assert entry.rest == '["edge-sr"]'


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_only_export_asks_for_torch_or_onnx(name: str) -> None:
    for stage in sources_of(name):
        for step in STAGES[stage].steps:
            packages = step.rest.replace("onnxruntime", "")
            assert "torch" not in packages
            assert "onnx" not in packages
            assert "[export" not in packages
    assert any("torch" in step.rest for step in STAGES["export"].steps)


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_no_compiler_is_left_in_the_image(name: str) -> None:
    assert not any("g++" in step.rest for step in STAGES[name].steps)


def test_base_images_can_be_chosen() -> None:
    stages = replay.parse(DOCKERFILE.read_text(), {"JETSON_BASE": "mine:1"})
    assert stages["jetson"].base == stages["jetson-venv"].base == "mine:1"
    assert stages["gpu"].base == STAGES["gpu"].base != "mine:1"


def test_linter_for_dockerfiles_has_nothing_to_say() -> None:
    linter = shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_reader_joins_lines_and_fills_in_arguments() -> None:
    text = """# comment
ARG BASE=one:1
FROM ${BASE} AS first
ARG VERSION="2"
# in between
RUN --mount=type=bind,from=other,source=/a,target=/b \\
    make \\
    # a comment among them
    install
from first
COPY --from=first /a /b
"""
    stages = replay.parse(text, {})
    assert [(s.name, s.base) for s in stages.values()] == [("first", "one:1"), ("1", "first")]
    argument, run = stages["first"].steps
    assert (argument.word, argument.rest) == ("ARG", 'VERSION="2"')
    assert run.rest == "make install"
    assert run.flags == {"mount": "type=bind,from=other,source=/a,target=/b"}
    (copy,) = stages["1"].steps
    assert (copy.flags, copy.rest) == ({"from": "first"}, "/a /b")
    assert replay.parse(text, {"BASE": "two:2"})["first"].base == "two:2"


def test_steps_that_need_no_root_are_replayed(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "etc").mkdir(parents=True)
    (base / "etc" / "hostname").write_text("box")
    text = """FROM plain AS one
WORKDIR /src
ARG KIND=small
ENV PATH=/opt/bin:$PATH MODE=$KIND
COPY LICENSE copied/LICENSE
FROM plain AS two
COPY --from=one /src /opt/src
USER 1000
ENTRYPOINT ["edge-sr"]
"""
    builder = replay.Replay(
        replay.parse(text, {}), {"plain": base}, {"KIND": "large"}, tmp_path / "work"
    )
    image = builder.image("two")
    assert (image.root / "etc" / "hostname").read_text() == "box"
    copied = image.root / "opt" / "src" / "copied" / "LICENSE"
    assert copied.read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (image.user, image.entry) == ("1000", ["edge-sr"])
    environment = builder.image("one").environment
    assert environment["PATH"] == f"/opt/bin:{replay.PATH}"
    assert environment["MODE"] == "large"


def test_missing_base_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        replay.main(["runtime", "--work", str(tmp_path / "work")])
    assert "'python:3.11-slim-bookworm' is no stage and no --base" in capsys.readouterr().err
