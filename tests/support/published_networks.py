"""The published networks as their repositories name and nest their layers, at any width.

Written from the papers and the layouts' names, not from our networks: what a converted checkpoint
must compute. Each takes what the published one takes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.data.resample import upscale

MEAN = (0.4488, 0.4371, 0.4040)


def conv(a: int, b: int, k: int = 3, *, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(a, b, k, padding=k // 2, groups=groups, bias=bias)


def matlab_upscale(lr: Tensor, scale: int) -> Tensor:
    planes = [[upscale(plane.double().numpy(), scale) for plane in picture] for picture in lr]
    return torch.from_numpy(np.array(planes)).float()


class Sum(nn.Module):
    """A body whose output, times ``factor``, is added to its input."""

    def __init__(self, *layers: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x + self.factor * self.body(x)


class FsrcnnPort(nn.Module):
    def __init__(self, scale: int, d: int, s: int, m: int) -> None:
        super().__init__()
        self.first_part = nn.Sequential(conv(1, d, 5), nn.PReLU(d))
        middle = [conv(d, s, 1), nn.PReLU(s)]
        for _ in range(m):
            middle += [conv(s, s), nn.PReLU(s)]
        self.mid_part = nn.Sequential(*middle, conv(s, d, 1), nn.PReLU(d))
        self.last_part = nn.ConvTranspose2d(d, 1, 9, scale, 4, output_padding=scale - 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last_part(self.mid_part(self.first_part(x)))


class FsrcnnPisr(nn.Module):
    """The student with its estimators, which nothing reads at inference."""

    def __init__(self, scale: int, d: int, s: int, m: int) -> None:
        super().__init__()

        def stage(*sizes: tuple[int, int, int]) -> nn.Sequential:
            return nn.Sequential(*(nn.Sequential(conv(*size), nn.PReLU()) for size in sizes))

        network = nn.Sequential()
        network.add_module("feature_extraction", stage((1, d, 5)))
        network.add_module("shrinking", stage((d, s, 1)))
        network.add_module("mapping", stage(*[(s, s, 3)] * m))
        network.add_module("expanding", stage((s, d, 1)))
        tail = nn.ConvTranspose2d(d, 1, 9, scale, 4, output_padding=scale - 1)
        network.add_module("last_layer", nn.Sequential(nn.Sequential(tail)))
        self.backbone = nn.Module()
        self.backbone.network = network
        self.vid_module_dict = nn.Sequential()
        self.vid_module_dict.add_module("expanding_mean", nn.Sequential(conv(d, d, 1)))

    def forward(self, x: Tensor) -> Tensor:
        network = self.backbone.network
        assert isinstance(network, nn.Module)
        return network(x)


class VdsrBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.relu = conv(width, width, bias=False), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x))


class Vdsr(nn.Module):
    def __init__(self, scale: int, width: int, depth: int) -> None:
        super().__init__()
        self.residual_layer = nn.Sequential(*(VdsrBlock(width) for _ in range(depth - 2)))
        self.input = conv(1, width, bias=False)
        self.output = conv(width, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        x = matlab_upscale(x, self.scale)
        return x + self.output(self.residual_layer(self.relu(self.input(x))))


class IdnCaffe(nn.Module):
    """Layers by Caffe's names; the picture lacks the first scale - 1 rows and columns."""

    def __init__(self, scale: int, width: int, d: int, blocks: int) -> None:
        super().__init__()
        self.scale, self.d, self.count = scale, d, blocks
        layers = {"conv1": conv(1, width), "conv2": conv(width, width)}
        for b in range(blocks):
            sizes = [
                (width, width - d, 1),
                (width - d, width - 2 * d, 4),
                (width - 2 * d, width, 1),
            ]
            sizes += [(width - d, width, 1), (width, width - d, 4), (width - d, width + d, 1)]
            for k, (a, c, groups) in enumerate(sizes, start=1):
                layers[f"conv{b + 3}_{k}"] = conv(a, c, groups=groups)
            layers[f"down{b + 1}"] = conv(width + d, width, 1)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.upsample = nn.ConvTranspose2d(width, 1, 17, scale, 8)

    def forward(self, lr: Tensor) -> Tensor:
        def run(name: str, x: Tensor) -> Tensor:
            return functional.leaky_relu(self.get_submodule(name)(x), 0.05)

        x = run("conv2", run("conv1", lr))
        for b in range(self.count):
            first = x
            for k in (1, 2, 3):
                first = run(f"conv{b + 3}_{k}", first)
            second = first[:, self.d :]
            for k in (4, 5, 6):
                second = run(f"conv{b + 3}_{k}", second)
            together = torch.cat([x, first[:, : self.d]], 1) + second
            x = run(f"down{b + 1}", together)
        shift = self.scale - 1
        return self.upsample(x) + matlab_upscale(lr, self.scale)[:, :, shift:, shift:]


