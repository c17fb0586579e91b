"""All steps of a build, from an opened network to a complete bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx

from calibration.frames import CalibrationFrames, load_calibration_frames
from export.bf16 import measure_bf16
from export.bundle import folder_bytes, manifest_of, staged_folder, write_file, write_graphs
from export.crops import Crop, crops_of
from export.effort import Effort, effort_for
from export.float_graph import Check, FloatGraph, build_float_graph
from export.graph import residual_convolutions
from export.half import to_half
from export.int8 import Int8Build, Measure, Trained, build_int8
from export.latency import measure_latency, native_latency
from export.native_pack import NativeModel, Unpacked, pack_native, pack_or_reason
from export.plan import OFFERED, BuildPlan
from export.qdq import quantize
from export.report import BuildFacts, report_html, report_json, report_of
from export.scores import (
    HeldOut,
    Picture,
    Quality,
    bicubic_scores,
    graph_scores,
    held_out_pairs,
    mean,
    quality_of,
    signless,
)
from export.source import Source
from export.verify import (
    NATIVE_SHARE,
    TILED_LEVELS,
    check_bytes,
    check_drop,
    check_native,
    check_tiled,
    layer_precisions,
)
from runtime.errors import UnsupportedError
from runtime.manifest import NATIVE_MODEL, FileEntry, write_manifest

Say = Callable[[str], None]
# Scaled weights round otherwise than the checkpoint's; a picture is rounded to levels after that.
EQUALIZED_DB = 1e-3
CALIBRATION, REPORT_JSON, REPORT_HTML = "calibration.json", "report.json", "report.html"


@dataclass(frozen=True)
class Precisions:
    """The float grey-level graph of each precision, its quality, and how INT8 came about."""

    twins: Mapping[str, onnx.ModelProto]
    quality: Mapping[str, Quality]
    int8: Int8Build | None = None
    checks: tuple[Check, ...] = field(default=())


def build_bundle(source: Source, plan: BuildPlan, say: Say) -> dict[str, Any]:
    """Write the bundle; returns what report.json holds. Nothing is left after an error.

    Raises ParityError if a gate is not met, OSError or ValueError if an input is unfit.
    """
    with staged_folder(plan.out) as folder:
        frames = load_calibration_frames(plan.calibration, scale=plan.scale, channels=plan.channels)
        pairs = held_out_pairs(frames.hold_out, plan.scale)
        say(f"frames       {len(frames.calibrate)} calibrate, {len(pairs)} held out")
        base = build_float_graph(source)
        for step in base.steps:
            say(f"graph        {step}")
        effort = effort_for(base.twin, [frame for _, frame in frames.calibrate], pairs)
        say(f"effort       {effort.text}")
        trained, more = _trained(source, base)
        built = build_precisions(base.twin, plan, frames, pairs, effort, say, trained=trained)
        native = pack_or_reason(built.twins["fp32"], plan.scale, int8_twin=built.twins.get("int8"))
        say(f"native       {native.text}")
        if isinstance(native, NativeModel):
            plan, built = offer_bf16(native, plan, built, pairs, say)
        files = _write_models(folder, plan, built, source, native)
        checks = [*base.checks, *more, *built.checks]
        tiles = "compared with whole frames"
        if source.spec.tileable:
            checks += _check_tiles(folder, plan, effort.pairs(pairs))
        else:
            tiles = "not compared: the network looks at the whole picture and is never cut"
            say(f"tiles        {tiles}")
        if isinstance(native, NativeModel):
            checks += _check_native(folder, plan, pairs, say)
        say(f"verified     {len(checks)} checks passed")
        largest = max((pair.lr for pair in pairs), key=lambda plane: plane.size)
        latency = measure_latency(
            folder,
            plan.precisions,
            largest,
            scale=plan.scale,
            macs=effort.macs,
            threads=plan.threads,
        )
        facts = BuildFacts(
            source=source,
            plan=plan,
            steps=(
                *base.steps,
                f"effort: {effort.text}",
                f"native engine: {native.text}",
                f"tiles: {tiles}",
            ),
            checks=tuple(checks),
            quality=built.quality,
            bicubic=bicubic_scores(pairs, plan.scale),
            layers={name: layer_precisions(twin) for name, twin in built.twins.items()},
            int8=built.int8,
            native=native,
            inputs=tuple(node.input[0] for node in residual_convolutions(base.twin.graph)),
            mixed_ms=_mixed_latency(built.int8, native, plan, largest),
            latency=latency,
            frames=frames,
        )
        return _write_reports(folder, facts, files, _crops(built, pairs, plan))


def _trained(source: Source, base: FloatGraph) -> tuple[Trained | None, tuple[Check, ...]]:
    """The graph and ranges of a network that was trained for INT8, and what was checked of it."""
    if source.int8 is not None:
        graph = build_float_graph(source.int8)
        assert source.int8.activation_ranges is not None
        checks = tuple(
            replace(check, name=f"int8's weights: {check.name}") for check in graph.checks
        )
        return Trained(graph.twin, source.int8.activation_ranges), checks
    if source.activation_ranges is not None:
        return Trained(base.twin, source.activation_ranges), ()
    return None, ()


def build_precisions(
    twin: onnx.ModelProto,
    plan: BuildPlan,
    frames: CalibrationFrames,
    pairs: Sequence[HeldOut],
    effort: Effort,
    say: Say,
    *,
    trained: Trained | None = None,
) -> Precisions:
    """Every precision of the plan from the fp32 graph, each within its budget or ParityError.

    ``trained`` comes with a student that was trained for INT8.
    """
    scores = graph_scores(twin, pairs, plan.scale, threads=plan.threads)
    say(f"fp32         {mean(scores):.3f} dB on held-out pictures")
    checks, int8 = [], None
    if "int8" in plan.graphs:
        measure = Measure(twin, pairs, plan.scale, threads=plan.threads)
        int8 = build_int8(
            twin,
            frames,
            measure,
            effort,
            budget_db=plan.max_drop["int8"],
            say=say,
            trained=trained,
        )
        if int8.float_twin is not twin:
            checks.append(_check_equalized(int8.float_twin, scores, pairs, plan))
        twin = int8.float_twin
    twins, quality = {"fp32": twin}, {"fp32": quality_of(scores, scores)}
    if "fp16" in plan.graphs:
        twins["fp16"] = to_half(twin)
    if int8 is not None:
        twins["int8"] = int8.twin
    for name, graph in twins.items():
        levels = check_bytes(graph, effort.pairs(pairs), threads=plan.threads)
        checks.append(
            Check(f"{name}: bytes against rounded floats", levels, TILED_LEVELS, "levels")
        )
        if name == "fp32":
            continue
        found = graph_scores(graph, pairs, plan.scale, threads=plan.threads)
        quality[name] = quality_of(found, scores)
        drop, allowed = quality[name].drop_db, plan.max_drop[name]
        say(f"{name:12} drop {signless(drop, 3):.3f} dB, {allowed:g} allowed")
        check_drop(name, drop, allowed, f"build without {name} or raise --max-drop {name}=")
        checks.append(Check(f"{name}: PSNR drop against fp32", drop, allowed, "dB"))
    return Precisions(twins, quality, int8, tuple(checks))


def _check_equalized(
    twin: onnx.ModelProto, scores: Mapping[str, float], pairs: Sequence[HeldOut], plan: BuildPlan
) -> Check:
    """All precisions share the scaled weights, which may change nothing but rounding."""
    found = graph_scores(twin, pairs, plan.scale, threads=plan.threads)
    changed = abs(mean(found) - mean(scores))
    check_drop("fp32", changed, EQUALIZED_DB, "this is a bug of the equalisation")
    return Check("fp32: PSNR change by equalised channels", changed, EQUALIZED_DB, "dB")


def offer_bf16(
    native: NativeModel, plan: BuildPlan, built: Precisions, pairs: Sequence[HeldOut], say: Say
) -> tuple[BuildPlan, Precisions]:
    """Plan and precisions with bf16, if it can be measured here and is within its budget."""
    reference, allowed = built.quality["fp32"].per_picture, plan.max_drop[OFFERED]
    try:
        quality = measure_bf16(native, pairs, plan.scale, reference, threads=plan.threads)
    except UnsupportedError as error:
        say(f"bf16         not offered: {error}")
        return plan, built
    drop = f"drop {signless(quality.drop_db, 3):.3f} dB, {allowed:g} allowed"
    if not quality.drop_db <= allowed:
        say(f"bf16         not offered: {drop}")
        return plan, built
    say(f"bf16         {drop}")
    check = Check("bf16: PSNR drop against fp32", quality.drop_db, allowed, "dB")
    measured = {**built.quality, OFFERED: quality}
    return (
        replace(plan, offers_bf16=True),
        replace(built, quality=measured, checks=(*built.checks, check)),
    )


def _write_models(
    folder: Path, plan: BuildPlan, built: Precisions, source: Source, native: NativeModel | Unpacked
) -> dict[str, FileEntry]:
    """Models, calibration table and a first manifest, so that the runtime can open the folder."""
    files: dict[str, FileEntry] = {}
    for name, twin in built.twins.items():
        files |= write_graphs(folder, name, twin)
    if isinstance(native, NativeModel):
        files[NATIVE_MODEL] = write_file(folder, NATIVE_MODEL, native.data)
    if built.int8 is not None:
        table = built.int8.table.to_json().encode()
        files[CALIBRATION] = write_file(folder, CALIBRATION, table)
    write_manifest(folder, manifest_of(source.spec, plan.precisions, plan.default_precision, files))
    return files


def _check_tiles(folder: Path, plan: BuildPlan, pairs: Sequence[HeldOut]) -> list[Check]:
    checks = []
    for name in plan.graphs:
        tiled = check_tiled(folder, name, pairs, threads=plan.threads)
        title = f"{name}: tiles of {tiled.tile_size} against whole frame"
        checks.append(Check(title, tiled.levels, TILED_LEVELS, "levels"))
    return checks


def _check_native(folder: Path, plan: BuildPlan, pairs: Sequence[HeldOut], say: Say) -> list[Check]:
    """The native engine against ONNX Runtime, if this installation has the engine."""
    checks: list[Check] = []
    for name in plan.graphs:
        if name == "fp16":
            continue
        try:
            share = check_native(folder, name, pairs, threads=plan.threads)
        except UnsupportedError as error:
            say(f"native       not compared: {error}")
            return checks
        title = f"{name}: native engine beyond a level of ONNX Runtime"
        checks.append(Check(title, share, NATIVE_SHARE[name], "of samples"))
    return checks


def _mixed_latency(
    int8: Int8Build | None, native: NativeModel | Unpacked, plan: BuildPlan, picture: Picture
) -> tuple[float, ...]:
    """Native milliseconds with everything quantised, then with each layer that stays float."""
    if int8 is None or not int8.kept_float or not isinstance(native, NativeModel):
        return ()
    keep_float: frozenset[str] = frozenset()
    models = []
    for tensors in ((), *(kept.tensors for kept in int8.kept_float)):
        keep_float |= frozenset(tensors)
        twin = quantize(int8.float_twin, dict(int8.table.ranges), keep_float=keep_float)
        models.append(pack_native(int8.float_twin, plan.scale, int8_twin=twin).data)
    try:
        return tuple(native_latency(models, picture, scale=plan.scale, threads=plan.threads))
    except UnsupportedError:
        return ()


def _crops(built: Precisions, pairs: Sequence[HeldOut], plan: BuildPlan) -> list[Crop]:
    shown = dict.fromkeys(("fp32", plan.default_precision))
    return crops_of({name: built.twins[name] for name in shown}, pairs, plan.scale)


def _write_reports(
    folder: Path, facts: BuildFacts, files: dict[str, FileEntry], crops: Sequence[Crop]
) -> dict[str, Any]:
    """The reports, then the final manifest that lists them."""
    report = report_of(facts, files, folder_bytes(folder))
    files[REPORT_JSON] = write_file(folder, REPORT_JSON, report_json(report))
    plan = facts.plan
    if plan.has_html:
        page = report_html(report, crops).encode()
        files[REPORT_HTML] = write_file(folder, REPORT_HTML, page)
    manifest = manifest_of(
        facts.source.spec,
        plan.precisions,
        plan.default_precision,
        files,
        measured={
            "quality": {
                name: {"psnr": round(q.psnr, 4), "drop_db": round(q.drop_db, 4)}
                for name, q in facts.quality.items()
            },
            "latency": report["latency"],
            "provenance": report["provenance"],
        },
    )
    write_manifest(folder, manifest)
    return {**report, "bytes": folder_bytes(folder)}
