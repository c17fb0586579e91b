"""Published weights of networks on luminance: FSRCNN, VDSR, IDN."""

from __future__ import annotations

from edge_sr.published.layout import Layout, Names, Options, Tensors, channels, count

_FSRCNN = {"fsrcnn": {"d": 56, "s": 12, "m": 4}, "fsrcnn_l": {"d": 56, "s": 56, "m": 4}}


def _fsrcnn_port_options(tensors: Tensors) -> Options:
    return {
        "d": channels(tensors, "first_part.0.weight"),
        "s": channels(tensors, "mid_part.0.weight"),
        # Shrinking and expanding are the two others.
        "m": count(tensors, r"mid_part\.\d+\.bias") - 2,
        "shared_prelu": tensors["first_part.1.weight"].numel() == 1,
    }


def _fsrcnn_port_names(options: Options, scale: int) -> Names:
    mapping = [f"map.{i}" for i in range(options["m"])]
    for part in (0, 1):
        yield f"first_part.{part}", f"extract.{part}"
        for index, layer in enumerate(("shrink", *mapping, "expand")):
            yield f"mid_part.{2 * index + part}", f"{layer}.{part}"
    yield "last_part", "tail"


FSRCNN_PYTORCH = Layout(
    "FSRCNN-pytorch (yjn870)",
    models=_FSRCNN,
    signature=("first_part.0.weight", "first_part.1.weight", "mid_part.0.weight"),
    options=_fsrcnn_port_options,
    names=_fsrcnn_port_names,
)


def _fsrcnn_pisr_options(tensors: Tensors) -> Options:
    return {
        "d": channels(tensors, "feature_extraction.0.0.weight"),
        "s": channels(tensors, "shrinking.0.0.weight"),
        "m": count(tensors, r"mapping\.\d+\.0\.weight"),
        "shared_prelu": tensors["feature_extraction.0.1.weight"].numel() == 1,
    }


def _fsrcnn_pisr_names(options: Options, scale: int) -> Names:
    for part in (0, 1):
        yield f"feature_extraction.0.{part}", f"extract.{part}"
        yield f"shrinking.0.{part}", f"shrink.{part}"
        for i in range(options["m"]):
            yield f"mapping.{i}.{part}", f"map.{i}.{part}"
        yield f"expanding.0.{part}", f"expand.{part}"
    yield "last_layer.0.0", "tail"


FSRCNN_PISR = Layout(
    "PISR (cvlab-yonsei)",
    models=_FSRCNN,
    signature=(
        "feature_extraction.0.0.weight",
        "feature_extraction.0.1.weight",
        "shrinking.0.0.weight",
    ),
    options=_fsrcnn_pisr_options,
    names=_fsrcnn_pisr_names,
)


def _vdsr_options(tensors: Tensors) -> Options:
    return {
        "width": channels(tensors, "input.weight"),
        "depth": count(tensors, r"residual_layer\.\d+\.conv\.weight") + 2,
        "bias": "input.bias" in tensors,
    }


def _vdsr_names(options: Options, scale: int) -> Names:
    yield "input", "layers.0.0"
    for i in range(options["depth"] - 2):
        yield f"residual_layer.{i}.conv", f"layers.{i + 1}.0"
    yield "output", "tail"


VDSR_PYTORCH = Layout(
    "pytorch-vdsr (twtygqyy)",
    models={"vdsr": {"width": 64, "depth": 20}},
    signature=("input.weight", "residual_layer.0.conv.weight", "output.weight"),
    options=_vdsr_options,
    names=_vdsr_names,
)


def _idn_options(tensors: Tensors) -> Options:
    width = channels(tensors, "conv1.weight")
    return {
        "width": width,
        "d": width - channels(tensors, "conv3_1.weight"),
        "blocks": count(tensors, r"down\d+\.weight"),
        "tail": "deconvolution_last",
    }


def _idn_names(options: Options, scale: int) -> Names:
    yield "conv1", "extract.0.0"
    yield "conv2", "extract.1.0"
    for i in range(options["blocks"]):
        for k in range(3):
            yield f"conv{i + 3}_{k + 1}", f"blocks.{i}.first.{k}.0"
            yield f"conv{i + 3}_{k + 4}", f"blocks.{i}.second.{k}.0"
        yield f"down{i + 1}", f"blocks.{i}.compress.0"
    yield "upsample", "tail"


IDN_CAFFE = Layout(
    "IDN-Caffe (Zheng222)",
    models={"idn": {"width": 64, "d": 16, "blocks": 4}},
    signature=("conv1.weight", "conv3_1.weight", "down1.weight", "upsample.weight"),
    options=_idn_options,
    names=_idn_names,
)
