"""In which precision an engine runs each convolution, beside what the graph asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from runtime.errors import BackendError


@dataclass(frozen=True)
class LayerPrecision:
    """A convolution of the graph: ``asked`` by its types, ``runs`` as the inspector tells.

    ``runs`` is None where the engine fused the layer into a region that does not tell.
    """

    name: str
    asked: str
    runs: str | None


def checked_precisions(trt: Any, network: Any, engine: Any) -> tuple[LayerPrecision, ...]:
    """Read back from an engine; BackendError if one is not what the network says."""
    told = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    layers = compare_precisions(asked_precisions(trt, network), told)
    wrong = [layer for layer in layers if layer.runs not in (None, layer.asked)]
    if wrong:
        texts = [f"{layer.name} runs in {layer.runs}, not {layer.asked}" for layer in wrong]
        raise BackendError(f"the engine is not what the graph says: {'; '.join(texts)}")
    return layers


# What the inspector writes of a tensor's format, in lower case, to the name of a precision. The
# long texts come with an execution context, the short ones without.
_FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"int8": ("int8",), "fp16": ("half", "fp16"), "fp32": ("float", "fp32")}
)


def asked_precisions(trt: Any, network: Any) -> dict[str, str]:
    """Each convolution of a parsed network to the precision that its input's type asks for."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    producers = {}
    for layer in layers:
        for index in range(layer.num_outputs):
            producers[layer.get_output(index).name] = layer
    types = {trt.DataType.FLOAT: "fp32", trt.DataType.HALF: "fp16", trt.DataType.BF16: "bf16"}
    asked = {}
    for layer in layers:
        if layer.type not in (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION):
            continue
        source = layer.get_input(0)
        producer = producers.get(source.name)
        dequantized = producer is not None and producer.type == trt.LayerType.DEQUANTIZE
        asked[layer.name] = "int8" if dequantized else types.get(source.dtype, str(source.dtype))
    return asked


def compare_precisions(asked: Mapping[str, str], told: str) -> tuple[LayerPrecision, ...]:
    """What each convolution runs in, by the inspector's JSON."""
    try:
        records = json.loads(told).get("Layers", [])
    except (ValueError, AttributeError) as error:
        raise BackendError(f"the engine inspector's report is no JSON object: {error}") from error
    engine_layers = [record for record in records if isinstance(record, dict)]
    return tuple(
        LayerPrecision(name, precision, _running(name, asked, engine_layers))
        for name, precision in asked.items()
    )


def _running(
    name: str, asked: Mapping[str, str], records: Iterable[Mapping[str, Any]]
) -> str | None:
    for record in records:
        covered = _layers_in(record, asked)
        if name not in covered or _is_copy(record):
            continue
        # A region of several convolutions does not tell them apart.
        return _precision_of(record) if len(covered) == 1 else None
    return None


def _layers_in(record: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Convolutions that an engine layer is made of, by its name and its ONNX metadata."""
    text = f"{record.get('Name', '')} {record.get('Metadata', '')}"
    return [name for name in names if _mentions(text, name)]


def _mentions(text: str, name: str) -> bool:
    """Whether a name stands in the text by itself, not as the start or end of a longer one."""
    start = text.find(name)
    while start >= 0:
        before, after = text[:start][-1:], text[start + len(name) :][:1]
        if not (_is_of_name(before) or _is_of_name(after)):
            return True
        start = text.find(name, start + 1)
    return False


def _is_of_name(character: str) -> bool:
    return character.isalnum() or (character != "" and character in "._/")


def _is_copy(record: Mapping[str, Any]) -> bool:
    return str(record.get("LayerType", "")).lower() in ("reformat", "nooplayer", "constant")


def _precision_of(record: Mapping[str, Any]) -> str | None:
    """By the type of the weights, or else of the first input."""
    weights = record.get("Weights")
    texts = [weights.get("Type")] if isinstance(weights, dict) else []
    inputs = record.get("Inputs")
    if isinstance(inputs, list) and inputs and isinstance(inputs[0], dict):
        texts.append(inputs[0].get("Format/Datatype"))
    for text in texts:
        for precision, words in _FORMATS.items():
            if isinstance(text, str) and any(word in text.lower() for word in words):
                return precision
    return None
