"""The fp32 graph of a bundle, each step checked against the one before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from export.heads import with_float_io
from export.onnx_export import export_onnx
from export.rewrite import rewrite_deconvolution
from export.simplify import simplify
from export.source import Source
from export.verify import (
    PARITY_TOLERANCE,
    RESPONSE_LIMIT,
    check_grey_levels,
    check_response,
    check_same,
    check_torch_parity,
)
from runtime.manifest import LARGEST_FILE

if TYPE_CHECKING:
    from edge_sr.models.network import Network


@dataclass(frozen=True)
class Check:
    """A gate that was passed."""

    name: str
    measured: float
    allowed: float
    unit: str


@dataclass(frozen=True)
class FloatGraph:
    """The float grey-level graph, what was done to get it, and what was checked."""

    twin: onnx.ModelProto
    steps: tuple[str, ...]
    checks: tuple[Check, ...]


def build_float_graph(source: Source) -> FloatGraph:
    """Export, rewrite, go to grey levels, simplify; ParityError if a step changes the result.

    Raises ValueError for a network whose weights do not fit into a file of a bundle.
    """
    steps, checks = [], []

    def passed(name: str, measured: float) -> None:
        checks.append(Check(name, measured, PARITY_TOLERANCE, "of the range"))

    if source.network is not None:
        _check_size(source.network, source.path.name)
        exported = export_onnx(source.network)
        steps.append(f"exported from PyTorch: {len(exported.graph.node)} nodes")
        passed("exported graph against PyTorch", check_torch_parity(source.network, exported))
    else:
        assert source.graph is not None
        exported = source.graph
        steps.append(f"read {source.path.name}: {len(exported.graph.node)} nodes")
    response = check_response(exported)
    checks.append(
        Check("range left on noise and checkerboards", response, RESPONSE_LIMIT, "ranges")
    )
    rewritten, notes = rewrite_deconvolution(exported)
    steps += notes
    passed("rewritten graph against exported", check_same(exported, rewritten, "the rewrite"))
    twin, note = simplify(with_float_io(rewritten))
    steps.append(note)
    passed("grey-level graph against rewritten", check_grey_levels(rewritten, twin))
    return FloatGraph(twin, tuple(steps), tuple(checks))


def _check_size(network: Network, name: str) -> None:
    """ONNX files above 2 GB need weights beside them; a bundle's files end long before that."""
    size = sum(4 * tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    if size > LARGEST_FILE:
        raise ValueError(
            f"the weights of {name} are {size / 2**20:.0f} MiB in float32; a bundle holds files of "
            f"at most {LARGEST_FILE >> 20} MiB"
        )
