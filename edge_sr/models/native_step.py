"""An FSRCNN's layers forward and backward in one native call, for training on a CPU.

PyTorch computes each layer over the whole batch, which streams every feature plane through memory
several times; ``edge_sr/native`` keeps strips of them in the cache. The sums are the same up to
the order of additions in float32.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from edge_sr.models.fsrcnn import Fsrcnn

_native: Any
try:
    _native = import_module("edge_sr._native")
except ImportError:  # a checkout that was not built, or EDGE_SR_PURE_PYTHON
    _native = None

WIDTH_MULTIPLE = 16
MAX_MAPS = 32


def reason_against(model: Fsrcnn, patch_size: int, device: torch.device) -> str | None:
    """Why this training cannot take the native step, or None if it can."""
    if device.type != "cpu":
        return f"the device is {device.type}"
    if _native is None:
        return "edge_sr._native is not built; pip install -e . builds it"
    if not _native.has_fsrcnn_step():
        return "this CPU has no AVX2"
    if patch_size % WIDTH_MULTIPLE:
        return f"patch size {patch_size} is no multiple of {WIDTH_MULTIPLE}"
    if len(model.map) > MAX_MAPS:
        return f"the network has more than {MAX_MAPS} mapping layers"
    return None


class NativeStep:
    """The learnt layers of ``model``, a training form, for patches of one size.

    Gradients flow to the parameters, not to the picture. PyTorch's own threads should rest
    meanwhile (``torch.set_num_threads(1)``): they wait busily for work and take the cores.
    ValueError for a size that :func:`reason_against` refuses.
    """

    def __init__(self, model: Fsrcnn, patch: tuple[int, int], threads: int) -> None:
        self.model, self.patch, self.threads = model, patch, threads
        options, tail = model.options, self.tail()
        sizes = options["d"], options["s"], options["m"], tail.scale**2, tail.low, tail.high
        self.native = _native.FsrcnnStep(*sizes, *patch, threads)
        self._free: list[Tensor] = []

    def of_copy(self, model: Fsrcnn) -> NativeStep:
        """The same for a copy of the model."""
        return NativeStep(model, self.patch, self.threads)

    @property
    def isa(self) -> str:
        """The instruction set in use: avx512 or avx2."""
        return str(self.native.isa)

    def takes(self, lr: Tensor) -> bool:
        """Whether a batch has the size of the patches and wants no gradient for itself."""
        return tuple(lr.shape[2:]) == self.patch and not lr.requires_grad

    def __call__(
        self,
        lr: Tensor,
        *,
        packed: Tensor | None = None,
        scales: Tensor | None = None,
        with_features: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """LR [N, 1, h, w] to phases [N, scale^2, h, w] and, if asked, features [N, d, h, w].

        ``packed`` are parameters from :meth:`pack`, ``scales`` the quantisation scale of each
        activation; None for the model's own, and for no quantisation.
        """
        if packed is None:
            tail = self.tail()
            packed = self.pack([layer[0].weight for layer in self.layers()], tail.subpixel_weight())
        scales = torch.zeros(len(self.model.map) + 3) if scales is None else scales
        phases: Tensor
        phases, features = _Layers.apply(lr, packed, scales, self, with_features)  # type: ignore[no-untyped-call]
        return phases, features

    def pack(
        self, weights: list[Tensor], tail_weight: Tensor, first_bias: Tensor | None = None
    ) -> Tensor:
        """One vector in the order of ``edge_sr/native/fsrcnn_step.h``.

        ``weights`` of the layers before the tail and the tail's, sub-pixel, may differ from the
        model's own, as may the first bias; slopes and other biases are the model's.
        """
        parts = []
        biases = [layer[0].bias for layer in self.layers()]
        biases[0] = biases[0] if first_bias is None else first_bias
        for weight, bias, layer in zip(weights, biases, self.layers(), strict=True):
            parts += [weight.reshape(-1), bias, layer[1].weight.expand(weight.shape[0])]
        parts += [tail_weight.reshape(-1), self.tail().bias.expand(tail_weight.shape[0])]
        return torch.cat(parts)

    def layers(self) -> list[Any]:
        """Convolution and PReLU of each layer before the tail."""
        model = self.model
        return [model.extract, model.shrink, *model.map, model.expand]

    def tail(self) -> Any:
        """The model's :class:`~edge_sr.models.reparam.SubpixelTail`."""
        return self.model.tail

    def take_memory(self, floats: int) -> _Memory:
        """Room for what the backward pass needs, from an earlier step if one is done."""
        tensor = self._free.pop() if self._free else torch.empty(0)
        if tensor.numel() != floats:
            tensor = torch.zeros(floats)
        return _Memory(tensor, self._free)


class _Memory:
    """A tensor that goes back to ``free`` with the graph that holds it."""

    def __init__(self, tensor: Tensor, free: list[Tensor]) -> None:
        self.tensor, self._free = tensor, free

    def __del__(self) -> None:
        self._free[:] = [self.tensor]


class _Layers(torch.autograd.Function):
    """Phases and features; None as a gradient means zero."""

    @staticmethod
    def forward(
        ctx: Any, lr: Tensor, packed: Tensor, scales: Tensor, step: NativeStep, with_features: bool
    ) -> tuple[Tensor, Tensor | None]:
        ctx.set_materialize_grads(False)
        count, _, height, width = lr.shape
        ctx.native = step.native
        ctx.packed, ctx.scales = packed.detach().contiguous(), scales.detach().contiguous()
        ctx.memory = step.take_memory(count * ctx.native.saved_floats)
        features = None
        if with_features:
            features = torch.empty(count, step.model.options["d"], height, width)
        phases = torch.empty(count, step.tail().scale ** 2, height, width)
        ctx.phases_shape = phases.shape
        ctx.native.forward(
            _array(ctx.packed),
            _array(ctx.scales),
            _array(lr.contiguous()),
            _array(ctx.memory.tensor),
            _array(phases),
            None if features is None else _array(features),
        )
        return phases, features

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        phases_gradient, features_gradient = grads
        if phases_gradient is None:
            phases_gradient = torch.zeros(ctx.phases_shape)
        native = ctx.native
        samples = torch.empty(phases_gradient.shape[0], native.parameters + native.scales)
        native.backward(
            _array(ctx.packed),
            _array(ctx.scales),
            _array(ctx.memory.tensor),
            _array(phases_gradient.contiguous()),
            None if features_gradient is None else _array(features_gradient.contiguous()),
            _array(samples),
        )
        total = samples.sum(0)
        return None, total[: native.parameters], total[native.parameters :], None, None


def _array(tensor: Tensor) -> Any:
    return tensor.numpy()
