"""What a layout of published weights is: the form of the tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Tensors = Mapping[str, Tensor]
Options = dict[str, Any]
# Pairs: a layer's or tensor's name in the published file, its name in our network.
Names = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class MeanShift:
    """Published 1x1 layers that take the mean colour off and put it on again.

    ``first`` and ``last`` are the published convolutions after and before them. ``white`` is the
    largest sample in our network; that of the published one is told by the values.
    """

    subtract: str
    add: str
    first: str
    last: str
    white: float


@dataclass(frozen=True)
class Layout:
    """How one repository names its tensors.

    ``models`` are our networks, with the options by which they are told apart. ``signature`` are
    tensors that each file holds, and no file of another layout. ``options`` are what the tensors
    tell of the options, ``names`` the layers of a network of these options at a scale, ``scale``
    what the tensors tell of that. ``unread`` begin the names of tensors that no result depends on,
    or that are of other scales.
    """

    name: str
    models: Mapping[str, Options]
    signature: tuple[str, ...]
    options: Callable[[Tensors], Options]
    names: Callable[[Options, int], Names]
    scale: Callable[[Tensors], int | None] = lambda tensors: None
    unread: tuple[str, ...] = ()
    mean_shift: MeanShift | None = None

    def prefixes(self, tensors: Tensors) -> list[str]:
        """What stands before the layout's names in ``tensors``, once for each network in it."""
        first = self.signature[0]
        found = [name.removesuffix(first) for name in tensors if name.endswith(first)]
        return [
            prefix
            for prefix in found
            if (not prefix or prefix.endswith("."))
            and all(prefix + name in tensors for name in self.signature)
        ]


def count(tensors: Tensors, pattern: str) -> int:
    """How many names fit the regular expression."""
    return sum(re.fullmatch(pattern, name) is not None for name in tensors)


def channels(tensors: Tensors, name: str) -> int:
    """First dimension of a tensor: what a convolution puts out."""
    if tensors[name].dim() == 0:
        raise ValueError(f"its tensor {name} is a single number, and should be a kernel")
    return tensors[name].shape[0]
