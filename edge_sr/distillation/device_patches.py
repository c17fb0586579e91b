"""Patches cropped on the device that trains on them, from pictures that lie there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_sr.data.patches import PatchSampler


class DevicePatches:
    """The batches of a :class:`PatchSampler`, bit for bit, without a copy of pixels for each.

    Every picture is laid out once in the device's memory, as it lies in the host's: luminance as
    float32, RGB as bytes. A batch costs the device one gather, and the host the few numbers that
    say where its patches lie.
    """

    def __init__(self, sampler: PatchSampler, device: torch.device) -> None:
        self.sampler, self.device = sampler, device
        self._layers = [
            _Pictures([pair.pictures[kind] for pair in sampler.pictures], side, factor, device)
            for kind, side, factor in sampler.layers()
        ]

    @staticmethod
    def size_of(sampler: PatchSampler) -> int:
        """Bytes of device memory that the pictures take."""
        return sum(part.nbytes for pair in sampler.pictures for part in pair.pictures)

    def batch(self, iteration: int, *, rank: int = 0, world_size: int = 1) -> tuple[Tensor, ...]:
        """What the sampler's ``batch`` gives, of it the rows ``rank::world_size``."""
        draws = self.sampler.draws(iteration)[rank::world_size]
        places = torch.from_numpy(draws.T.copy()).to(self.device)
        return tuple(layer.patches(*places) for layer in self._layers)


class _Pictures:
    """Pictures end to end in one tensor, with the start and the width of each.

    Patches are ``side`` pixels wide and high; their corners are counted in ``factor`` pixels.
    """

    def __init__(
        self, pictures: list[NDArray[Any]], side: int, factor: int, device: torch.device
    ) -> None:
        self.side, self.factor = side, factor
        self.samples = 3 if pictures[0].ndim == 3 else 1
        starts = np.cumsum([0, *(picture.size for picture in pictures)])
        kind = torch.uint8 if pictures[0].dtype == np.uint8 else torch.float32
        self.values = torch.empty(int(starts[-1]), dtype=kind, device=device)
        for start, picture in zip(starts, pictures, strict=False):
            flat = torch.from_numpy(np.ascontiguousarray(picture).reshape(-1))
            self.values[int(start) : int(start) + picture.size].copy_(flat)
        self.starts = torch.from_numpy(starts[:-1]).to(device)
        self.widths = torch.tensor([picture.shape[1] for picture in pictures], device=device)

    def patches(self, picture: Tensor, y: Tensor, x: Tensor, symmetry: Tensor) -> Tensor:
        """[B, C, side, side] in [0, 1] from corners ``y``, ``x``, turned by ``transform``."""
        picture, y, x, symmetry = (part[:, None, None] for part in (picture, y, x, symmetry))
        last = self.side - 1
        side = torch.arange(self.side, device=self.values.device)
        down, right = side[:, None], side[None, :]
        is_transposed = symmetry & 4 > 0
        row, column = (torch.where(is_transposed, a, b) for a, b in ((right, down), (down, right)))
        row = torch.where(symmetry & 2 > 0, last - row, row)
        column = torch.where(symmetry & 1 > 0, last - column, column)
        place = (self.factor * y + row) * self.widths[picture] + self.factor * x + column
        first = self.starts[picture] + self.samples * place
        channel = torch.arange(self.samples, device=self.values.device)[:, None, None]
        values = self.values[first[:, None] + channel]
        return values if values.dtype == torch.float32 else values.to(torch.float32) / 255
