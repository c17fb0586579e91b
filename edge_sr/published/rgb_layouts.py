"""Published weights of networks on RGB: CARN, EDSR, RCAN, SAN."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from edge_sr.published.layout import Layout, MeanShift, Names, Options, Tensors, channels, count

_CARN_SHIFT = MeanShift("sub_mean.shifter", "add_mean.shifter", "entry", "exit", white=1)
_EDSR_SHIFT = MeanShift("sub_mean", "add_mean", "head.0", "tail.1", white=255)


def _carn_options(tensors: Tensors) -> Options:
    return {"width": channels(tensors, "entry.weight")}


def _cascade_names(units: int, convolutions: tuple[int, ...]) -> Names:
    """All but the upsampler: blocks of ``units`` different residual units."""
    yield "entry", "entry"
    for block in range(3):
        for unit in range(units):
            for layer in convolutions:
                published = f"b{block + 1}.b{unit + 1}.body.{layer}"
                yield published, f"blocks.units.{block}.units.{unit}.layers.{layer}"
        for turn in range(3):
            published = f"b{block + 1}.c{turn + 1}.body.0"
            yield published, f"blocks.units.{block}.fusions.{turn}.0"
        yield f"c{block + 1}.body.0", f"blocks.fusions.{block}.0"
    yield "exit", "exit"


def _carn_names(options: Options, scale: int) -> Names:
    yield from _cascade_names(3, (0, 2))
    yield from _shared_upsampler(scale)


def _carn_m_names(options: Options, scale: int) -> Names:
    yield from _cascade_names(1, (0, 2, 4))
    yield from _shared_upsampler(scale)


def _shared_upsampler(scale: int) -> Names:
    """That of one scale, in a file for x2, x3 and x4."""
    for index in (0, 3) if scale == 4 else (0,):
        yield f"upsample.up{scale}.body.{index}", f"upsample.{index}"


def _of_one_scale(layout: Layout) -> Layout:
    """The same, trained for one scale."""

    def names(options: Options, scale: int) -> Names:
        for published, ours in layout.names(options, scale):
            yield published.replace(f"upsample.up{scale}.", "upsample.up."), ours

    def scale(tensors: Tensors) -> int:
        factor = channels(tensors, _ONE_SCALE) // channels(tensors, "entry.weight")
        return 3 if factor == 9 else 4 if "upsample.up.body.3.weight" in tensors else 2

    signature = tuple(name for name in layout.signature if name not in _MANY_SCALES)
    return replace(layout, signature=(*signature, _ONE_SCALE), names=names, scale=scale, unread=())


_ONE_SCALE = "upsample.up.body.0.weight"
_MANY_SCALES = tuple(f"upsample.up{scale}.body.0.weight" for scale in (2, 3, 4))

CARN = Layout(
    "CARN-pytorch (nmhkahn)",
    models={"carn": {"width": 64}},
    signature=("b1.c1.body.0.weight", "b1.b2.body.0.weight", "entry.weight", *_MANY_SCALES),
    options=_carn_options,
    names=_carn_names,
    unread=("upsample.",),
    mean_shift=_CARN_SHIFT,
)
CARN_ONE_SCALE = _of_one_scale(CARN)
CARN_M = Layout(
    "CARN-pytorch (nmhkahn)",
    models={"carn_m": {"width": 64}},
    signature=("b1.c1.body.0.weight", "b1.b1.body.4.weight", "entry.weight", *_MANY_SCALES),
    options=_carn_options,
    names=_carn_m_names,
    unread=("upsample.",),
    mean_shift=_CARN_SHIFT,
)
CARN_M_ONE_SCALE = _of_one_scale(CARN_M)


def _frame_names(scale: int) -> Names:
    """Head, upsampler and tail, which EDSR, RCAN and SAN share."""
    yield "head.0", "head"
    for index in (0, 2) if scale == 4 else (0,):
        yield f"tail.0.{index}", f"upsampler.{index}"
    yield "tail.1", "tail"


def _frame_scale(tensors: Tensors) -> int:
    factor = channels(tensors, "tail.0.0.weight") // channels(tensors, "head.0.weight")
    return 3 if factor == 9 else 4 if "tail.0.2.weight" in tensors else 2


_FRAME = ("head.0.weight", "tail.0.0.weight", "tail.1.weight")


def _edsr_options(tensors: Tensors) -> Options:
    return {
        "blocks": count(tensors, r"body[123]?\.\d+\.body\.0\.weight"),
        "width": channels(tensors, "head.0.weight"),
    }


def _edsr_names(options: Options, scale: int) -> Names:
    yield from _frame_names(scale)
    for i in range(options["blocks"]):
        for j in (0, 2):
            yield f"body.{i}.body.{j}", f"blocks.{i}.layers.{j}"
    yield f"body.{options['blocks']}", "body_end"


def _edsr_fakd_names(options: Options, scale: int) -> Names:
    """FAKD's code holds the body in thirds."""
    blocks = options["blocks"]
    thirds = [
        (f"body{part + 1}.{i}", i + part * blocks // 3)
        for part in range(3)
        for i in range((part + 1) * blocks // 3 - part * blocks // 3)
    ]
    yield from _frame_names(scale)
    for published, i in thirds:
        for j in (0, 2):
            yield f"{published}.body.{j}", f"blocks.{i}.layers.{j}"
    yield f"body3.{blocks - 2 * blocks // 3}", "body_end"


EDSR = Layout(
    "EDSR-PyTorch (sanghyun-son)",
    models={
        "edsr_s": {"blocks": 16, "width": 64},
        "edsr_t": {"blocks": 32, "width": 256},
    },
    signature=("body.0.body.0.weight", *_FRAME),
    options=_edsr_options,
    names=_edsr_names,
    scale=_frame_scale,
    mean_shift=_EDSR_SHIFT,
)
EDSR_FAKD = replace(
    EDSR,
    name="FAKD (Vincent-Hoo)",
    signature=("body1.0.body.0.weight", *_FRAME),
    names=_edsr_fakd_names,
)


def _rcan_options(group: str) -> Callable[[Tensors], Options]:
    """``group`` is what stands before the number of a residual group."""
    of_all, of_first = re.escape(group) + r"\d+", re.escape(group) + "0"

    def options(tensors: Tensors) -> Options:
        return {
            "groups": count(tensors, rf"{of_all}\.body\.0\.body\.0\.weight"),
            "blocks": count(tensors, rf"{of_first}\.body\.\d+\.body\.0\.weight"),
            "width": channels(tensors, "head.0.weight"),
        }

    return options


def _rcan_names(group: str, end: str) -> Callable[[Options, int], Names]:
    """``end`` is the convolution after the groups."""

    def names(options: Options, scale: int) -> Names:
        yield from _frame_names(scale)
        blocks = options["blocks"]
        for g in range(options["groups"]):
            for b in range(blocks):
                block, ours = f"{group}{g}.body.{b}.body", f"groups.{g}.layers.{b}"
                for j in (0, 2):
                    yield f"{block}.{j}", f"{ours}.layers.{j}"
                    yield f"{block}.3.conv_du.{j}", f"{ours}.weights.{j}"
            yield f"{group}{g}.body.{blocks}", f"groups.{g}.layers.{blocks}"
        yield end.format(groups=options["groups"]), "body_end"

    return names


_RCAN_MODELS = {
    "rcan_s": {"groups": 10, "blocks": 6, "width": 64},
    "rcan_t": {"groups": 10, "blocks": 20, "width": 64},
}
RCAN = Layout(
    "RCAN (yulunzhang)",
    models=_RCAN_MODELS,
    signature=("body.0.body.0.body.3.conv_du.0.weight", *_FRAME),
    options=_rcan_options("body."),
    names=_rcan_names("body.", "body.{groups}"),
    scale=_frame_scale,
    mean_shift=_EDSR_SHIFT,
)
RCAN_FAKD = replace(
    RCAN,
    name="FAKD (Vincent-Hoo)",
    signature=("body_group0.body.0.body.3.conv_du.0.weight", *_FRAME),
    options=_rcan_options("body_group"),
    names=_rcan_names("body_group", "body_tail"),
)


def _san_options(tensors: Tensors) -> Options:
    return {
        "groups": count(tensors, r"RG\.\d+\.conv_last\.weight"),
        "blocks": count(tensors, r"RG\.0\.rcab\.\d+\.conv_first\.0\.weight"),
        "width": channels(tensors, "head.0.weight"),
        "attention_width": channels(tensors, "non_local.non_local.theta.weight"),
    }


def _san_names(options: Options, scale: int) -> Names:
    yield from _frame_names(scale)
    blocks = options["blocks"]
    for g in range(options["groups"]):
        group, ours = f"RG.{g}", f"groups.{g}"
        for j in (0, 2):
            for b in range(blocks):
                yield f"{group}.rcab.{b}.conv_first.{j}", f"{ours}.layers.{b}.layers.{j}"
            yield f"{group}.soca.conv_du.{j}", f"{ours}.layers.{blocks}.weights.{j}"
        yield f"{group}.conv_last", f"{ours}.layers.{blocks + 1}"
        yield f"{group}.gamma", f"{ours}.unread_gamma"
    # Keys and values are followed by a pooling layer.
    for published, part in (("theta", "query"), ("phi.0", "key"), ("g.0", "value"), ("W", "out")):
        yield f"non_local.non_local.{published}", f"non_local.{part}"
    yield "gamma", "gamma"
    yield "conv_last", "unread_conv"


SAN = Layout(
    "SAN (daitao)",
    models={
        "san_s": {"groups": 6, "blocks": 10, "width": 64},
        "san_t": {"groups": 20, "blocks": 10, "width": 64},
    },
    signature=(
        "RG.0.rcab.0.conv_first.0.weight",
        "RG.0.soca.conv_du.0.weight",
        "non_local.non_local.theta.weight",
        *_FRAME,
    ),
    options=_san_options,
    names=_san_names,
    scale=_frame_scale,
    unread=("non_local.soca.",),
    mean_shift=_EDSR_SHIFT,
)
