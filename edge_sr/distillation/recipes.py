"""Published rows as options of a training run: one TOML file each, below ``edge_sr/recipes``.

A file says what it is (``about``), which rows of :mod:`edge_sr.metrics.published` it aims at, at
which scales, what must be trained before it (``teacher``, ``init``, ``starts_from_x2``), and the
options of :class:`edge_sr.distillation.config.RunConfig` at the paper's full length. A value that
differs by scale is a table with keys x2, x3 and x4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
# Options that count iterations, and shrink with the budget.
LENGTHS = ("iterations", "teacher_iterations", "warm_up", "step_every")
# Options that a recipe leaves to its user.
FREE = {"recipe", "scale", "data", "teacher", "init", "seed"}
FREE |= {"held_out", "log_every", "evaluate_every"}


@dataclass(frozen=True)
class Recipe:
    """One file. ``rows`` are (paper, table, method); ``teacher`` and ``init`` name recipes."""

    name: str
    about: str
    scales: tuple[int, ...]
    rows: tuple[tuple[str, str, str], ...]
    options: Mapping[str, Any]
    teacher: str | None = None
    init: str | None = None
    starts_from_x2: bool = False

    def run_options(self, scale: int, budget: float) -> dict[str, Any]:
        """Fields of ``RunConfig`` at a scale; every count of iterations times ``budget``, rounded.

        Raises ValueError for a scale that the row has not, or a budget outside (0, 1].
        """
        if scale not in self.scales:
            raise ValueError(f"recipe {self.name} is of scale {_listed(self.scales)}, not {scale}")
        if not 0 < budget <= 1:
            raise ValueError(f"budget {budget} must be above 0 and at most 1")
        chosen = {name: _at(scale, value) for name, value in self.options.items()}
        for name in LENGTHS:
            if name in chosen:
                chosen[name] = max(1, round(chosen[name] * budget)) if chosen[name] else 0
        return {**chosen, "scale": scale}

    def missing(self, scale: int, *, teacher: str | None, init: str | None) -> str | None:
        """What must be trained first and named by an option, as one line, if it is not given."""
        if self.teacher is not None and teacher is None:
            return f"--teacher CHECKPOINT, which recipe {self.teacher} trains"
        if self.init is not None and init is None:
            return f"--init CHECKPOINT, which recipe {self.init} trains"
        if self.starts_from_x2 and scale != 2 and init is None:
            return f"--init CHECKPOINT of recipe {self.name} at --scale 2"
        return None

    def described(self, options: Mapping[str, Any], given: Mapping[str, Any], budget: float) -> str:
        """What a run is, for its record: the recipe, its share of the length, what else differs.

        ``options`` are those of :meth:`run_options`, ``given`` what was chosen over them.
        """
        differs = [k for k, v in given.items() if k not in FREE and options.get(k) != v]
        share = [] if budget == 1 else [f"{100 * budget:.4g} % of its iterations"]
        return ", ".join([self.name, *share, *(f"other {name}" for name in sorted(differs))])


def recipe_names() -> list[str]:
    """Names of all recipes, such as ``pisr/full``."""
    return sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """A recipe by its name; ValueError with the names there are."""
    if name not in recipe_names():
        raise ValueError(f"recipe {name!r} is unknown; choose from {' '.join(recipe_names())}")
    values = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    values["scales"] = tuple(values["scales"])
    values["rows"] = tuple(tuple(row) for row in values["rows"])
    return Recipe(name, **values)


def _at(scale: int, value: Any) -> Any:
    if isinstance(value, Mapping) and f"x{scale}" in value:
        return value[f"x{scale}"]
    return tuple(value) if isinstance(value, list) else value


def _listed(scales: tuple[int, ...]) -> str:
    return ", ".join(map(str, scales))
