"""Published tensors into our networks: which layout, which options, then each tensor in turn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edge_sr.models import build_model
from edge_sr.models.edsr_frame import DIV2K_MEAN
from edge_sr.models.network import Network
from edge_sr.published import luma_layouts, rgb_layouts
from edge_sr.published.layout import Layout, MeanShift, Options, Tensors

LAYOUTS = (
    luma_layouts.FSRCNN_PYTORCH,
    luma_layouts.FSRCNN_PISR,
    luma_layouts.VDSR_PYTORCH,
    luma_layouts.IDN_CAFFE,
    rgb_layouts.CARN,
    rgb_layouts.CARN_ONE_SCALE,
    rgb_layouts.CARN_M,
    rgb_layouts.CARN_M_ONE_SCALE,
    rgb_layouts.EDSR,
    rgb_layouts.EDSR_FAKD,
    rgb_layouts.RCAN,
    rgb_layouts.RCAN_FAKD,
    rgb_layouts.SAN,
)
_DIV2K = torch.tensor(DIV2K_MEAN)
_LEAVES = (".weight", ".bias")
# Differences of a mean colour, as shares of white, that come from float32 alone.
_SAME_MEAN = 1e-6
_NAMED_AT_MOST = 3


def find_layout(tensors: Tensors, prefix: str | None = None) -> tuple[Layout, str]:
    """The layout of the tensors, and what stands before its names in theirs.

    Raises ValueError for a layout that is not known, or for several networks in one file, of which
    ``prefix`` chooses one.
    """
    found = [(layout, start) for layout in LAYOUTS for start in layout.prefixes(tensors)]
    chosen = [pair for pair in found if prefix in (None, pair[1])]
    if len(chosen) == 1:
        return chosen[0]
    if found:
        starts = ", ".join(repr(start) for _, start in found)
        raise ValueError(f"it holds networks behind the names {starts}; choose one with --prefix")
    raise ValueError(
        f"its {len(tensors)} tensors ({_listed(sorted(tensors))}) are those of no known layout; "
        f"known are {', '.join(dict.fromkeys(layout.name for layout in LAYOUTS))}"
    )


def build_published(
    tensors: Tensors, layout: Layout, scale: int, model: str | None = None
) -> Network:
    """Our network with the published weights; ``tensors`` without their prefix.

    ``model`` is a name of ``build_model``, by default the one of the weights' depth and width.
    Raises ValueError if tensors are missing, left over, of another shape, or not finite.
    """
    told = layout.scale(tensors)
    if told not in (None, scale):
        raise ValueError(f"it looks like weights for x{told}, not x{scale}")
    options = layout.options(tensors)
    model = _model_name(layout, options, model)
    with torch.device("meta"):
        wanted = dict(build_model(model, scale, **options).state_dict())
    weights = {}
    if layout.mean_shift:
        tensors, mean = _without_mean_shift(tensors, layout.mean_shift)
        if "mean" in wanted:
            weights["mean"] = mean.reshape(wanted.pop("mean").shape)
        elif not torch.equal(mean, _DIV2K):
            raise ValueError(f"its mean colour is {mean.tolist()}; {model} has DIV2K's")
    sources = _sources(layout, options, scale, wanted)
    _check(tensors, layout, sources, wanted)
    weights |= {ours: tensors[published] for ours, published in sources.items()}
    network = build_model(model, scale, **options)
    network.load_state_dict(weights)
    return network.eval()


def _model_name(layout: Layout, options: Options, asked: str | None) -> str:
    if asked is not None:
        if asked not in layout.models:
            raise ValueError(
                f"it looks like weights of {layout.name}, for {' or '.join(layout.models)}, "
                f"not for {asked}"
            )
        return asked
    for name, known in layout.models.items():
        if known.items() <= options.items():
            return name
    found = ", ".join(f"{key} {value}" for key, value in options.items())
    raise ValueError(
        f"it is a network of {layout.name} with {found}, which has no name; "
        f"choose --model of {' '.join(layout.models)}"
    )


def _sources(layout: Layout, options: Options, scale: int, wanted: Tensors) -> dict[str, str]:
    """Our tensors' names to the published ones."""
    names = {ours: published for published, ours in layout.names(options, scale)}
    sources = {}
    for ours in wanted:
        leaf = next((leaf for leaf in _LEAVES if ours.endswith(leaf)), "")
        sources[ours] = names[ours.removesuffix(leaf)] + leaf
    return sources


