"""A thin version of every network: the paper's layers, fewer and narrower."""

from __future__ import annotations

from typing import Any

THIN: dict[str, dict[str, Any]] = {
    "fsrcnn": {"d": 8, "s": 4, "m": 1},
    "fsrcnn_l": {"d": 8, "s": 8, "m": 1},
    "vdsr": {"width": 8, "depth": 4},
    "idn": {"width": 12, "d": 4, "blocks": 1},
    "carn": {"width": 8},
    "edsr": {"width": 8, "blocks": 3},
    "rcan": {"width": 16, "groups": 3, "blocks": 1},
    "san": {"width": 16, "groups": 3, "blocks": 1, "attention_width": 4},
    "drn": {"width": 8, "blocks": 2},
}


def thin(model: str) -> dict[str, Any]:
    """Options of ``build_model`` that make a network of this name small."""
    return THIN.get(model) or THIN[model.split("_")[0]]
