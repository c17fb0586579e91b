from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures_support import write_pictures
from tiny_networks import TINY_NETWORKS, TinyEdsr
from torch import Tensor
from torchrun_support import run_in_two_processes

from edge_sr.distillation import imitation
from edge_sr.distillation.config import RunConfig
from edge_sr.distillation.run import train as train_run
from edge_sr.distillation.trainer import Process, Stage
from edge_sr.models import MODELS
from edge_sr.models.checkpoint import load_checkpoint, save_checkpoint
from edge_sr.train import main, parse_args

SHORT = "--patch-size 12 --batch-size 4 --held-out 1 --log-every 2 --evaluate-every 4 --threads 1"


@pytest.fixture(autouse=True)
def _tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, network in TINY_NETWORKS.items():
        monkeypatch.setitem(MODELS, name, network)
    monkeypatch.setattr(imitation, "BALANCE_FROM", 1)
    monkeypatch.setattr(imitation, "BALANCE_UNTIL", 3)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", 3)


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    """A checkpoint wider than the student."""
    torch.manual_seed(1)
    path = tmp_path / "teacher.safetensors"
    save_checkpoint(path, TinyEdsr(2, width=6), {})
    return str(path)


def train(out: Path, data: Path, *more: str) -> int:
    return main([*SHORT.split(), "--data", str(data), "--out", str(out), "--device", "cpu", *more])


def lsfd(teacher: str, *more: str) -> tuple[str, ...]:
    return ("--method", "lsfd", "--model", "tiny_edsr", "--teacher", teacher, *more)


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "student" / "log.jsonl").read_text().splitlines()]


