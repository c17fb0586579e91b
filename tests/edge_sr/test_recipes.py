from __future__ import annotations

import pytest

from edge_sr.distillation.config import RunConfig
from edge_sr.distillation.recipes import FOLDER, load_recipe, recipe_names
from edge_sr.metrics.published import published_rows
from edge_sr.models import MODELS
from edge_sr.train import configure, parse_args

NAMES = recipe_names()


def typed(*options: str) -> RunConfig:
    return configure(parse_args(["--data", "x", "--out", "y", *options]))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_a_run_of_known_options_that_aims_at_published_rows(name: str) -> None:
    recipe = load_recipe(name)
    for scale in recipe.scales:
        given = {**recipe.run_options(scale, 1.0), "data": ("x",)}
        if recipe.teacher is not None:
            given["teacher"] = "t.safetensors"
        config = RunConfig.of(given)
        assert config.model in MODELS
        assert config.scale == scale
    printed = {(r.paper, r.table, r.method) for r in published_rows()}
    assert set(recipe.rows) <= printed
    assert {n for n in (recipe.teacher, recipe.init) if n} <= set(NAMES)
    assert recipe.about


def test_every_distilled_row_of_the_four_papers_has_a_recipe() -> None:
    aimed = {row for name in NAMES for row in load_recipe(name).rows}
    ours = ("FSRCNN*", "(PISR)", "FSRCNN-L", "VDSR*", "IDN*", "CARN*")
    wanted = {
        (row.paper, row.table, row.method)
        for row in published_rows()
        if row.paper in ("PISR", "LSFD", "DRN")
        and (row.paper != "PISR" or row.table not in "23" or any(o in row.method for o in ours))
    }
    assert len(wanted) > 50
    assert wanted <= aimed


def test_patches_follow_the_scale() -> None:
    found = [load_recipe("pisr/full").run_options(scale, 1.0)["patch_size"] for scale in (2, 3, 4)]
    assert found == [96, 64, 48]


def test_a_budget_shortens_every_count_of_iterations_alike() -> None:
    whole, part = (typed("--recipe", "pisr/full", "--budget", b) for b in ("1", "0.002"))
    assert (whole.iterations, whole.teacher_iterations) == (1_000_000, 1_000_000)
    assert (part.iterations, part.teacher_iterations) == (2000, 2000)
    assert part.batch_size == whole.batch_size
    assert whole.recipe == "pisr/full"
    assert part.recipe == "pisr/full, 0.2 % of its iterations"
    stepped = typed("--recipe", "lsfd/edsr_student", "--budget", "0.01")
    assert (stepped.iterations, stepped.step_every) == (3000, 1500)


def test_what_is_changed_is_recorded() -> None:
    options = ["--recipe", "pisr/baseline", "--batch-size", "8", "--learning-rate", "0.001"]
    config = typed(*options, "--seed", "3", "--model-option", "d=8")
    assert config.recipe == "pisr/baseline, other batch_size, other model_options"
    assert config.batch_size == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "pisr/none"], "recipe 'pisr/none' is unknown; choose from drn/drn "),
        (["--recipe", "../train"], "is unknown"),
        (["--recipe", "lsfd/rcan_lsfd"], "needs --teacher CHECKPOINT, which recipe lsfd/rcan_t"),
        (["--recipe", "idn/finetune"], "needs --init CHECKPOINT, which recipe idn/pretrain"),
        (["--recipe", "lsfd/edsr_teacher", "--scale", "3"], "of recipe lsfd/edsr_teacher at"),
        (["--recipe", "pisr/scale_map_1x1x1", "--scale", "3"], "is of scale 2, not 3"),
        (["--recipe", "pisr/full", "--budget", "0"], "budget 0.0 must be above 0"),
        (["--recipe", "pisr/full", "--budget", "1.5"], "budget 1.5 must be above 0"),
        (["--budget", "0.5"], "--budget is a share of a recipe's length"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_one_line(options: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=r"recipe|budget") as raised:
        typed(*options)
    assert message in str(raised.value)


def test_all_recipes_are_files_of_the_package() -> None:
    assert all(path.suffix == ".toml" for path in FOLDER.rglob("*") if path.is_file())
    assert len(NAMES) == len(list(FOLDER.rglob("*.toml"))) > 50
