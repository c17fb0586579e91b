"""A teacher's pictures of the training pictures, made once before training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor

from edge_sr.atomic import write_atomically
from edge_sr.data.patches import PicturePair, planes_of
from edge_sr.models.network import Network

# LR pixels that a network sees at once, of pictures that it may see in parts.
STRIP_PIXELS = 1 << 16
DEEPEST = np.float32(65535)


@torch.no_grad()
def with_targets(
    pairs: Sequence[PicturePair], network: Network, *, self_ensemble: bool = False
) -> list[PicturePair]:
    """The pairs with the network's picture of LR, clamped to [0, 1], as ``target``.

    It sees whole pictures, so that a target's value does not depend on where a patch ends. The
    target is rounded to 16 bits, of RGB to 8, as HR is. With ``self_ensemble`` it is the mean over
    the 8 symmetries of the square (Timofte et al., CVPR 2016, section 3.3).
    """
    make = ensemble_picture_of if self_ensemble else picture_of
    device = next(network.parameters()).device
    found = []
    for count, pair in enumerate(pairs, start=1):
        lr = torch.from_numpy(planes_of(pair.lr))[None].to(device)
        sr = make(network, lr)[0].float().clamp(0, 1).cpu()
        if pair.channels == "rgb":
            levels = (sr * 255).round().to(torch.uint8).movedim(0, 2).numpy()
        else:
            levels = np.rint(sr[0].numpy() * DEEPEST).astype(np.uint16)
        found.append(replace(pair, target=_target_of(np.ascontiguousarray(levels))))
        if count % 100 == 0 or count == len(pairs):
            print(f"teacher's pictures  {count}/{len(pairs)}", file=sys.stderr)  # noqa: T201
    return found


def save_targets(file: Path, pairs: Sequence[PicturePair]) -> None:
    """Write the pairs' targets, exactly."""
    levels = {str(i): _levels_of(p.target) for i, p in enumerate(pairs) if p.target is not None}
    write_atomically(file, save(levels))


def read_targets(file: Path, pairs: Sequence[PicturePair]) -> list[PicturePair]:
    """The pairs with the targets that :func:`save_targets` wrote; ValueError if it was of others.

    That, too, where the file is damaged.
    """
    try:
        levels = load(file.read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged ({error}); delete it, and it is made again") from error
    found = [
        replace(pair, target=_target_of(levels[str(i)]))
        for i, pair in enumerate(pairs)
        if str(i) in levels and levels[str(i)].shape == pair.hr.shape
    ]
    if not len(found) == len(levels) == len(pairs):
        raise ValueError(f"{file} is of other pictures than --data now holds")
    return found


def _levels_of(target: NDArray[Any]) -> NDArray[Any]:
    """8 bits as they are, float32 as 16 bits."""
    is_deep = target.dtype == np.float32
    return np.rint(target * DEEPEST).astype(np.uint16) if is_deep else target


def _target_of(levels: NDArray[Any]) -> NDArray[Any]:
    is_deep = levels.dtype == np.uint16
    return levels.astype(np.float32) / DEEPEST if is_deep else levels


def picture_of(network: Network, lr: Tensor) -> Tensor:
    """[N, C, H, W] to the network's [N, C, scale*H, scale*W], in strips if it is tileable."""
    (height, width), scale = lr.shape[2:], network.spec.scale
    rows = max(1, STRIP_PIXELS // width)
    if not network.spec.tileable or rows >= height:
        return _called(network, lr)
    halo, strips = network.spec.receptive_field_radius, []
    for top in range(0, height, rows):
        first = max(0, top - halo)
        part = _called(network, lr[:, :, first : top + rows + halo])
        strips.append(part[:, :, (top - first) * scale :][:, :, : rows * scale])
    return torch.cat(strips, 2)


def ensemble_picture_of(network: Network, lr: Tensor) -> Tensor:
    """As :func:`picture_of`, the mean over the 8 symmetries of the square, in float32."""
    total = lr.new_zeros(())
    for symmetry in range(8):
        flips = [axis for axis, bit in ((3, 1), (2, 2)) if symmetry & bit]
        seen = lr.flip(flips)
        seen = seen.transpose(2, 3) if symmetry & 4 else seen
        sr = picture_of(network, seen.contiguous()).float()
        sr = sr.transpose(2, 3) if symmetry & 4 else sr
        total = total + sr.flip(flips)
    return total / 8


def _called(network: Network, lr: Tensor) -> Tensor:
    sr: Tensor = network(lr)
    return sr