def test_lsfd_trains_an_rgb_student_and_resumes_exactly(
    tmp_path: Path, data: Path, teacher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = lsfd(teacher, "--iterations", "10", "--step-every", "4", "--fft-weight", "0.1")
    assert train(tmp_path / "whole", data, *options) == 0
    records = log(tmp_path / "whole")
    assert [record["learning_rate"] for record in records] == pytest.approx(
        [1e-4, 1e-4, 5e-5, 5e-5, 2.5e-5]
    )
    terms = {"reconstruction", "imitation", "distillation", "fourier"}
    assert terms | {f"gradient_{term}" for term in terms} <= set(records[-1])
    monkeypatch.setattr("edge_sr.distillation.trainer.SAVE_SECONDS", -1.0)
    step, taken = Stage.step, []

    def stop_at_the_5th(stage: Stage, *batch: Tensor) -> dict[str, Tensor]:
        taken.append(1)
        if len(taken) == 5:
            raise KeyboardInterrupt
        return step(stage, *batch)

    monkeypatch.setattr(Stage, "step", stop_at_the_5th)
    assert train(tmp_path / "parts", data, *options) == 130
    monkeypatch.setattr(Stage, "step", step)
    out = tmp_path / "parts"
    again = ["--out", str(out), "--resume", "--threads", "1", "--fft-weight", "0.1"]
    assert main(again) == 0
    assert log(out) == records
    cards = [json.loads((tmp_path / n / "student.json").read_text()) for n in ("whole", "parts")]
    assert cards[0]["sha256"] == cards[1]["sha256"]
    assert cards[0]["alpha2"] == cards[1]["alpha2"] != 10.0
    model, _ = load_checkpoint(out / "student.safetensors")
    assert {name for name, _ in model.named_parameters()} == {
        name for name, _ in TinyEdsr(2).named_parameters()
    }
    assert main([*again[:-2], "--fft-weight", "1"]) == 1


def test_other_losses_of_lsfds_tables_train(tmp_path: Path, data: Path, teacher: str) -> None:
    rows = {
        "fakd": ("--imitation-loss", "fakd", "--augmentation", "dihedral", "--beta2", "0.999"),
        "fitnet": ("--imitation-loss", "fitnet"),
        "literal": ("--alpha2", "10", "--attention-pooling", "sum", "--norm-axis", "c"),
        "pictures": ("--imitation-loss", "none", "--schedule", "cosine"),
        "two": ("--imitation-loss", "lfd", "--positions", "2", "3", "--reduction", "sum"),
    }
    for name, options in rows.items():
        options = (*lsfd(teacher, "--iterations", "2"), *options)
        assert train(tmp_path / name, data, *options) == 0
    names = {name: set(log(tmp_path / name)[-1]) for name in rows}
    assert "distillation" in names["fakd"]
    assert "distillation" not in names["pictures"]
    assert json.loads((tmp_path / "literal" / "student.json").read_text())["alpha2"] == 10.0


def test_the_method_has_its_papers_defaults_and_pisr_keeps_its_own() -> None:
    def config(*options: str) -> RunConfig:
        args = parse_args(["--data", "d", "--out", "o", *options])
        return RunConfig.of(args.given)

    assert config() == RunConfig(data=("d",))
    assert config("--method", "baseline") == RunConfig(data=("d",), method="baseline")
    made = config("--method", "lsfd", "--teacher", "t.safetensors", "--positions", "2", "3")
    found = (made.optimizer, made.first_learning_rate, made.beta2, made.schedule, made.step_every)
    assert found == ("adam", 1e-4, 0.99, "step", 150_000)
    assert (made.iterations, made.patch_size, made.augmentation) == (300_000, 48, "flip")
    assert (made.imitation_loss, made.lsfd.alpha1, made.lsfd.alpha2) == ("lsfd", 2000.0, None)
    assert RunConfig.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert config("--schedule", "step", "--learning-rate", "1e-6").learning_rate == 1e-6
    values = made.to_json()
    del values["lsfd"]["alpha"]
    with pytest.raises(ValueError, match=r"differ from this version's: \{'alpha'\}"):
        RunConfig.from_json(values)


@pytest.mark.parametrize(
    ("model", "options"), [("vdsr", ("depth=3",)), ("idn_rgb", ("d=4", "blocks=1"))]
)
def test_pisr_trains_any_student(
    tmp_path: Path, data: Path, model: str, options: tuple[str, ...]
) -> None:
    length = ("--iterations", "4", "--teacher-iterations", "4", "--pattern-share", "0")
    network = [f"--model-option={option}" for option in ("width=12", *options)]
    assert train(tmp_path / "run", data, "--model", model, *network, *length) == 0
    assert load_checkpoint(tmp_path / "run" / "student.safetensors")[0].spec.name == model
    record = log(tmp_path / "run")[-1]
    assert record["gradient_distillation"] > 0
    assert record["psnr"] > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "lsfd"], "method lsfd needs a network that sees LR: --teacher CHECKPOINT"),
        (["--method", "lsfd", "--teacher", "runs/x"], "method lsfd needs a network that sees LR"),
        (["--alpha2", "10"], "options of method lsfd are given to method pisr: alpha2"),
        (["--imitation-loss", "fakd"], "imitation loss 'fakd' of method pisr is not one of lap"),
        (["{lsfd}", "--imitation-loss", "laplace"], "'laplace' of method lsfd is not one of lfd"),
        (["{lsfd}", "--alpha", "2"], "alpha 2.0 must be in [0, 1]"),
        (["{lsfd}", "--alpha1", "-1"], "alpha1 -1.0 must not be negative"),
        (["{lsfd}", "--positions", "0"], "positions (0,) must be rising whole numbers"),
        (["{lsfd}", "--positions", "4"], "tiny_edsr has 3 of them"),
        (["{lsfd}", "--beta2", "1"], "beta2 1.0 must be in [0, 1)"),
        (["{lsfd}", "--step-every", "0"], "step_every 0 must be at least 1"),
        (["{lsfd}", "--imitation-loss", "mae"], "features have 4 and the teacher's 6"),
        (["{lsfd}", "--scale", "3"], "upscales by 2, not 3"),
        (["{lsfd}", "--model", "fsrcnn"], "takes rgb, but fsrcnn y"),
    ],
)
def test_bad_values_end_in_one_line(
    tmp_path: Path,
    data: Path,
    teacher: str,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    if options[0] == "{lsfd}":
        options = [*lsfd(teacher), *options[1:]]
    assert train(tmp_path / "run", data, *options) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_batch_that_does_not_divide_among_the_processes_is_refused(tmp_path: Path) -> None:
    config = RunConfig(data=(str(tmp_path),), method="baseline", batch_size=3)
    with pytest.raises(ValueError, match="batch_size 3 does not divide among 2 processes"):
        train_run(config, tmp_path / "out", Process(0, 2, torch.device("cpu")))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path, data: Path, teacher: str) -> None:
    options = [*SHORT.split(), "--data", str(data), "--device", "cpu", "--iterations", "6"]
    options += lsfd(teacher)
    assert main([*options, "--out", str(tmp_path / "one")]) == 0
    script = str(Path(__file__).parents[1] / "support" / "train_tiny.py")
    run_in_two_processes([script, *options, "--out", str(tmp_path / "two")])
    files = [tmp_path / n / "student.safetensors" for n in ("one", "two")]
    (one, card), (two, other) = map(load_checkpoint, files)
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        assert float((a - b).detach().abs().max()) < 1e-5, name
    assert card["alpha2"] == pytest.approx(other["alpha2"], rel=1e-4)
    assert card["alpha2"] != 10.0
