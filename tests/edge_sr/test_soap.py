from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from edge_sr.distillation.soap import Soap


def ill_conditioned(optimizer: str, *, steps: int = 400) -> float:
    """Loss of a linear map learnt from inputs whose directions differ a hundredfold in size."""
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(12, 12, generator=generator)).Q
    inputs = torch.randn(256, 12, generator=generator) * torch.logspace(0, -2, 12)
    inputs = inputs @ turn
    target = inputs @ torch.randn(12, 5, generator=generator)
    layer = nn.Linear(12, 5)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    made = {
        "soap": lambda: Soap(layer.parameters(), 0.1),
        "adam": lambda: torch.optim.Adam(layer.parameters(), 0.1, betas=(0.95, 0.95)),
    }[optimizer]()
    for step in range(steps):
        made.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
        loss = (layer(inputs) - target).square().mean()
        made.zero_grad()
        loss.backward()
        made.step()
    return float(loss.detach())


def test_directions_of_very_different_size_are_learnt_far_faster_than_by_adam() -> None:
    assert ill_conditioned("soap") < 0.1 * ill_conditioned("adam")


def test_vectors_are_plain_adam() -> None:
    start = torch.randn(7)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    soap = Soap([ours], 0.01, betas=(0.9, 0.99))
    adam = torch.optim.Adam([theirs], 0.01, betas=(0.9, 0.99))
    for _ in range(20):
        for weight, optimizer in ((ours, soap), (theirs, adam)):
            optimizer.zero_grad()
            (weight - torch.arange(7.0)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def step_by_the_paper(weight: Tensor, grads: list[Tensor], lr: float) -> Tensor:
    """Algorithm 3 written out for a 4x6 matrix in float64, with a refresh at every third step."""
    first, second, eps = 0.95, 0.95, 1e-8
    rows, columns = torch.zeros(4, 4).double(), torch.zeros(6, 6).double()
    row_basis, column_basis = torch.eye(4).double(), torch.eye(6).double()
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for count, grad in enumerate(grads, 1):
        mean = first * mean + (1 - first) * grad
        square = second * square + (1 - second) * (row_basis.T @ grad @ column_basis) ** 2
        turned = row_basis.T @ (mean / (1 - first**count)) @ column_basis
        normal = turned / ((square / (1 - second**count)).sqrt() + eps)
        weight = weight - lr * row_basis @ normal @ column_basis.T
        rows = second * rows + (1 - second) * grad @ grad.T
        columns = second * columns + (1 - second) * grad.T @ grad
        if count % 3 == 0:
            row_basis = torch.linalg.qr(rows @ row_basis).Q
            column_basis = torch.linalg.qr(columns @ column_basis).Q
    return weight


def test_steps_are_those_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(4, 6, generator=generator, dtype=torch.float64) for _ in range(8)]
    start = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    weight = nn.Parameter(start.clone())
    optimizer = Soap([weight], 0.05, refresh_every=3)
    for grad in grads:
        weight.grad = grad
        optimizer.step()
    torch.testing.assert_close(weight.detach(), step_by_the_paper(start, grads, 0.05))


def test_kernels_are_matrices_of_outputs_in_any_memory_format() -> None:
    generator = torch.Generator().manual_seed(2)
    start = torch.randn(3, 4, 3, 3, generator=generator)
    grads = [torch.randn(3, 4, 3, 3, generator=generator) for _ in range(12)]
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = nn.Parameter(start.clone(memory_format=layout))
        optimizer = Soap([weight], 0.05)
        for grad in grads:
            weight.grad = grad.clone(memory_format=layout)
            optimizer.step()
        results.append(weight.detach().contiguous())
    torch.testing.assert_close(*results)


def test_saved_state_goes_on_where_it_was() -> None:
    generator = torch.Generator().manual_seed(3)
    grads = [torch.randn(4, 5, generator=generator) for _ in range(25)]
    weight = nn.Parameter(torch.zeros(4, 5))
    optimizer = Soap([weight], 0.05)
    for count, grad in enumerate(grads):
        if count == 12:
            saved = copy.deepcopy(optimizer.state_dict())
            other = nn.Parameter(weight.detach().clone())
        weight.grad = grad
        optimizer.step()
    resumed = Soap([other], 0.05)
    resumed.load_state_dict(saved)
    for grad in grads[12:]:
        other.grad = grad
        resumed.step()
    torch.testing.assert_close(other, weight, rtol=0, atol=0)


def test_weight_decay_shrinks_matrices_apart_from_the_gradient() -> None:
    plain, decayed = nn.Linear(3, 2), nn.Linear(3, 2)
    decayed.load_state_dict(plain.state_dict())
    start = plain.weight.detach().clone()
    for layer, decay in ((plain, 0.0), (decayed, 0.5)):
        layer(torch.ones(1, 3)).sum().backward()
        Soap(layer.parameters(), 0.1, weight_decay=decay).step()
    torch.testing.assert_close(plain.weight - decayed.weight, 0.05 * start)
    torch.testing.assert_close(plain.bias, decayed.bias)


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ValueError, match="refresh_every 0 must be at least 1"):
        Soap([nn.Parameter(torch.zeros(2))], 0.1, refresh_every=0)
    with pytest.raises(ValueError, match="not a closure"):
        Soap([nn.Parameter(torch.zeros(2))], 0.1).step(lambda: 0.0)
