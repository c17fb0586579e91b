"""What a ``with`` block closes at its end."""

from __future__ import annotations

from typing import TypeVar

Self = TypeVar("Self", bound="Closeable")


class Closeable:
    """A context manager that is itself what the block gets."""

    def close(self) -> None:
        """Let go of all that is held."""
        raise NotImplementedError

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
