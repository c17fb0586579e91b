"""README and docs: links lead somewhere, commands are real."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
PARSED = re.compile(r"^python -m ((?:edge_sr|export|runtime|calibration)\.\w+)(.*)$", re.MULTILINE)


def links() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                found.append((str(page.relative_to(ROOT)), target))
    return found


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            found += [(name, rest.partition(" | ")[0]) for name, rest in PARSED.findall(block)]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "target"), links())
def test_local_link_exists(page: str, target: str) -> None:
    assert (ROOT / page).parent.joinpath(target).exists()


@pytest.mark.parametrize(("module", "options"), commands())
def test_documented_command_parses(module: str, options: str) -> None:
    words = shlex.split(options.split("#")[0])
    args = importlib.import_module(module).parse_args(words)
    assert args is not None


def test_readme_documents_the_main_commands() -> None:
    documented = {module for module, _ in commands()}
    assert {"export.build", "runtime.upscale", "runtime.bench", "edge_sr.train"} <= documented
