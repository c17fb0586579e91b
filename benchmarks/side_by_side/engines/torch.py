"""PyTorch, traced and frozen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from side_by_side.cases import TRANSPOSED
from side_by_side.chain import Array, Chain, transposed_tail
from side_by_side.engines.engine import Engine, Job
from side_by_side.reference import BASE_RADIUS, base_weight


class _Network(nn.Module):
    """The chain's layers in ``dtype``, the base in float32."""

    def __init__(self, chain: Chain, form: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.chain, self.form, self.dtype = chain, form, dtype
        self.weights = [self._tensor(layer.weight) for layer in chain.layers]
        self.biases = [self._tensor(layer.bias) for layer in chain.layers]
        self.slopes = [
            None if one.slope is None else self._tensor(one.slope) for one in chain.layers
        ]
        if form == TRANSPOSED:
            kernel, bias = transposed_tail(chain.tail, chain.scale)
            self.transposed, self.transposed_bias = self._tensor(kernel), self._tensor(bias)
        self.base = torch.from_numpy(base_weight(chain.scale))

    def _tensor(self, values: Array) -> Tensor:
        return torch.tensor(values).to(self.dtype)

    def forward(self, lr: Tensor) -> Tensor:
        scale, values = self.chain.scale, lr.to(self.dtype)
        for index, layer in enumerate(self.chain.layers[:-1]):
            values, slope = self._convolved(values, index), self.slopes[index]
            if slope is not None:
                values = functional.prelu(values, slope)
            if layer.clip is not None:
                values = values.clamp(*layer.clip)
        if self.form == TRANSPOSED:
            padding = self.transposed.shape[2] // 2
            sr = functional.conv_transpose2d(
                values, self.transposed, self.transposed_bias, scale, padding, scale - 1
            ).float()
        else:
            sr = functional.pixel_shuffle(self._convolved(values, -1).float(), scale)
        if self.chain.has_base:
            edge = functional.pad(lr, (BASE_RADIUS,) * 4, mode="replicate")
            sr = sr + functional.pixel_shuffle(functional.conv2d(edge, self.base), scale)
        return sr

    def _convolved(self, values: Tensor, index: int) -> Tensor:
        weight = self.weights[index]
        return functional.conv2d(values, weight, self.biases[index], padding=weight.shape[2] // 2)


def open_engine(job: Job) -> Engine:
    """FP32 or BF16 weights."""
    torch.set_num_threads(job.threads)
    torch.set_grad_enabled(False)
    dtype = torch.bfloat16 if job.case.precision == "bf16" else torch.float32
    batch = torch.from_numpy(job.batch)
    network = _Network(job.chain, job.case.form, dtype).eval()
    traced: Any = torch.jit.trace(network, batch)  # type: ignore[no-untyped-call]
    frozen = torch.jit.freeze(traced)
    return Engine(
        run=lambda: frozen(batch),
        result=lambda: frozen(batch)[0, 0].numpy(),
        version=torch.__version__,
    )
