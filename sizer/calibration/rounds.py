"""Taking the timings of a plan: in rounds, interleaved in random order, each one kept as it is taken.

Drift and neighbours then hit all networks alike. The first round decides how many of the planned networks the time pays
for; the others time the same ones again. Where a meter measures, one more round runs under it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np

from sizer.base.errors import MeasurementError
from sizer.base.storage import JsonLines
from sizer.calibration import plan as planning
from sizer.calibration.measurements import Case, Measurements, Timing
from sizer.calibration.session import METER_SHARE, Session
from sizer.calibration.timed_step import time_run
from sizer.meters.intervals import Windows

#: Number of the round that runs under a meter.
METERED = planning.MOST_ROUNDS
#: A run during which others used more of the machine than this is taken again, while the round's time lasts: beside it
#: a quiet machine's second quietest run is 1.2 to 1.7 % off its quietest (docs/benchmarks.md, noise).
_DISTURBED = 0.10

#: (position in the plan, round) of the timings that are there.
Done = set[tuple[int, int]]


class Pace(NamedTuple):
    """How many rounds, when they begin and end on the `time.perf_counter` clock (inf: with the plan), for how many."""

    rounds: int
    began: float
    until: float
    fewest: int


class _Turn(NamedTuple):
    """One round: its number, until when, in which order, and under which meter."""

    number: int
    deadline: float
    order: Sequence[int]
    meter: Windows | None = None


def take_rounds(session: Session, log: JsonLines, found: Measurements, pace: Pace) -> None:
    """Take the timings that are missing from a file. Raises MeasurementError when one cannot be kept or taken."""
    done = {(timing.case, timing.round) for timing in found.timings}
    cases = list(range(len(found.plan)))
    timed = (pace.until - pace.began) * (1 if session.meter is None else 1 - METER_SHARE)
    with closing(log):
        for number in range(pace.rounds):
            order = cases if number == 0 else _shuffled(cases, number)
            turn = _Turn(number, pace.began + timed * (number + 1) / pace.rounds, order)
            done |= _take_round(session, log, found.plan, turn, done, pace)
            cases = [case for case in cases if (case, 0) in done]
        if session.meter is not None:
            turn = _Turn(METERED, pace.until, _shuffled(cases, METERED), session.meter)
            _take_round(session, log, found.plan, turn, done, pace)


def _shuffled(cases: list[int], seed: int) -> list[int]:
    return [int(case) for case in np.random.default_rng(seed).permutation(cases)]


def _take_round(session: Session, log: JsonLines, plan: Sequence[Case], turn: _Turn, done: Done, pace: Pace) -> Done:
    """Time networks once each in the order given until the deadline; disturbed ones again while time lasts."""
    queue = [case for case in turn.order if (case, turn.number) not in done]
    what = "timing networks" if turn.meter is None else f"metering networks ({turn.meter.name})"
    taken: Done = set()
    while queue and (
        time.perf_counter() < turn.deadline or (turn.number == 0 and len(taken) + len(done) < pace.fewest)
    ):
        case = queue.pop(0)
        timing = _timed(session, plan[case], turn.meter)._replace(case=case, round=turn.number)
        log.append(timing._asdict())
        if session.progress is not None:
            session.progress(what, _share_done(pace, turn, len(taken) / (len(taken) + len(queue) + 1)))
        if (timing.disturbed or 0.0) > _DISTURBED and (case, turn.number) not in taken:
            queue.append(case)
        taken.add((case, turn.number))
    return taken


def _timed(session: Session, case: Case, meter: Windows | None) -> Timing:
    try:
        return time_run(case, session.training, planning.RUN_S, session.device.id, meter)
    except (RuntimeError, MemoryError) as error:  # torch's errors: out of memory, a GPU that is gone
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        remedy = (
            "see `nvidia-smi` and the kernel's log, then" if session.device.kind == "cuda" else "free some memory and"
        )
        network = "-".join(map(str, case.full))
        raise MeasurementError(
            f"{session.device.id} failed while it trained {network} with batch {case.batch_size} ({reason}); what "
            f"was measured is kept: {remedy} run the same command again"
        ) from None


def _share_done(pace: Pace, turn: _Turn, of_round: float) -> float:
    """By the clock where the time is limited, else by the rounds."""
    if pace.until == float("inf"):
        return (turn.number + of_round) / pace.rounds
    return min((time.perf_counter() - pace.began) / max(pace.until - pace.began, 1e-9), 1.0)
