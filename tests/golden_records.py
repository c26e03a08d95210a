"""Records of every kind that a page shows, made from fixed inputs; `tests/data/records` holds them as they were kept.

``pytest tests/test_pages.py --rewrite-golden`` makes and keeps them anew, with the texts of their figures.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from study import GIB, KIB, MIB

from sizer.base.records import Record
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, Level, Machine
from sizer.study.step import StudyStep

FOLDER = Path(__file__).parent / "data" / "records"
_LEVELS = (
    Level("L1", 32 * KIB, 2, 1, 64, "test"),
    Level("L2", MIB, 2, 1, 64, "test"),
    Level("L3", 16 * MIB, 1, 2, 64, "test", effective_bytes=6 * MIB),
    Level("RAM", 16 * GIB, 1, source="test"),
)
SMALL_CPU = Device("cpu", "cpu", "a small CPU", 2, _LEVELS, ("the L3 is shared with other guests",))
_TERMS = {"step": 2e-4, "layer": 4e-5, "operation": 2e-11, "traffic.L2": 1e-5, "traffic.L3": 4e-5, "traffic.RAM": 1e-4}
COEFFICIENTS = Coefficients("calibrated", "calibrated", "time", _TERMS, (0.8, 1.3), "test", "made up for a test")


def _recommendation() -> Record:
    from sizer.method.advisor import recommend
    from sizer.method.request import Request

    return recommend(Request(784, (6,), output_dim=10, observations=60_000), SMALL_CPU, COEFFICIENTS)


def _family() -> Record:
    """Traced sizes of a small network with normalisation, of which a few seem to have been timed."""
    from torch import nn

    from sizer.families.answer import Answer
    from sizer.families.making import Family
    from sizer.families.request import FamilyRequest
    from sizer.families.timing import Timed
    from sizer.families.tracing import Left, together, trace_members
    from sizer.method.placement import Hierarchy, place_all

    def make(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(32, width), nn.BatchNorm1d(width), nn.GELU(), nn.Linear(width, 10))

    widths = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
    request = FamilyRequest("nets:make", ("width",), (widths,), ("256,32",))
    family, hierarchy = Family(request, make), Hierarchy.of(SMALL_CPU)
    members, _ = trace_members(family, request.sizes(), lambda what, share: None)
    sets = together([one.sets for one in members])
    timed = [Timed((width,), 2e-4 + 1e-6 * width + 2e-6 * (width % 5), 3, width != 192) for width in widths[::2]]
    left = [Left((2048,), "a step needs 20 GiB, more than 80 % of the 16 GiB of RAM")]
    answer = Answer(family, SMALL_CPU, hierarchy, members, sets, place_all(sets, hierarchy), timed, left, 2)
    return answer.record()


def _fleet() -> Record:
    from sizer.fleet.fleet import Node, recommend_fleet
    from sizer.method.request import Request

    names = {"fast": 1.0, "slow": 3.0, "middling": 1.7}
    nodes = [Node(name, SMALL_CPU, {"time": _slower(factor)}) for name, factor in names.items()]
    return recommend_fleet(Request(64, (4,)), nodes)


def _slower(factor: float) -> Coefficients:
    terms = {name: value * factor for name, value in _TERMS.items()}
    return Coefficients("shipped", "estimated", "time", terms, (0.5, 2.0), "test", "made up for a test")


def _comparison() -> Record:
    from sizer.devices import Chosen
    from sizer.fleet.comparison import Asked, compare
    from sizer.profiles import load

    gpu = load("nvidia-t4")
    launch_bound = Coefficients("shipped", "estimated", "time", {"step": 8e-4, "operation": 5e-13}, (0.33, 3.0))
    return compare(Chosen(SMALL_CPU, COEFFICIENTS), Chosen(gpu.device, launch_bound), Asked())


def _inspection() -> Record:
    from sizer.inspection.networks import inspect_topologies, parse_mlp
    from sizer.method.training_step import Training

    return inspect_topologies([parse_mlp("784-512-512-10")], Training(), SMALL_CPU, COEFFICIENTS)


def _inspections() -> Record:
    from sizer.inspection.networks import inspect_topologies, parse_mlp
    from sizer.method.training_step import Training

    networks = [parse_mlp(f"64-{width}x3-10") for width in (8, 16, 32, 64, 128, 256, 512)]
    return inspect_topologies(networks, Training(), SMALL_CPU, COEFFICIENTS)


def _module() -> Any:
    import torch

    import sizer

    layers = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    module = torch.nn.TransformerEncoder(layers, 3, enable_nested_tensor=False)
    return sizer.inspect(module, torch.zeros(8, 32, 64), device="x86-vm-2cpu")


def _training() -> Record:
    """What the hook writes: steps that were timed, and advice."""
    import torch

    import sizer
    from sizer.inspection.module_record import Advice, MeasuredRecord

    module = torch.nn.Sequential(torch.nn.Linear(20, 300), torch.nn.ReLU(), torch.nn.Linear(300, 1))
    found = sizer.inspect(module, 256, device="x86-vm-2cpu")
    shares = {"waiting": 0.31, "forward": 0.2, "backward": 0.3, "optimizer": 0.12, "others": 0.0, "rest": 0.07}
    measured = MeasuredRecord(30, 2.1e-3, 1.3e-3, shares)
    why = "keeps backward inside L2 (now in L3)"
    advice = Advice("narrower", "hidden 300 -> 256", why, effect=-0.09, interval=(-0.12, -0.06))
    return replace(found, measured=measured, advice=(advice,))


def _calibration() -> Any:
    from sizer.calibration.cache_probe import AccessTime
    from sizer.calibration.calibration import replay
    from sizer.calibration.combine import SessionSummary

    found = replay(FOLDER.parent / "before_the_move" / "calibration" / "cpu.jsonl", keep=False)
    sessions = tuple(
        SessionSummary(f"2026-11-{day:02}T10:00:00", 60 + day, factor, quiet, share, high, used)
        for day, factor, quiet, share, high, used in (
            (3, 1.0, True, 0.02, 0.0, True),
            (9, 1.01, True, 0.05, 0.0, True),
            (14, 1.31, False, 0.64, 0.3, False),
            (20, 0.99, True, 0.0, 0.0, True),
        )
    )
    sizes = [64 * KIB * 2 ** (step / 2) for step in range(21)]
    accesses = tuple(AccessTime(round(size), 2e-9 + 5e-9 / (1 + (5 * MIB / size) ** 2)) for size in sizes)
    return replace(found, sessions=sessions, accesses=accesses)


def _operators() -> Record:
    from sizer.operators.calibration_record import KindErrors, OperatorCalibration

    kinds = (
        KindErrors("matrix products", 212, 0.08),
        KindErrors("convolutions", 96, 0.17),
        KindErrors("losses", 2, None),
    )
    return OperatorCalibration(
        "cpu", "a small CPU", "2.13.0", 2, 310, 310, kinds, 24, 0.07, 120.4, "/kept/operators.jsonl"
    )


def _sessions() -> Record:
    from sizer.calibration.kept_sessions import KeptSessions

    sessions = _calibration().sessions
    return KeptSessions("cpu", sessions, tuple(Path(f"/kept/{each.date}.jsonl") for each in sessions))


def _validation() -> Record:
    from sizer.calibration.validation_record import ValidatedNetwork, Validation

    draw = np.random.default_rng(5)
    networks = []
    for _ in range(80):
        width, depth = int(2 ** draw.uniform(2, 9)), int(draw.integers(1, 6))
        parameters = 33 * width + (depth - 1) * (width + 1) * width + width + 1
        measured = 1e-4 * depth + 4e-9 * parameters
        predicted = measured * math.exp(draw.normal(0.02, 0.07))
        interval = (0.85 * predicted, 1.12 * predicted)
        widths = (*[width] * depth, 1)
        networks.append(ValidatedNetwork("rectangle", 32, widths, parameters, 256, predicted, interval, measured))
    return Validation(SMALL_CPU, "calibrated-cpu", COEFFICIENTS, tuple(networks), 0, 3, None)


def _search() -> Record:
    import sizer

    return sizer.search(
        _power_law, target_loss=0.13, input_dim=8, observations=2000, depth=3, batch_size=64, priced_for="x86-vm-2cpu"
    )


def _power_law(topology: Any, epochs: int, seed: int, resume_state: Any, learning_rate: float) -> Any:
    """A training whose loss depends on size and learning rate as real ones do."""
    from sizer.size_search.data.table import TrainedEpoch

    size = math.log2(topology.num_free_parameters)
    floor = 0.1 + 0.4 * 2.0 ** (-(size - 8) / 2) + 2 * learning_rate
    faster = (learning_rate / 1e-3) ** 0.6
    done = 0 if resume_state is None else int(resume_state)
    for epoch in range(done + 1, done + epochs + 1):
        yield TrainedEpoch(floor + 1.5 / (epoch * faster * (size / 12) ** 3), 1e-3 * 2 ** (size / 4), epoch)


@cache
def _study(step: str) -> Record:
    """A step over generated runs, by the command that people give."""
    from sizer.cli import run
    from sizer.report.pages.saved import record_of

    folder = _generated()
    with redirect_stdout(StringIO()) as printed, redirect_stderr(StringIO()):
        assert run(["study", step, str(folder), "--quiet", "--json"]) == 0
    found = record_of(json.loads(printed.getvalue()), step)
    assert isinstance(found, StudyStep)
    return replace(found, files=tuple(Path(path).name for path in found.files))


@cache
def _generated() -> Path:
    from sizer.cli import run

    folder = Path(tempfile.mkdtemp(prefix="sizer-golden-"))
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        assert run(["study", "generate", str(folder), "--runs", "1500", "--quiet"]) == 0
        assert run(["study", "energy", str(folder), "--quiet"]) == 0
    return folder


def _machine() -> Record:
    return Machine((SMALL_CPU,), ("a machine made up for a test",), "0123456789abcdef")


def _tuning() -> Record:
    from sizer.tuning import record as tuning

    def lever(name: str, group: str, state: str, ratio: float | None = None, **more: Any) -> tuning.TunedLever:
        interval = None if ratio is None else (0.93 * ratio, 1.07 * ratio)
        facts = {"ratio": ratio, "interval": interval, "runs": 0 if ratio is None else 4, **more}
        return tuning.TunedLever(name, "threads", {}, f"{name} is changed", group, "rounding", state, 0.2, **facts)

    proven = {"confirmed": True, "p_value": 0.003, "losses": "within rounding", "memory_bytes": 3 * MIB, "start_s": 0.1}
    diff = "--- train.py\n+++ train.py\n@@ -3 +3 @@\n-adam = Adam(p)\n+adam = Adam(p, fused=True)\n"
    levers = (
        lever("data-in-memory", "loader", "recommended", 0.41, **proven, break_even_steps=20),
        lever("fused-optimizer", "optimizer form", "recommended", 0.86, **proven, kept=tuning.Kept(diff=diff)),
        lever("threads=1", "threads", "unproven", 0.99, confirmed=True, p_value=0.4, losses="bit-identical"),
        lever("malloc-thresholds", "allocator", "left", 1.02),
        lever("bfloat16", "precision", "out", why="RuntimeError: no kernel"),
        lever("compile", "compile", "not tried", why="the budget does not pay for it"),
    )
    names = ("data-in-memory", "fused-optimizer")
    together = tuning.Together(names, "recommended", 0.36, (0.33, 0.39), runs=4, **proven)
    shares = {"waiting": 0.6, "forward": 0.1, "backward": 0.15, "optimizer": 0.1, "others": 0.0, "rest": 0.05}
    told = "a step waits for data for 60% of its time"
    return tuning.Tuning(
        tuning.Where("train.py", False, ("--fast",), "0" * 64, "2.13.0", "3.11.2", "a small CPU", "0123456789abcdef"),
        *("time", "measured", 180.0, 176.5, True, 2.9, 210, 10, 38, shares, {"device": "cpu", "cpus": 2}),
        *("loader", told, tuning.Unchanged(13, 2.1e-3, None, (0.97, 1.03), True, 300 * MIB), levers, together, names),
        *(0.36, (0.33, 0.39), {}, ("a remark made up for a test",)),
    )


MAKERS: Mapping[str, Callable[[], Record]] = {
    "recommendation": _recommendation,
    "family": _family,
    "fleet": _fleet,
    "comparison": _comparison,
    "inspection": _inspection,
    "inspections": _inspections,
    "module": _module,
    "training": _training,
    "calibration": _calibration,
    "calibration_sessions": _sessions,
    "operator_calibration": _operators,
    "validation": _validation,
    "search": _search,
    "study_trends": lambda: _study("trends"),
    "study_caches": lambda: _study("caches"),
    "study_fit": lambda: _study("fit"),
    "study_isoloss": lambda: _study("isoloss"),
    "tuning": _tuning,
    "machine": _machine,
}
NAMES = tuple(MAKERS)


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


@cache
def rewrite(name: str) -> None:
    """Make a record and keep it, once."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path_of(name).write_text(json.dumps(MAKERS[name]().to_dict(), separators=(",", ":")) + "\n", encoding="utf-8")
