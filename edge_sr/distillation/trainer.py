"""The training loop of one stage: sample, step, average, log, evaluate, save."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edge_sr.atomic import write_atomically
from edge_sr.data.color import luma_from_rgb
from edge_sr.data.patches import PatchSampler, PicturePair, planes_of
from edge_sr.distillation.device_patches import DevicePatches
from edge_sr.distillation.ema import WeightAverage
from edge_sr.distillation.optimizer import build_optimizer
from edge_sr.distillation.pisr import Objective, Terms
from edge_sr.distillation.schedule import cosine, step
from edge_sr.metrics.psnr import psnr
from edge_sr.models.fsrcnn import Fsrcnn

Batch = tuple[Tensor, ...]
SAVE_SECONDS = 120.0


@dataclass(frozen=True)
class StageOptions:
    """Length, rates and rhythm of one stage.

    ``step_every`` and ``step_factor`` take the place of the cosine to ``final_learning_rate``;
    ``betas`` are the optimiser's own where they are None. With ``bf16`` PyTorch's layers compute in
    bfloat16; parameters, gradients, losses and scores stay float32.
    """

    name: str
    folder: Path
    iterations: int
    optimizer: str
    learning_rate: float
    final_learning_rate: float
    warm_up: int
    weight_decay: float
    ema_decay: float
    log_every: int
    evaluate_every: int
    step_every: int | None = None
    step_factor: float = 0.5
    betas: tuple[float | None, float | None] = (None, None)
    bf16: bool = False

    def learning_rate_at(self, iteration: int) -> float:
        """The rate of an iteration, counted from 0."""
        first, warm_up = self.learning_rate, self.warm_up
        if self.step_every is not None:
            every, factor = self.step_every, self.step_factor
            return step(
                iteration,
                self.iterations,
                first=first,
                every=every,
                factor=factor,
                warm_up=warm_up,
            )
        last = self.final_learning_rate
        return cosine(iteration, self.iterations, first=first, last=last, warm_up=warm_up)


@dataclass(frozen=True)
class Process:
    """This process among those of a ``torchrun`` job; alone it is rank 0 of 1.

    ``native_step`` lets a CPU compute a student's layers by ``edge_sr.models.native_step``.
    """

    rank: int
    world_size: int
    device: torch.device
    native_step: bool = True

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0


class Stage:
    """State of one stage: objective, optimiser, average, position. ``run`` trains to the end.

    After ``run`` the objective's parameters are the averaged ones.
    """

    def __init__(self, objective: Objective, options: StageOptions, process: Process) -> None:
        self.options, self.process = options, process
        self.objective = objective.to(process.device)
        for parameter in objective.parameters():
            parameter.data = parameter.data.contiguous(memory_format=_layout_of(parameter))
        self.optimizer = build_optimizer(
            options.optimizer,
            [p for p in objective.parameters() if p.requires_grad],
            options.learning_rate,
            betas=options.betas,
            weight_decay=options.weight_decay,
        )
        self.average = WeightAverage(objective, options.ema_decay)
        self.iteration, self.seconds = 0, 0.0
        self.threads = torch.get_num_threads()
        self.gradient_norms: dict[str, float] = {}
        self.stepped: nn.Module = objective
        if process.world_size > 1:
            ids = [process.device.index] if process.device.type == "cuda" else None
            self.stepped = DistributedDataParallel(objective, device_ids=ids)

    @property
    def state_file(self) -> Path:
        """Where the stage is saved and resumed from."""
        return self.options.folder / "state.safetensors"

    @property
    def log_file(self) -> Path:
        """One JSON object a line: the same for an interrupted and an uninterrupted run."""
        return self.options.folder / "log.jsonl"

    def run(self, sampler: PatchSampler, held_out: Sequence[PicturePair]) -> None:
        """Train from the saved state, or from the start, to the last iteration."""
        self.options.folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        started, saved, first = time.monotonic(), time.monotonic(), self.iteration
        sums: dict[str, Tensor] = {}
        batch_of = self.batches_of(sampler)
        step_threads = 1 if _has_native_step(self.objective) else self.threads
        with self.log_file.open("a") as log, pytorch_threads(step_threads):
            while self.iteration < self.options.iterations:
                terms = self.step(*batch_of(self.iteration))
                sums = {k: sums.get(k, 0.0) + v.double() for k, v in terms.items()}
                if self._is_due(self.options.log_every):
                    record = self._record({k: float(v) for k, v in sums.items()}, held_out)
                    sums = {}
                    self._report(log, record, started, first)
                    if time.monotonic() - saved > SAVE_SECONDS or self._is_last():
                        self._save(self.seconds + time.monotonic() - started)
                        saved = time.monotonic()
        self.seconds += time.monotonic() - started
        self.average.swap(self.objective)

    def batches_of(self, sampler: PatchSampler) -> Callable[[int], Batch]:
        """What gives this process's patches of an iteration, on its device.

        A GPU crops them from pictures in its own memory where they fill at most half of what is
        free of it.
        """
        device, rank, world_size = self.process.device, self.process.rank, self.process.world_size

        def copied(iteration: int) -> Batch:
            mine = (
                np.ascontiguousarray(part[rank::world_size]) for part in sampler.batch(iteration)
            )
            return tuple(torch.from_numpy(part).to(device) for part in mine)

        if device.type != "cuda":
            return copied
        if 2 * DevicePatches.size_of(sampler) > torch.cuda.mem_get_info(device)[0]:
            return copied
        patches = DevicePatches(sampler, device)
        return lambda iteration: patches.batch(iteration, rank=rank, world_size=world_size)

    def step(self, *batch: Tensor) -> Terms:
        """One iteration; its terms stay on the device, where reading them would wait for it."""
        patches = [part.contiguous(memory_format=torch.channels_last) for part in batch]
        learning_rate = self.options.learning_rate_at(self.iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        device = self.process.device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.options.bf16):
            terms = self.stepped(*patches)
        following = self.iteration + 1
        is_logged = following % self.options.log_every == 0 or following == self.options.iterations
        if len(terms) > 1 and is_logged:
            self.gradient_norms = self._norms_of(terms)
        loss = sum(
            (self.objective.weights[name] * term for name, term in terms.items()),
            start=torch.zeros((), device=device),
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.average.update(self.objective)
        self.iteration += 1
        return {name: term.detach() for name, term in terms.items()}

    def _norms_of(self, terms: dict[str, Tensor]) -> dict[str, float]:
        """Norm of each weighted term's gradient over the model's parameters."""
        parameters = [p for p in self.objective.model.parameters() if p.requires_grad]
        norms = {}
        for name, term in terms.items():
            weighted = self.objective.weights[name] * term
            grads = torch.autograd.grad(weighted, parameters, retain_graph=True, allow_unused=True)
            squares = [grad.square().sum() for grad in grads if grad is not None]
            norms[f"gradient_{name}"] = float(torch.stack(squares).sum().sqrt())
        return norms

    def _is_last(self) -> bool:
        return self.iteration == self.options.iterations

    def _is_due(self, every: int) -> bool:
        return self.iteration % every == 0 or self._is_last()

    def _record(
        self, sums: dict[str, float], held_out: Sequence[PicturePair]
    ) -> dict[str, float | int]:
        since = (self.iteration - 1) % self.options.log_every + 1
        record: dict[str, float | int] = {"iteration": self.iteration}
        record["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        record.update({name: value / since for name, value in sums.items()})
        record.update(self.gradient_norms)
        if not all(math.isfinite(value) for value in record.values()):
            raise ValueError(
                f"the loss of stage {self.options.name} is not finite at iteration "
                f"{self.iteration}; lower --learning-rate"
            )
        if held_out and self._is_due(self.options.evaluate_every):
            self.average.swap(self.objective)
            record["psnr"] = self.score(held_out)
            self.average.swap(self.objective)
        return record

    @torch.no_grad()
    def score(self, pairs: Sequence[PicturePair]) -> float:
        """Mean luminance PSNR in dB on whole pictures, rounded to 8 bit, ``scale`` px shaved."""
        with pytorch_threads(self.threads):
            scores = [self._score_of(pair) for pair in pairs]
        return sum(scores) / len(scores)

    def _score_of(self, pair: PicturePair) -> float:
        lr = torch.from_numpy(planes_of(pair.lr))[None].to(self.process.device)
        hr = torch.from_numpy(planes_of(pair.hr))[None].to(self.process.device)
        sr = self.objective.score(lr, hr)[0].clamp(0, 1).mul(255).round()
        pictures = [planes.movedim(0, 2).cpu().numpy() for planes in (sr, hr[0] * 255)]
        is_rgb = pair.channels == "rgb"
        lumas = [luma_from_rgb(p) if is_rgb else p[:, :, 0] for p in pictures]
        return psnr(lumas[0], lumas[1], shave=pair.hr.shape[0] // pair.lr.shape[0])

    def _report(
        self, log: TextIO, record: dict[str, float | int], started: float, first: int
    ) -> None:
        if not self.process.is_main:
            return
        log.write(json.dumps(record) + "\n")
        log.flush()
        rate = (self.iteration - first) / (time.monotonic() - started)
        left = (self.options.iterations - self.iteration) / rate
        values = "  ".join(
            f"{k} {v:.5g}" for k, v in record.items() if k not in ("iteration", "learning_rate")
        )
        line = f"{self.options.name}  {self.iteration}/{self.options.iterations}  {values}"
        print(f"{line}  {rate:.1f} it/s  eta {left / 60:.0f} min", file=sys.stderr)  # noqa: T201

    def _save(self, seconds: float) -> None:
        if not self.process.is_main:
            return
        tensors = {f"objective.{k}": v for k, v in self.objective.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.average.items()}
        for index, slot in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in slot.items()}
        position = {"iteration": str(self.iteration), "seconds": str(seconds)}
        stored = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        write_atomically(self.state_file, save(stored, metadata=position))

    def _resume(self) -> None:
        if not self.state_file.is_file():
            self.log_file.unlink(missing_ok=True)
            return
        with safe_open(self.state_file, framework="pt") as file:
            metadata = file.metadata()
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        self.iteration, self.seconds = int(metadata["iteration"]), float(metadata["seconds"])
        self.objective.load_state_dict(_below(tensors, "objective."))
        for name, value in _below(tensors, "average.").items():
            self.average.average[name].copy_(value)
        self.average.updates = self.iteration
        optimizer_state = self.optimizer.state_dict()
        for key, value in _below(tensors, "optimizer.").items():
            index, slot = key.split(".", 1)
            optimizer_state["state"].setdefault(int(index), {})[slot] = value
        self.optimizer.load_state_dict(optimizer_state)
        if self.process.is_main:
            self._truncate_log()

    def _truncate_log(self) -> None:
        lines = self.log_file.read_text().splitlines() if self.log_file.is_file() else []
        kept = [line for line in lines if json.loads(line)["iteration"] <= self.iteration]
        write_atomically(self.log_file, "".join(line + "\n" for line in kept).encode())


def _layout_of(parameter: Tensor) -> torch.memory_format:
    return torch.channels_last if parameter.dim() == 4 else torch.contiguous_format


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


@contextmanager
def pytorch_threads(count: int) -> Iterator[None]:
    """PyTorch on ``count`` threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _has_native_step(objective: Objective) -> bool:
    return any(isinstance(m, Fsrcnn) and m.native_step is not None for m in objective.modules())


def join_processes(device: str, *, native_step: bool = True) -> Process:
    """This process as ``torchrun`` started it, or alone. ``device`` is auto, cpu or cuda."""
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {device!r} is not auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but PyTorch finds no CUDA device")
    use_cuda = device != "cpu" and torch.cuda.is_available()
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world_size > 1:
        torch.distributed.init_process_group("nccl" if use_cuda else "gloo")
    if not use_cuda:
        return Process(rank, world_size, torch.device("cpu"), native_step)
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    return Process(rank, world_size, torch.device("cuda", torch.cuda.current_device()))
