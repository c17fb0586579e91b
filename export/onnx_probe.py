"""What running a graph shows: its scale, its range, how far it sees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.session import GraphRunner, largest_difference

LARGEST_RADIUS = 256
# Where a change has come this far and operators may look at the whole picture, they do.
GLOBAL_REACH = 64
SCALES = (2, 3, 4)
CONTRACT = (
    "a network for [N, 1, H, W] luminance or [N, 3, H, W] RGB is needed, float in [0, 1] or uint8 "
    "at both ends"
)


def receptive_field_radius(
    run: GraphRunner, scale: int, *, may_be_global: bool = False
) -> int | None:
    """Largest distance in LR pixels at which changing one input pixel changes the output.

    Grows the picture until the change stays inside it. None beyond LARGEST_RADIUS;
    ``may_be_global`` gives up at GLOBAL_REACH already, before attention needs gigabytes.
    """
    for centre in (16, 32, GLOBAL_REACH, 128, LARGEST_RADIUS + 1):
        reach = max(_reach(run, scale, centre, seed) for seed in range(2))
        if reach < centre:
            return reach
        if may_be_global and centre >= GLOBAL_REACH:
            break
    return None


def measured_scale(run: GraphRunner, name: str) -> int:
    """How many times larger pictures become; ValueError if not by one of SCALES at every size."""
    found = set()
    for height, width in ((16, 20), (23, 17)):
        try:
            shape = run(_test_picture(run, height, width)).shape
        except ValueError as error:
            raise ValueError(
                f"{name} does not run on a {width}x{height} picture, so its sizes are not free: "
                f"{error}"
            ) from error
        scale = shape[-1] // width
        if scale not in SCALES or shape != (1, run.samples, scale * height, scale * width):
            samples = run.samples
            raise ValueError(
                f"{name} turns [1, {samples}, {height}, {width}] into {list(shape)}; "
                f"[1, {samples}, s*{height}, s*{width}] with s in {SCALES} is needed"
            )
        found.add(scale)
    if len(found) > 1:
        raise ValueError(f"{name} upscales by {found} depending on the size; one scale is needed")
    return int(found.pop())


def check_batches(run: GraphRunner, name: str) -> None:
    """ValueError unless the pictures of a batch are upscaled as if alone."""
    first = _test_picture(run, 18, 21)
    second = first[:, :, ::-1].copy()
    try:
        both = run(np.concatenate([first, second]))
    except ValueError as error:
        raise ValueError(f"{name} does not run on a batch of two: {error}") from error
    alone = np.concatenate([run(first), run(second)])
    if largest_difference(both, alone) > 1e-4:
        raise ValueError(f"{name} mixes the pictures of a batch")


def check_range(run: GraphRunner, scale: int, name: str) -> None:
    """ValueError unless a picture in [0, 1] comes back larger, about as it was."""
    lr = _test_picture(run, 48, 56)
    sr = run(lr)
    blocks = sr[0].reshape(-1, 48, scale, 56, scale).mean(axis=(2, 4))
    error = float(np.abs(blocks - lr[0]).mean())
    if not np.isfinite(error) or error > 0.1 or sr.min() < -0.5 or sr.max() > 1.5:
        raise ValueError(
            f"{name} does not return its input upscaled: on a test picture in [0, 1] the result "
            f"spans {sr.min():.3g} to {sr.max():.3g} and differs by {error:.3g} on average; "
            f"{CONTRACT}, and the result in [0, 1]"
        )


def _test_picture(run: GraphRunner, height: int, width: int) -> NDArray[np.float32]:
    """A shaded wave with an edge, [1, C, H, W] in [0, 1], in colour for three channels."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [0.25 * np.sin(x / (4.0 + channel) + y / 6.0) for channel in range(run.samples)]
    picture = 0.5 + np.stack(waves) + 0.2 * (x > width // 2)
    return np.asarray(picture[None], np.float32)


def _reach(run: GraphRunner, scale: int, centre: int, seed: int) -> int:
    """How far the change of the centre pixel is seen, at most ``centre``.

    NaN shows every path through sums and products, also those with tiny weights; the finite
    changes show paths through operators that drop NaN.
    """
    rng = np.random.default_rng(seed)
    picture = rng.random((1, run.samples, 2 * centre + 1, 2 * centre + 1), dtype=np.float32)
    before = run(picture)
    changed = np.zeros(before.shape[2:], dtype=bool)
    for value in (np.nan, 2.0, -1.0, 1e3, -1e3):
        other: NDArray[Any] = picture.copy()
        other[0, :, centre, centre] = value
        changed |= (run(other)[0] != before[0]).any(axis=0)
    if not changed.any():
        return 0
    rows, columns = np.nonzero(changed)
    return int(max(np.abs(rows // scale - centre).max(), np.abs(columns // scale - centre).max()))
