"""What networks really take, timed by code of its own, and how far calibrations are from it: for other benchmarks."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sizer.calibration.calibration import Settings
from sizer.calibration.fit import design, predict_terms
from sizer.calibration.measurements import Case
from sizer.calibration.plan import draw
from sizer.calibration.record import Calibration
from sizer.calibration.timed_step import make_step
from sizer.method.placement import FloatArray, Hierarchy
from sizer.method.training_step import Training

_FIRST_SEED = 2**31
_ROUNDS = 4
_RUN_S = 0.1
#: Truth before and after agrees within this in the mean where a case counts as quiet.
QUIET = 0.015


class Score(NamedTuple):
    """Errors of a calibration against the truth: |ratio - 1| but for the bias, which is the geometric mean's ratio."""

    bias: float
    mean: float
    median: float
    p95: float
    coverage: float
    width: float

    def row(self, name: str) -> str:
        """A row of the table."""
        shares = "".join(f"{100 * share:8.1f} %" for share in (self.mean, self.median, self.p95, self.coverage))
        return f"{name:<44} {self.bias:5.2f} {shares} {self.width:7.2f}"


HEADER = f"{'':<44} {'bias':>5} {'mean':>10}{'median':>10}{'p95':>10}{'covered':>10} {'width':>7}"


class Truth(NamedTuple):
    """Networks with the time of a step before and after in s, shape (N,) each."""

    cases: list[Case]
    before_s: FloatArray
    after_s: FloatArray

    @property
    def quiet_s(self) -> FloatArray:
        """The lesser of the two."""
        return np.minimum(self.before_s, self.after_s)

    @property
    def difference(self) -> float:
        """Mean of how far they are apart."""
        return float(np.mean(np.abs(self.after_s / self.before_s - 1)))

    @property
    def quiet(self) -> bool:
        """Whether the machine was the same before and after."""
        return self.difference <= QUIET


def networks(count: int, seed: int = 0) -> list[Case]:
    """Networks over the whole calibrated range, none of a calibration's seeds."""
    return draw(count, _FIRST_SEED + seed)


def timed(cases: Sequence[Case]) -> FloatArray:
    """Time of a step of each in s: the 20th percentile of a run, the least of four rounds; about 0.5 s a network."""
    best = np.full(len(cases), np.inf)
    for number in range(_ROUNDS):
        for index in np.random.default_rng(number).permutation(len(cases)):
            best[index] = min(best[index], _run_s(cases[index]))
    return best


def _run_s(case: Case) -> float:
    step = make_step(case, Training())
    for _ in range(3):
        step()
    times: list[float] = []
    until = time.perf_counter() + _RUN_S
    while time.perf_counter() < until or len(times) < 3:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    return float(np.quantile(times, 0.2))


def read_truth(path: Path) -> Truth:
    """A file of networks with ``before_s`` and ``after_s``."""
    found = json.loads(path.read_text(encoding="utf-8"))["networks"]
    cases = [Case(one.get("shape"), one["input_dim"], tuple(one["widths"]), one["batch_size"]) for one in found]
    return Truth(cases, *(np.array([one[name] for one in found]) for name in ("before_s", "after_s")))


def write_truth(path: Path, truth: Truth) -> None:
    """Such a file."""
    names = ("shape", "input_dim", "widths", "batch_size", "before_s", "after_s")
    rows = zip(truth.cases, truth.before_s.tolist(), truth.after_s.tolist(), strict=True)
    each = [
        (case.shape, case.input_dim, case.widths, case.batch_size, before_s, after_s)
        for case, before_s, after_s in rows
    ]
    networks = [dict(zip(names, values, strict=True)) for values in each]
    path.write_text(json.dumps({"networks": networks}), encoding="utf-8")


def score(record: Calibration, truth: Truth, settings: Settings | None = None) -> Score:
    """How far a calibration is from the truth."""
    settings = settings or Settings()
    training = Training(dtype=settings.dtype, optimizer=settings.optimizer)
    fitted = record.fits["time"]
    predicted = predict_terms(design(truth.cases, training, Hierarchy.of(record.device)), fitted.terms)
    ratios = predicted / truth.quiet_s
    errors = np.abs(ratios - 1)
    low, high = fitted.interval
    covered = float(np.mean((1 / ratios >= low) & (1 / ratios <= high)))
    bias = float(np.exp(np.mean(np.log(ratios))))
    return Score(
        bias, float(errors.mean()), float(np.median(errors)), float(np.quantile(errors, 0.95)), covered, high / low
    )
