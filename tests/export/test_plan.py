from __future__ import annotations

from pathlib import Path

import pytest

from export.plan import (
    BuildPlan,
    check_out,
    default_out,
    parse_max_drop,
    parse_precisions,
)


def plan_for(*requested: str) -> BuildPlan:
    return BuildPlan("fsrcnn_residual", 2, "checkpoint a.safetensors", requested, None, Path("a"))


def test_fp32_is_always_built_and_the_lowest_asked_for_is_the_default() -> None:
    assert plan_for("int8").precisions == ("fp32", "int8")
    assert plan_for("fp16", "int8").default_precision == "int8"
    assert plan_for("fp32", "fp16").default_precision == "fp16"
    assert plan_for("fp32").precisions == ("fp32",)


@pytest.mark.parametrize(
    ("model", "requested", "expected"),
    [
        ("fsrcnn_residual", ("int8",), "fsrcnn-x2-int8.esr"),
        ("fsrcnn", ("fp16",), "fsrcnn-x2-fp16.esr"),
        ("fsrcnn_residual", ("fp32", "int8"), "fsrcnn-x2.esr"),
        ("fsrcnn_residual-h264", ("int8",), "fsrcnn-h264-x2-int8.esr"),
        ("fsrcnn_l", ("int8",), "fsrcnn-l-x2-int8.esr"),
        ("my net (v1.2)", ("int8",), "my-net-v1.2-x2-int8.esr"),
        ("???", ("int8",), "model-x2-int8.esr"),
    ],
)
def test_default_name_follows_model_scale_and_precision(
    model: str, requested: tuple[str, ...], expected: str
) -> None:
    assert default_out(model, 2, requested) == Path(expected)


def test_precisions_are_put_in_order() -> None:
    assert parse_precisions("int8, fp32") == ("fp32", "int8")


@pytest.mark.parametrize("text", ["bf16", "int8,fp64", "", ","])
def test_unknown_precision_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no precision to build; choose from fp32,fp16,int8"):
        parse_precisions(text)


def test_budgets_go_over_the_defaults() -> None:
    assert parse_max_drop("") == {"fp16": 0.02, "bf16": 0.02, "int8": 0.10}
    assert parse_max_drop("int8=0.3") == {"fp16": 0.02, "bf16": 0.02, "int8": 0.3}
    assert parse_max_drop("int8=.5, fp16=1") == {"fp16": 1.0, "bf16": 0.02, "int8": 0.5}


@pytest.mark.parametrize(
    "text", ["int8", "int8=", "int8=-1", "fp32=1", "int8=0.1;fp16=1", "int8=nan"]
)
def test_budget_that_does_not_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not PRECISION=DB"):
        parse_max_drop(text)


def test_plan_says_what_will_be_done() -> None:
    text = "\n".join(plan_for("int8").lines())
    for part in ("fsrcnn_residual x2", "fp32, int8 (default int8)", "built-in", "int8 0.1 dB"):
        assert part in text


def test_free_place_in_an_existing_folder_is_fine(tmp_path: Path) -> None:
    check_out(tmp_path / "new.esr", overwrite=False)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="for the bundle does not exist"):
        check_out(tmp_path / "missing" / "new.esr", overwrite=False)


def test_existing_bundle_needs_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "old.esr"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    check_out(out, overwrite=True)
    with pytest.raises(FileExistsError, match="pass --overwrite"):
        check_out(out, overwrite=False)


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_no_bundle_is_never_replaced(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "precious"
    if kind == "folder":
        out.mkdir()
    elif kind == "file":
        out.write_text("mine")
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match="is not a bundle and is not replaced"):
        check_out(out, overwrite=True)
