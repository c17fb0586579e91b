from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pictures_support import write_pictures
from torch import Tensor, nn
from torchrun_support import run_in_two_processes

from edge_sr.distillation import targets
from edge_sr.distillation.config import RunConfig
from edge_sr.distillation.trainer import Stage
from edge_sr.evaluate import main as evaluate
from edge_sr.models import build_model
from edge_sr.models.checkpoint import load_checkpoint, save_checkpoint
from edge_sr.models.quantized import activation_names
from edge_sr.train import main, parse_args

SHORT = "--patch-size 12 --batch-size 4 --held-out 1 --log-every 2 --evaluate-every 4 --threads 1"


def train(out: Path, data: Path, *more: str) -> int:
    return main([*SHORT.split(), "--data", str(data), "--out", str(out), "--device", "cpu", *more])


def logs(out: Path) -> dict[str, str]:
    return {p.parent.name: p.read_text() for p in sorted(out.glob("*/log.jsonl"))}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", 3)


def test_pisr_run_leaves_student_logs_and_curves_and_learns(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train(out, data, "--iterations", "60", "--teacher-iterations", "40") == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["iterations"] == 60
    model, sidecar = load_checkpoint(out / "student.safetensors")
    assert model.spec.name == "fsrcnn_residual"
    assert sidecar["training"]["seed"] == 0
    records = [json.loads(line) for line in logs(out)["student"].splitlines()]
    losses = [record["reconstruction"] for record in records]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert records[-1]["psnr"] == pytest.approx(summary["psnr"])
    assert (out / "curves.png").stat().st_size > 5000


def test_interrupted_run_resumes_to_the_same_log_and_weights(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = ("--iterations", "16", "--teacher-iterations", "8")
    assert train(tmp_path / "whole", data, *length) == 0
    monkeypatch.setattr("edge_sr.distillation.trainer.SAVE_SECONDS", -1.0)
    step, taken = Stage.step, []

    def stop_at_the_20th(stage: Stage, *batch: Tensor) -> dict[str, Tensor]:
        taken.append(1)
        if len(taken) == 20:
            raise KeyboardInterrupt
        return step(stage, *batch)

    monkeypatch.setattr(Stage, "step", stop_at_the_20th)
    assert train(tmp_path / "parts", data, *length) == 130
    assert not (tmp_path / "parts" / "student.safetensors").exists()
    monkeypatch.setattr(Stage, "step", step)
    assert main(["--out", str(tmp_path / "parts"), "--resume", "--threads", "1"]) == 0
    assert logs(tmp_path / "parts") == logs(tmp_path / "whole")
    whole, parts = (
        json.loads((tmp_path / name / "student.json").read_text())["sha256"]
        for name in ("whole", "parts")
    )
    assert whole == parts


def test_a_resumed_run_reads_the_teachers_pictures(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(tmp_path / "big", data, "--method", "baseline", "--iterations", "2") == 0
    teacher = str(tmp_path / "big" / "student.safetensors")
    options = ("--iterations", "20", "--teacher", teacher, "--imitation-loss", "output")
    assert train(tmp_path / "whole", data, *options) == 0
    step, taken = Stage.step, []

    def stop_at_the_12th(stage: Stage, *batch: Tensor) -> dict[str, Tensor]:
        taken.append(1)
        if len(taken) == 12:
            raise KeyboardInterrupt
        return step(stage, *batch)

    monkeypatch.setattr(Stage, "step", stop_at_the_12th)
    assert train(tmp_path / "parts", data, *options) == 130
    kept = tmp_path / "parts" / "student" / "targets.safetensors"
    assert kept.is_file()
    monkeypatch.setattr(Stage, "step", step)
    monkeypatch.setattr(targets, "picture_of", None)
    assert main(["--out", str(tmp_path / "parts"), "--resume", "--threads", "1"]) == 0
    assert logs(tmp_path / "parts") == logs(tmp_path / "whole")
    assert not kept.exists()


def test_same_seed_gives_the_same_log_and_another_seed_does_not(tmp_path: Path, data: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        options = ("--method", "baseline", "--iterations", "4", "--seed", seed)
        assert train(tmp_path / name, data, *options) == 0
    assert logs(tmp_path / "a") == logs(tmp_path / "b") != logs(tmp_path / "c")


@pytest.mark.parametrize("scale", ["3", "4"])
def test_other_scales_and_the_papers_form_train(tmp_path: Path, data: Path, scale: str) -> None:
    options = ("--model", "fsrcnn", "--scale", scale, "--iterations", "4")
    assert train(tmp_path / "run", data, *options, "--teacher-iterations", "4") == 0
    assert load_checkpoint(tmp_path / "run" / "student.safetensors")[0].spec.scale == int(scale)


def test_fine_tuning_starts_from_the_given_weights(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--method", "baseline", "--iterations", "2", "--ema-decay", "0")
    assert train(tmp_path / "first", data, *options) == 0
    student = tmp_path / "first" / "student.safetensors"
    still = ("--learning-rate", "1e-12", "--final-learning-rate", "0", "--init", str(student))
    assert train(tmp_path / "more", data, *options, *still) == 0
    first, more = (
        load_checkpoint(tmp_path / name / "student.safetensors")[0] for name in ("first", "more")
    )
    for name, parameter in first.named_parameters():
        torch.testing.assert_close(more.get_parameter(name), parameter, rtol=0, atol=1e-9)
    other = ("--model", "fsrcnn", "--init", str(student))
    capsys.readouterr()
    assert train(tmp_path / "other", data, *options, *other) == 1
    assert "is fsrcnn_residual x2" in capsys.readouterr().err


def test_another_scale_starts_from_all_layers_but_the_tail(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--iterations", "2", "--ema-decay", "0", "--learning-rate", "1e-12")
    still = ("--method", "baseline", *options, "--final-learning-rate", "0")
    assert train(tmp_path / "x2", data, *still) == 0
    student = tmp_path / "x2" / "student.safetensors"
    x3 = ("--scale", "3", "--seed", "1")
    assert train(tmp_path / "x3", data, *still, *x3, "--init", str(student)) == 0
    assert train(tmp_path / "own", data, *still, *x3) == 0
    first, body, own = (
        load_checkpoint(tmp_path / name / "student.safetensors")[0] for name in ("x2", "x3", "own")
    )
    for name, parameter in body.named_parameters():
        source = own if name.startswith("tail.") else first
        torch.testing.assert_close(parameter, source.get_parameter(name), rtol=0, atol=1e-9)
    capsys.readouterr()
    qat = ("--method", "qat", "--iterations", "2", "--scale", "3", "--init", str(student))
    assert train(tmp_path / "qat", data, *qat) == 1
    assert "is fsrcnn_residual x2" in capsys.readouterr().err


def test_qat_fine_tunes_a_student_and_keeps_its_ranges(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "first", data, "--method", "baseline", "--iterations", "2") == 0
    student = str(tmp_path / "first" / "student.safetensors")
    options = ("--method", "qat", "--iterations", "4")
    assert train(tmp_path / "qat", data, *options, "--init", student) == 0
    model, sidecar = load_checkpoint(tmp_path / "qat" / "student.safetensors")
    assert set(sidecar["activation_ranges"]) == set(activation_names(model))
    assert all(value > 0 for value in sidecar["activation_ranges"].values())
    assert set(json.loads(logs(tmp_path / "qat")["student"].splitlines()[-1])) >= {
        "reconstruction",
        "imitation",
        "psnr",
    }
    capsys.readouterr()
    assert train(tmp_path / "none", data, *options) == 1
    assert "name its checkpoint with --init" in capsys.readouterr().err


def test_qat_imitates_a_given_teacher(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, (name, scale) in enumerate((("student", "2"), ("teacher", "2"), ("x3", "3"))):
        length = ("--iterations", "2", "--seed", str(seed), "--scale", scale)
        rates = ("--learning-rate", "1e-5" if name == "student" else "1e-3")
        assert train(tmp_path / name, data, "--method", "baseline", *length, *rates) == 0
    files = {n: str(tmp_path / n / "student.safetensors") for n in ("student", "teacher", "x3")}
    options = ("--method", "qat", "--iterations", "1", "--init", files["student"])
    options = (*options, "--learning-rate", "1e-9", "--final-learning-rate", "0")
    first = {}
    for imitated in ("student", "teacher"):
        out = tmp_path / f"of {imitated}"
        assert train(out, data, *options, "--teacher", files[imitated]) == 0
        first[imitated] = json.loads(logs(out)["student"].splitlines()[0])
    assert train(tmp_path / "of itself", data, *options) == 0
    own = json.loads(logs(tmp_path / "of itself")["student"].splitlines()[0])
    # A student of random layers answers a turned patch otherwise than the whole picture.
    assert own["imitation"] < first["student"]["imitation"] < first["teacher"]["imitation"] / 2
    capsys.readouterr()
    assert train(tmp_path / "other", data, *options, "--teacher", files["x3"]) == 1
    assert "upscales by 3, not 2" in capsys.readouterr().err
    assert train(tmp_path / "run", data, *options, "--teacher", str(tmp_path / "student")) == 1
    assert "imitates a checkpoint's picture" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path, data: Path) -> None:
    options = [*SHORT.split(), "--data", str(data), "--device", "cpu", "--iterations", "6"]
    options += ["--method", "baseline"]
    assert main([*options, "--out", str(tmp_path / "one")]) == 0
    run_in_two_processes(["-m", "edge_sr.train", *options, "--out", str(tmp_path / "two")])
    one, two = (load_checkpoint(tmp_path / n / "student.safetensors")[0] for n in ("one", "two"))
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        assert float((a - b).detach().abs().max()) < 1e-5, name


def test_a_teacher_is_used_again_and_gradient_norms_are_logged(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    length = ("--iterations", "4", "--teacher-iterations", "4")
    assert train(tmp_path / "whole", data, *length) == 0
    again = ("--iterations", "4", "--teacher", str(tmp_path / "whole"))
    assert train(tmp_path / "again", data, *again) == 0
    assert set(logs(tmp_path / "again")) == {"student"}
    records, expected = (
        [json.loads(line) for line in logs(tmp_path / name)["student"].splitlines()]
        for name in ("again", "whole")
    )
    for record, other in zip(records, expected, strict=True):
        assert record == pytest.approx(other, rel=1e-4)
        assert record["gradient_reconstruction"] > record["gradient_distillation"] > 0
    capsys.readouterr()
    assert train(tmp_path / "x3", data, *again, "--scale", "3") == 1
    assert "cannot be taken: its scale is 2, not 3" in capsys.readouterr().err
    assert train(tmp_path / "none", data, "--teacher", str(tmp_path)) == 1
    assert "holds no finished teacher" in capsys.readouterr().err


def test_controls_of_pisr_differ_only_in_what_they_leave_out(tmp_path: Path, data: Path) -> None:
    length = ("--iterations", "4", "--teacher-iterations", "4")
    assert train(tmp_path / "pisr", data, *length) == 0
    given = ("--iterations", "4", "--teacher", str(tmp_path / "pisr"))
    assert train(tmp_path / "start", data, *given, "--lambda-student", "0") == 0
    assert train(tmp_path / "scratch", data, *given, "--no-transfer") == 0
    plain = ("--teacher-form", "plain", "--lambda-student", "1e-3", "--imitation-loss", "mae")
    assert train(tmp_path / "plain", data, *length, *plain) == 0
    first = {
        name: json.loads(logs(tmp_path / name)["student"].splitlines()[0])["reconstruction"]
        for name in ("pisr", "start", "scratch", "plain")
    }
    assert first["pisr"] == pytest.approx(first["start"], rel=1e-3)
    assert abs(first["scratch"] - first["pisr"]) > 1e-6


def test_a_network_that_sees_lr_may_teach(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "big", data, "--method", "baseline", "--iterations", "2") == 0
    teacher = str(tmp_path / "big" / "student.safetensors")
    options = ("--iterations", "4", "--teacher", teacher, "--imitation-loss", "fitnet")
    assert train(tmp_path / "run", data, *options) == 0
    assert set(logs(tmp_path / "run")) == {"student"}
    bicubic = build_model("fsrcnn_residual", 2)
    nn.init.zeros_(bicubic.get_parameter("tail.weight"))
    nn.init.zeros_(bicubic.get_parameter("tail.bias"))
    save_checkpoint(tmp_path / "bicubic.safetensors", bicubic, {})
    options = (*options[:-1], "output", "--lambda-student", "1", "--learning-rate", "1e-5")
    options = (*options, "--init", str(tmp_path / "bicubic.safetensors"))
    ratio = {}
    for name, file in (("trained", teacher), ("bicubic", str(tmp_path / "bicubic.safetensors"))):
        assert train(tmp_path / name, data, *options, "--teacher", file) == 0
        first = json.loads(logs(tmp_path / name)["student"].splitlines()[0])
        ratio[name] = first["distillation"] / first["reconstruction"]
    # The student begins as its teacher, but for the patches' borders.
    assert ratio["bicubic"] < 0.2
    assert ratio["trained"] > 2 * ratio["bicubic"]
    capsys.readouterr()
    assert train(tmp_path / "x3", data, *options, "--scale", "3") == 1
    assert "upscales by 2" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["pisr", "qat"])
def test_a_self_ensemble_is_another_target(tmp_path: Path, data: Path, method: str) -> None:
    assert train(tmp_path / "big", data, "--method", "baseline", "--iterations", "2") == 0
    teacher = str(tmp_path / "big" / "student.safetensors")
    options = ("--method", method, "--iterations", "2", "--teacher", teacher)
    if method == "qat":
        options = (*options, "--init", teacher)
    else:
        options = (*options, "--imitation-loss", "output", "--no-transfer")
    for name, more in (("alone", ()), ("ensemble", ("--self-ensemble",))):
        assert train(tmp_path / name, data, *options, *more) == 0
    first = [
        json.loads(logs(tmp_path / name)["student"].splitlines()[0])
        for name in ("alone", "ensemble")
    ]
    term = "imitation" if method == "qat" else "distillation"
    assert first[0]["reconstruction"] == pytest.approx(first[1]["reconstruction"], rel=1e-3)
    assert first[0][term] != first[1][term]


def test_bf16_computes_the_layers_in_bfloat16_and_keeps_float32_weights(
    tmp_path: Path, data: Path
) -> None:
    options = ("--method", "baseline", "--iterations", "4", "--no-native-step")
    for name, more in (("float", ()), ("again", ()), ("bf16", ("--bf16",))):
        assert train(tmp_path / name, data, *options, *more) == 0
    texts = [logs(tmp_path / name)["student"] for name in ("float", "again", "bf16")]
    assert texts[0] == texts[1] != texts[2]
    records = [[json.loads(line) for line in text.splitlines()] for text in texts]
    for in_float, in_bf16 in zip(records[0], records[2], strict=True):
        assert in_bf16["reconstruction"] == pytest.approx(in_float["reconstruction"], rel=0.02)
    model, sidecar = load_checkpoint(tmp_path / "bf16" / "student.safetensors")
    assert sidecar["training"]["bf16"] is True
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_existing_run_is_not_overwritten(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "run", data, "--method", "baseline", "--iterations", "2") == 0
    assert train(tmp_path / "run", data, "--method", "baseline", "--iterations", "2") == 1
    assert "holds a run already; add --resume" in capsys.readouterr().err


def test_flag_that_contradicts_the_resumed_run_is_refused(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "run", data, "--method", "baseline", "--iterations", "2") == 0
    assert train(tmp_path / "run", data, "--resume", "--seed", "5", "--json") == 1
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert error["type"] == "ValueError"
    assert "--seed 5 contradicts the run, which has 0" in error["message"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--iterations", "0"], "iterations 0 must be at least 1"),
        (["--weight-decay", "-0.1"], "weight_decay -0.1 must not be negative"),
        (
            ["--h264-crf", "20", "60"],
            "h264_crf (20, 60) must be different whole numbers of 0 to 51",
        ),
        (["--method", "pisr", "--imitation-loss", "output"], "needs a network that sees LR"),
        (["--method", "baseline", "--teacher", "run"], "takes no teacher"),
        (["--method", "baseline", "--self-ensemble"], "a self-ensemble is of the picture of"),
        (
            ["--method", "pisr", "--teacher", "t.safetensors", "--self-ensemble"],
            "with --method qat or --imitation-loss output",
        ),
        (["--ema-decay", "1"], r"ema_decay 1.0 must be in [0, 1)"),
        (["--learning-rate", "0"], "learning rates 0.0 to"),
        (["--evaluate-every", "3"], "evaluate_every 3 must be a multiple of log_every 2"),
        (["--held-out", "3"], "leaves none of 3 pictures"),
        (["--patch-size", "48"], "no picture is at least 96 px"),
        (["--model", "nothing"], "'nothing' is unknown"),
    ],
)
def test_bad_values_end_in_one_line(
    tmp_path: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    assert train(tmp_path / "run", data, *options) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_missing_data_is_misuse() -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_args(["--out", "x"])
    assert stopped.value.code == 2


def test_config_round_trip_through_json() -> None:
    config = RunConfig(data=("a", "b"), seed=3)
    assert RunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    with pytest.raises(ValueError, match="differ from this version"):
        RunConfig.from_json({"seed": 1})


def test_model_options_reach_the_network_and_its_checkpoint(tmp_path: Path, data: Path) -> None:
    options = ["--model-option", "d=8", "--model-option", "shared_prelu=false"]
    short = ["--method", "baseline", "--iterations", "2"]
    assert train(tmp_path / "run", data, *short, *options) == 0
    model, _ = load_checkpoint(tmp_path / "run" / "student.safetensors")
    assert model.options == {"d": 8, "s": 12, "m": 4, "shared_prelu": False}


@pytest.mark.parametrize(
    ("option", "message"),
    [("d", "is not NAME=VALUE"), ("d=[1]", "is no number"), ("d=x=1", "")],
)
def test_a_model_option_that_is_none_is_refused(
    option: str, message: str, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--method", "baseline", "--iterations", "2", "--model-option", option]
    try:
        code = train(tmp_path / "run", data, *short)
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    assert code != 0
    assert message in capsys.readouterr().err


def test_an_unknown_model_option_is_one_line(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "run", data, "--model-option", "width=3") == 1
    assert "model fsrcnn_residual does not take these options" in capsys.readouterr().err


def test_an_rgb_student_trains_and_is_scored_by_protocol_c(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = [f"--model-option={option}" for option in ("width=12", "d=4", "blocks=1")]
    options = ["--method", "pisr", "--model", "idn_rgb", "--optimizer", "adam", *tiny]
    length = ["--iterations", "40", "--teacher-iterations", "4"]
    assert train(tmp_path / "run", data, *options, *length) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    records = [json.loads(line) for line in logs(tmp_path / "run")["student"].splitlines()]
    losses = [record["reconstruction"] for record in records]
    assert sum(losses[-5:]) < sum(losses[:5])
    checkpoint = str(tmp_path / "run" / "student.safetensors")
    held_out = tmp_path / "held_out"
    held_out.mkdir()
    (held_out / "00.png").write_bytes((data / "00.png").read_bytes())
    assert evaluate([checkpoint, "--data", str(held_out), "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["protocol"] == "C"
    assert scored["results"][1]["psnr"] == pytest.approx(summary["psnr"], abs=1e-3)
    assert evaluate([checkpoint, "--data", str(held_out), "--protocol", "B"]) == 1
    assert "an RGB network is scored by protocol C, not B" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["pisr", "lsfd"])
def test_a_run_that_cannot_start_leaves_its_folder_free(
    method: str, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = ["--method", method, "--teacher", str(tmp_path / "none.safetensors")]
    assert train(tmp_path / "run", data, *missing, "--iterations", "2") == 1
    assert "none.json is missing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    length = ["--method", "baseline", "--iterations", "2"]
    assert train(tmp_path / "run", data, *length) == 0