def _check(tensors: Tensors, layout: Layout, sources: dict[str, str], wanted: Tensors) -> None:
    """ValueError that names what is missing, left over, of a wrong shape, or not finite."""
    missing = [name for name in sources.values() if name not in tensors]
    used = set(sources.values())
    left = [name for name in tensors if name not in used and not name.startswith(layout.unread)]
    misshapen = [
        f"{published} is {_shape(tensors[published])}, should be {_shape(wanted[ours])}"
        for ours, published in sources.items()
        if published in tensors and tensors[published].shape != wanted[ours].shape
    ]
    findings = [
        f"{what} {_listed(names)}"
        for what, names in (
            ("missing are", missing),
            ("left over are", left),
            ("of another shape:", misshapen),
        )
        if names
    ]
    if findings:
        raise ValueError(f"it looks like {layout.name}, but {'; '.join(findings)}")
    for name in sources.values():
        if not tensors[name].is_floating_point() or not tensors[name].isfinite().all():
            raise ValueError(f"its tensor {name} holds values that are not finite numbers")


def _without_mean_shift(tensors: Tensors, shift: MeanShift) -> tuple[dict[str, Tensor], Tensor]:
    """The tensors with the two mean shifts taken into the convolutions beside them.

    They are 1x1 layers W x + b of RGB, W near the identity, and were trained along in some
    repositories: samples of 0 to ``white`` go in, 1 or 255. What is left of them is the colour
    that becomes zero, with which the first convolution pads: our buffer ``mean``, which is
    returned. All else is linear and exact.
    """
    off, off_bias = _layer(tensors, shift.subtract)
    on, on_bias = _layer(tensors, shift.add)
    first, _ = _layer(tensors, shift.first)
    last, last_bias = _layer(tensors, shift.last)
    shapes = [tuple(tensor.shape) for tensor in (off, off_bias, on, on_bias, last_bias)]
    is_rgb = shapes == [(3, 3, 1, 1), (3,), (3, 3, 1, 1), (3,), (3,)]
    if not is_rgb or first.shape[1:2] != (3,) or last.shape[:1] != (3,):
        raise ValueError("its mean shift is not one of RGB")
    off, on = off[:, :, 0, 0], on[:, :, 0, 0]
    try:
        zero = -torch.linalg.solve(off, off_bias)
    except RuntimeError as error:
        raise ValueError(f"its {shift.subtract} cannot be inverted") from error
    # The colour that becomes zero tells the range of samples.
    white = 255.0 if zero.abs().max() > 1 else 1.0
    mean, ratio = zero / white, white / shift.white
    if (mean - _DIV2K).abs().max() <= _SAME_MEAN:
        mean = _DIV2K.double()
    added = on_bias / ratio - shift.white * mean
    folded = {
        f"{shift.first}.weight": torch.einsum("oi...,ij->oj...", first, off * ratio),
        f"{shift.last}.weight": torch.einsum("ij,j...->i...", on / ratio, last),
        f"{shift.last}.bias": on @ last_bias / ratio
        + added * (added.abs().max() > _SAME_MEAN * shift.white),
    }
    rest = {k: v for k, v in tensors.items() if not k.startswith((shift.subtract, shift.add))}
    return rest | {k: v.float() for k, v in folded.items()}, (shift.white * mean).float()


def _layer(tensors: Tensors, name: str) -> tuple[Tensor, Tensor]:
    """Weight and bias in double precision."""
    for leaf in _LEAVES:
        if name + leaf not in tensors:
            raise ValueError(f"its tensor {name + leaf} is missing")
    return tensors[f"{name}.weight"].double(), tensors[f"{name}.bias"].double()


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