class CarnShift(nn.Module):
    def __init__(self, sign: int) -> None:
        super().__init__()
        self.shifter = mean_shift(1, sign)

    def forward(self, x: Tensor) -> Tensor:
        return self.shifter(x)


def mean_shift(white: float, sign: int) -> nn.Conv2d:
    layer = nn.Conv2d(3, 3, 1)
    layer.weight.data = torch.eye(3).view(3, 3, 1, 1)
    layer.bias.data = sign * white * torch.tensor(MEAN)
    return layer.requires_grad_(False)


class CarnUnit(Sum):
    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(super().forward(x))


class CarnCascade(nn.Module):
    def __init__(self, width: int, units: list[nn.Module]) -> None:
        super().__init__()
        for i, unit in enumerate(units):
            self.add_module(f"b{i + 1}", unit)
        for i in range(3):
            fusion = nn.Module()
            fusion.body = nn.Sequential(conv((i + 2) * width, width, 1), nn.ReLU())
            self.add_module(f"c{i + 1}", fusion)
        self.units = len(units)

    def cascade(self, x: Tensor) -> Tensor:
        together = x
        for i in range(3):
            unit = self.get_submodule(f"b{i % self.units + 1}")
            together = torch.cat([together, unit(x)], 1)
            x = self.get_submodule(f"c{i + 1}.body")(together)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.cascade(x)


class Carn(CarnCascade):
    def __init__(self, scale: int, width: int, *, mobile: bool, many_scales: bool) -> None:
        groups = 4 if mobile else 1

        def unit() -> nn.Module:
            layers = [
                conv(width, width, groups=groups),
                nn.ReLU(),
                conv(width, width, groups=groups),
            ]
            return CarnUnit(*layers, *([nn.ReLU(), conv(width, width, 1)] if mobile else []))

        def block() -> nn.Module:
            return CarnCascade(width, [unit() for _ in range(1 if mobile else 3)])

        def upsampler(factors: tuple[int, ...]) -> nn.Module:
            layers: list[nn.Module] = []
            for f in factors:
                layers += [conv(width, width * f * f, groups=groups), nn.ReLU(), nn.PixelShuffle(f)]
            holder = nn.Module()
            holder.body = nn.Sequential(*layers)
            return holder

        super().__init__(width, [block() for _ in range(3)])
        self.sub_mean, self.add_mean = CarnShift(-1), CarnShift(1)
        self.entry, self.exit = conv(3, width), conv(width, 3)
        self.upsample = nn.Module()
        factors = {2: (2,), 3: (3,), 4: (2, 2)}
        if many_scales:
            for each in (2, 3, 4):
                self.upsample.add_module(f"up{each}", upsampler(factors[each]))
            self.up = f"upsample.up{scale}.body"
        else:
            self.upsample.add_module("up", upsampler(factors[scale]))
            self.up = "upsample.up.body"

    def forward(self, x: Tensor) -> Tensor:
        x = self.cascade(self.entry(self.sub_mean(x)))
        return self.add_mean(self.exit(self.get_submodule(self.up)(x)))


class Edsr(nn.Module):
    """EDSR, RCAN and SAN's frame: samples of 0 to ``white``."""

    def __init__(self, scale: int, width: int, body: list[nn.Module], white: float = 255) -> None:
        super().__init__()
        self.sub_mean, self.add_mean = mean_shift(white, -1), mean_shift(white, 1)
        self.white = white
        self.head = nn.Sequential(conv(3, width))
        self.body = nn.Sequential(*body)
        up: list[nn.Module] = []
        for f in (2, 2) if scale == 4 else (scale,):
            up += [conv(width, width * f * f), nn.PixelShuffle(f)]
        self.tail = nn.Sequential(nn.Sequential(*up), conv(width, 3))

    def trunk(self, x: Tensor) -> Tensor:
        return x + self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.head(self.sub_mean(x * self.white))
        return self.add_mean(self.tail(self.trunk(shallow))) / self.white


