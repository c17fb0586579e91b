"""Refusals of options that are out of range, as ValueError in one line."""

from __future__ import annotations

from collections.abc import Collection


def require(condition: bool, message: str) -> None:
    """ValueError with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ValueError(message)


def require_one_of(name: str, value: str, offered: Collection[str]) -> None:
    """ValueError unless ``value`` is offered."""
    require(value in offered, f"{name} {value!r} is not one of {' '.join(offered)}")
