"""Every recipe runs: 200 iterations of a thin network learn, and an interrupted run goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pictures_support import write_pictures
from thin_networks import thin

from edge_sr.distillation.recipes import load_recipe, recipe_names
from edge_sr.distillation.trainer import Stage
from edge_sr.models import build_model
from edge_sr.models.checkpoint import save_checkpoint
from edge_sr.train import main

ITERATIONS, LEFT_AT = 200, 180


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), 3, height=48, width=56)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_learns_and_goes_on_where_it_was_left(
    name: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(name)
    model = recipe.run_options(2, 1.0)["model"]
    run, left = tmp_path / "run", tmp_path / "left"
    _keep_a_copy(monkeypatch, run, left)
    monkeypatch.setattr("edge_sr.distillation.curves.draw_curves", lambda _: None)
    budget = ITERATIONS / recipe.options["iterations"]
    options = ["--recipe", name, "--budget", repr(budget), "--data", str(pictures), "--scale", "2"]
    options += [f"--model-option={key}={value}" for key, value in thin(model).items()]
    options += _trained_before(name, tmp_path)
    small = "--patch-size 10 --batch-size 2 --held-out 1 --log-every 20 --evaluate-every 200"
    here = ["--threads", "1", "--device", "cpu"]
    assert main([*options, *small.split(), *here, "--out", str(run)]) == 0
    assert main(["--resume", *here, "--out", str(left)]) == 0

    log = (run / "student" / "log.jsonl").read_text()
    assert (left / "student" / "log.jsonl").read_text() == log
    ours, theirs = (folder / "student.safetensors" for folder in (run, left))
    assert ours.read_bytes() == theirs.read_bytes()
    losses = [json.loads(line)["reconstruction"] for line in log.splitlines()]
    assert len(losses) == ITERATIONS // 20
    assert sum(losses[-3:]) < sum(losses[:3])
    config = json.loads((run / "run.json").read_text())["config"]
    assert config["recipe"].startswith(f"{name}, ")


def _keep_a_copy(monkeypatch: pytest.MonkeyPatch, run: Path, left: Path) -> None:
    """Save at each line of the log, and copy the run as it is after LEFT_AT iterations."""
    monkeypatch.setattr("edge_sr.distillation.trainer.SAVE_SECONDS", -1.0)
    save = Stage._save

    def saved(self: Stage, seconds: float) -> None:
        save(self, seconds)
        if self.options.name == "student" and self.iteration == LEFT_AT and not left.exists():
            shutil.copytree(run, left)

    monkeypatch.setattr(Stage, "_save", saved)


def _trained_before(name: str, folder: Path) -> list[str]:
    """Options that name untrained checkpoints of what the recipe needs."""
    recipe, options = load_recipe(name), []
    for option, needed in (("--teacher", recipe.teacher), ("--init", recipe.init)):
        if needed is not None:
            model = load_recipe(needed).run_options(2, 1.0)["model"]
            path = folder / f"{option[2:]}.safetensors"
            save_checkpoint(path, build_model(model, 2, **thin(model)), {})
            options += [option, str(path)]
    return options