def edsr(scale: int, width: int, blocks: int, factor: float, white: float = 255) -> Edsr:
    bodies = [
        Sum(conv(width, width), nn.ReLU(True), conv(width, width), factor=factor)
        for _ in range(blocks)
    ]
    return Edsr(scale, width, [*bodies, conv(width, width)], white)


class Attention(nn.Module):
    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        narrow = width // reduction
        self.conv_du = nn.Sequential(
            conv(width, narrow, 1), nn.ReLU(True), conv(narrow, width, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_du(x.mean((2, 3), keepdim=True))


def rcan(scale: int, width: int, groups: int, blocks: int, reduction: int) -> Edsr:
    def block() -> nn.Module:
        layers = conv(width, width), nn.ReLU(True), conv(width, width)
        return Sum(*layers, Attention(width, reduction))

    residual = [Sum(*(block() for _ in range(blocks)), conv(width, width)) for _ in range(groups)]
    return Edsr(scale, width, [*residual, conv(width, width)])


class Covariance(Attention):
    """Weights from the root of the covariances, by the centring matrix and explicit steps."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        flat = x.reshape(n, c, h * w)
        centre = torch.eye(h * w) / (h * w) - torch.ones(h * w, h * w) / (h * w) ** 2
        matrix = flat @ centre @ flat.transpose(1, 2)
        trace = torch.diagonal(matrix, dim1=1, dim2=2).sum(1).view(n, 1, 1)
        a, three = matrix / trace, 3 * torch.eye(c)
        z = (three - a) / 2
        y = a @ z
        for _ in range(3):
            step = (three - z @ y) / 2
            y, z = y @ step, step @ z
        root = y @ (three - z @ y) / 2 * trace.sqrt()
        return x * self.conv_du(root.mean(1).view(n, c, 1, 1))


class SanBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_first = nn.Sequential(conv(width, width), nn.ReLU(True), conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_first(x)


class SanGroup(nn.Module):
    def __init__(self, width: int, blocks: int, reduction: int) -> None:
        super().__init__()
        self.rcab = nn.ModuleList(SanBlock(width) for _ in range(blocks))
        self.soca = Covariance(width, reduction)
        self.conv_last = conv(width, width)
        self.gamma = nn.Parameter(torch.randn(1))

    def forward(self, x: Tensor) -> Tensor:
        inner = x
        for block in self.rcab:
            inner = block(inner)
        return x + self.conv_last(self.soca(inner))


class SanNonLocal(nn.Module):
    """Keys and values are pooled by 2, in the repositories' code."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.g = nn.Sequential(conv(width, inner, 1), nn.MaxPool2d(2))
        self.W = conv(inner, width, 1)
        self.theta = conv(width, inner, 1)
        self.phi = nn.Sequential(conv(width, inner, 1), nn.MaxPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        theta, phi, g = (part(x).flatten(2) for part in (self.theta, self.phi, self.g))
        weights = (theta.transpose(1, 2) @ phi).softmax(2)
        y = (weights @ g.transpose(1, 2)).transpose(1, 2)
        return x + self.W(y.reshape(len(x), -1, *x.shape[2:]))


class SanRegions(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.soca = Covariance(width, 2)
        self.non_local = SanNonLocal(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2] // 2, x.shape[3] // 2
        rows = [
            torch.cat([self.non_local(rows[..., :w]), self.non_local(rows[..., w:])], 3)
            for rows in (x[:, :, :h], x[:, :, h:])
        ]
        return torch.cat(rows, 2)


class San(Edsr):
    def __init__(
        self, scale: int, width: int, groups: int, blocks: int, reduction: int, inner: int
    ) -> None:
        super().__init__(scale, width, [])
        del self.body
        self.RG = nn.ModuleList(SanGroup(width, blocks, reduction) for _ in range(groups))
        self.conv_last = conv(width, width)
        self.gamma = nn.Parameter(torch.randn(1))
        self.non_local = SanRegions(width, inner)

    def trunk(self, x: Tensor) -> Tensor:
        source = deep = self.non_local(x)
        for group in self.RG:
            deep = group(deep) + self.gamma * source
        return x + self.non_local(deep)
