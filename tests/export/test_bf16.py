from __future__ import annotations

from pathlib import Path

import pytest
from native_support import runs_bf16, seed_model
from pictures_support import synthetic_luma

from export import assemble, bf16
from export.assemble import Precisions, offer_bf16
from export.native_pack import NativeModel
from export.plan import BuildPlan
from export.scores import HeldOut, Quality
from runtime.errors import UnsupportedError

PLAN = BuildPlan(
    model="small",
    scale=2,
    source="a test",
    requested=("fp32", "fp16", "int8"),
    calibration=None,
    out=Path("small.esr"),
)
BUILT = Precisions({}, {"fp32": Quality(30.0, 0.0, {"a": 30.0})})
MODEL = NativeModel(seed_model("x2_fp32"), 3, 0)


def offered(monkeypatch: pytest.MonkeyPatch, drop_db: float) -> tuple[BuildPlan, Precisions, str]:
    def measured(*_: object, **__: object) -> Quality:
        return Quality(30.0 - drop_db, drop_db, {"a": 30.0 - drop_db})

    monkeypatch.setattr(assemble, "measure_bf16", measured)
    said: list[str] = []
    return *offer_bf16(MODEL, PLAN, BUILT, [], said.append), "\n".join(said)


@pytest.mark.parametrize("drop_db", [0.02, 0.001, -0.01])
def test_bf16_within_its_budget_is_offered(monkeypatch: pytest.MonkeyPatch, drop_db: float) -> None:
    plan, built, said = offered(monkeypatch, drop_db)
    assert plan.precisions == ("fp32", "fp16", "bf16", "int8")
    assert plan.graphs == ("fp32", "fp16", "int8")
    assert plan.default_precision == "int8"
    assert built.quality["bf16"].drop_db == drop_db
    assert [check.name for check in built.checks] == ["bf16: PSNR drop against fp32"]
    assert f"bf16         drop {drop_db:.3f} dB, 0.02 allowed" in said


@pytest.mark.parametrize("drop_db", [0.021, 5.0, float("nan")])
def test_bf16_over_its_budget_is_left_out(monkeypatch: pytest.MonkeyPatch, drop_db: float) -> None:
    plan, built, said = offered(monkeypatch, drop_db)
    assert (plan, built) == (PLAN, BUILT)
    assert "bf16         not offered: drop" in said


def test_bf16_is_left_out_where_it_cannot_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> Quality:
        raise UnsupportedError("this CPU has no AVX512_BF16")

    monkeypatch.setattr(assemble, "measure_bf16", refused)
    said: list[str] = []
    assert offer_bf16(MODEL, PLAN, BUILT, [], said.append) == (PLAN, BUILT)
    assert said == ["bf16         not offered: this CPU has no AVX512_BF16"]


@pytest.mark.skipif(not runs_bf16(), reason="the CPU or this installation is without bf16")
def test_loss_is_measured_on_the_held_out_pictures() -> None:
    pair = HeldOut("a", lr=synthetic_luma(24, 20), hr=synthetic_luma(48, 40))
    quality = bf16.measure_bf16(MODEL, [pair], 2, {"a": 30.0})
    assert quality.per_picture.keys() == {"a"}
    assert quality.drop_db == pytest.approx(30.0 - quality.psnr)
