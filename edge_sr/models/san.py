"""SAN (Dai et al., CVPR 2019) as FAKD trains it: second-order attention and non-local regions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.models.edsr import ResidualBlock
from edge_sr.models.edsr_frame import EdsrFrame, check_count, conv3x3
from edge_sr.models.rcan import ChannelWeights
from edge_sr.models.spec import ModelSpec

# Covariances are taken over at most so many rows and columns around the centre.
LARGEST_SIDE = 1000
SQUARE_ROOT_STEPS = 5
# Of a picture without any contrast, where the published code divides zero by zero.
SMALLEST_TRACE = 1e-12


def centre_crop(features: Tensor) -> Tensor:
    """At most 1000 rows and columns of [N, C, H, W], around the centre."""
    for dim in (2, 3):
        size = features.shape[dim]
        length = torch.sym_min(size, LARGEST_SIDE)  # type: ignore[no-untyped-call]
        features = features.narrow(dim, (size - length) // 2, length)
    return features


def covariance(features: Tensor) -> Tensor:
    """[N, C, H, W] to the covariances of its channels over all positions, [N, C, C].

    As the product of centred features; the published code multiplies by the centring matrix of
    (H*W) x (H*W), which is the same and needs 16 GiB for a picture of 240x160.
    """
    flat = features.flatten(2)
    centred = flat - flat.mean(2, keepdim=True)
    return centred @ centred.transpose(1, 2) / flat.shape[2]


def matrix_square_root(matrix: Tensor, steps: int = SQUARE_ROOT_STEPS) -> Tensor:
    """Square root of positive semi-definite [N, C, C] by coupled Newton-Schulz (SAN, section 3.3).

    The network's definition is five steps: eigenvalues far below the trace are then still on their
    way to the root. The root of zero is zero.
    """
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    trace = (matrix * eye).sum((1, 2), keepdim=True).clamp_min(SMALLEST_TRACE)
    root = matrix / trace
    inverse: Tensor | None = None
    for _ in range(steps):
        product = root if inverse is None else inverse @ root
        step = 1.5 * eye - 0.5 * product
        root, inverse = root @ step, step if inverse is None else step @ inverse
    return root * trace.sqrt()


class SecondOrderAttention(nn.Module):
    """Channels weighted by their covariances with all others (SAN, section 3.3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weights = ChannelWeights(width)

    def forward(self, features: Tensor) -> Tensor:
        """[N, width, H, W] to the same."""
        root = matrix_square_root(covariance(centre_crop(features)))
        out: Tensor = features * self.weights(root.mean(1)[:, :, None, None])
        return out


class NonLocal(nn.Module):
    """In each quadrant of the picture, every position attends to all others (SAN, section 3.2).

    Embedded Gaussian without scaling, added to the input; starts as the identity. Keys and values
    are the largest of ``key_pooling`` squared neighbours. PyTorch's memory-efficient attention
    kernels hold no matrix of positions by positions.
    """

    def __init__(self, width: int, attention_width: int, key_pooling: int) -> None:
        super().__init__()
        self.key_pooling = key_pooling
        self.query = nn.Conv2d(width, attention_width, 1)
        self.key = nn.Conv2d(width, attention_width, 1)
        self.value = nn.Conv2d(width, attention_width, 1)
        self.out = nn.Conv2d(attention_width, width, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor) -> Tensor:
        """[N, width, H, W] to the same."""
        inputs = (self.query(features), self.key(features), self.value(features))
        rows = []
        for row in zip(*(_halves(tensor, 2) for tensor in inputs), strict=True):
            regions = zip(*(_halves(tensor, 3) for tensor in row), strict=True)
            rows.append(torch.cat([self._attend(*region) for region in regions], 3))
        out: Tensor = self.out(torch.cat(rows, 2)) + features
        return out

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """softmax(query^T key) applied to value, over the positions of [N, C, H, W]."""
        if self.key_pooling > 1:
            key, value = _pooled(key, self.key_pooling), _pooled(value, self.key_pooling)
        rows = [
            tensor.flatten(2).transpose(1, 2).contiguous().unsqueeze(1)
            for tensor in (query, key, value)
        ]
        out = functional.scaled_dot_product_attention(rows[0], rows[1], rows[2], scale=1.0)
        return out.squeeze(1).transpose(1, 2).reshape(query.shape)


def _halves(tensor: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The first floor(size/2) and the rest."""
    size = tensor.shape[dim]
    return tensor.narrow(dim, 0, size // 2), tensor.narrow(dim, size // 2, size - size // 2)


def _pooled(tensor: Tensor, factor: int) -> Tensor:
    """The largest of each ``factor`` x ``factor`` samples; a side below ``factor`` becomes one."""
    below = torch.sym_max(factor - tensor.shape[2], 0)  # type: ignore[no-untyped-call]
    right = torch.sym_max(factor - tensor.shape[3], 0)  # type: ignore[no-untyped-call]
    padded = functional.pad(tensor, (0, right, 0, below), value=-torch.inf)
    return functional.max_pool2d(padded, factor)


class LocalSourceGroup(nn.Module):
    """Residual blocks, second-order attention and a conv3x3, plus the input (SAN, eq. 5)."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(ResidualBlock(width) for _ in range(blocks)),
            SecondOrderAttention(width),
            conv3x3(width, width),
        )
        # The published network holds and counts it, and nothing reads it.
        self.unread_gamma = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """[N, width, H, W] to the same."""
        out: Tensor = self.layers(features) + features
        return out


class San(EdsrFrame):
    """Groups with a shared skip between two passes of one non-local module, inside the frame.

    FAKD's variant: ``attention_width`` is 16; the authors' release has 8. The code of both pools
    keys and values by 2, as a variable overwrites the flag against it; ``key_pooling`` 1 is the
    paper's formula. The features are those after a third and two thirds of the groups, rounded up
    as FAKD does, and the last non-local output, before the long skip. Covariances
    and regions are those of the whole picture, so the network cannot run in tiles.

    ``unread_gamma`` of each group and ``unread_conv`` are in the published checkpoints and in the
    papers' parameter counts, but no result depends on them; they are not trained.
    """

    def __init__(
        self,
        scale: int,
        *,
        groups: int = 6,
        blocks: int = 10,
        width: int = 64,
        attention_width: int = 16,
        key_pooling: int = 2,
        name: str = "san_s",
    ) -> None:
        super().__init__(scale, width)
        check_count("groups", groups)
        if key_pooling < 1:
            raise ValueError(f"key_pooling {key_pooling} must be at least 1")
        self.options: dict[str, Any] = {
            "groups": groups,
            "blocks": blocks,
            "width": width,
            "attention_width": attention_width,
            "key_pooling": key_pooling,
        }
        self.non_local = NonLocal(width, attention_width, key_pooling)
        self.groups = nn.ModuleList(LocalSourceGroup(width, blocks) for _ in range(groups))
        self.gamma = nn.Parameter(torch.zeros(1))
        self.unread_conv = conv3x3(width, width).requires_grad_(False)
        self.spec = ModelSpec(name, scale, "rgb", receptive_field_radius=0, tileable=False)
        third = -(-groups // 3)
        self.places = (third, 2 * third)

    def body(self, shallow: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Non-local, groups that each get the shared source, non-local, and the long skip."""
        source = deep = self.non_local(shallow)
        kept = []
        for count, group in enumerate(self.groups, start=1):
            deep = group(deep) + self.gamma * source
            if count in self.places:
                kept.append(deep)
        deep = self.non_local(deep)
        return deep + shallow, (*kept, deep)
