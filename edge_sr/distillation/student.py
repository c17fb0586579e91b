"""The network that a run trains, at its start."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from edge_sr.distillation.config import RunConfig
from edge_sr.distillation.trainer import Process
from edge_sr.models import build_model
from edge_sr.models.checkpoint import load_checkpoint
from edge_sr.models.fsrcnn import Fsrcnn, start_from_bicubic
from edge_sr.models.native_step import NativeStep, reason_against
from edge_sr.models.network import Network
from edge_sr.models.reparam import use_training_form

# Mapping layers of so many channels are faster in bfloat16 on AMX than in the native step.
WIDE = 24


def fresh_network(config: RunConfig) -> Network:
    """The network of ``config`` with its first weights, in its training form."""
    model = build_model(config.model, config.scale, **config.model_options)
    if config.start == "bicubic" and isinstance(model, Fsrcnn):
        start_from_bicubic(model)
    if config.init is not None:
        _take_weights(model, Path(config.init), any_scale=config.method != "qat")
    return use_training_form(model)


def fsrcnn_of(network: Network, what: str) -> Fsrcnn:
    """The network, which ``what`` needs to be an FSRCNN; ValueError if it is another."""
    if not isinstance(network, Fsrcnn):
        raise ValueError(f"{what} is for networks of FSRCNN's kind, not {network.spec.name}")
    return network


def choose_layers(network: Network, config: RunConfig, process: Process, whose: str) -> None:
    """Give an FSRCNN the native step where it can take it, and say what computes the layers."""
    if not isinstance(network, Fsrcnn):
        return
    against = reason_against(network, config.patch_size, process.device)
    if not process.native_step:
        against = "so it was asked"
    elif config.bf16 and config.method != "qat" and network.options["s"] >= WIDE:
        against = "at this width faster in bfloat16"
    if against is None:
        network.native_step = NativeStep(network, (config.patch_size,) * 2, torch.get_num_threads())
    if process.is_main:
        step = network.native_step
        layers = f"PyTorch, {against}" if step is None else f"native step, {step.isa}"
        print(f"{whose} layers: {layers}", file=sys.stderr)  # noqa: T201


def _take_weights(model: Network, checkpoint: Path, *, any_scale: bool) -> None:
    """Load a checkpoint's weights; those of another scale but for what belongs to it."""
    given, _ = load_checkpoint(checkpoint)
    is_same_scale = given.spec.scale == model.spec.scale
    is_same_network = (given.spec.name, given.options) == (model.spec.name, model.options)
    if not is_same_network or not (is_same_scale or any_scale):
        raise ValueError(
            f"{checkpoint} is {given.spec.name} x{given.spec.scale} {given.options}, not "
            f"{model.spec.name} x{model.spec.scale} {model.options}"
        )
    weights = given.state_dict()
    if not is_same_scale:
        own = tuple(f"{layer}." for layer in model.scale_layers)
        weights = {k: v for k, v in weights.items() if not k.startswith(own)}
        weights |= {k: v for k, v in model.state_dict().items() if k.startswith(own)}
    model.load_state_dict(weights)
