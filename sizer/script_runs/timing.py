"""Where the time between two steps of an optimizer goes. Pure but for the clock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

#: What a step's time is split into, in the order of a report.
PARTS = ("waiting", "forward", "backward", "optimizer", "others", "rest")


class StepTime(NamedTuple):
    """The time between two steps of one optimizer, in s, split into what the thread did.

    ``waiting`` for a data loader; ``forward`` in calls of modules, ``backward`` in backward passes, ``optimizer`` in
    its own step; ``others`` all of what ended in another optimizer's step; ``rest`` everything else of the script.
    """

    waiting: float
    forward: float
    backward: float
    optimizer: float
    others: float
    rest: float

    @property
    def total(self) -> float:
        """The whole time."""
        return sum(self)

    @property
    def computing(self) -> float:
        """What a prediction is of: forward, backward, optimizer."""
        return self.forward + self.backward + self.optimizer


class StepClock:
    """Charges time to the innermost part that is running, so that nothing counts twice."""

    def __init__(self) -> None:
        self._spent = dict.fromkeys(PARTS, 0.0)
        self._running = ["rest"]
        self.since = time.perf_counter()

    def enter(self, part: str) -> int:
        """A part begins; the answer is what `leave` takes."""
        self._charge()
        self._running.append(part)
        return len(self._running) - 1

    def leave(self, depth: int) -> None:
        """The part that began at a depth ends, and with it whatever an exception left open inside."""
        self._charge()
        del self._running[depth:]

    def end_of_others(self) -> None:
        """Another optimizer stepped: what was spent since the last step is its."""
        self._charge()
        spent, self._spent = self._spent, dict.fromkeys(PARTS, 0.0)
        self._spent["others"] = sum(spent.values())

    def end_of_step(self) -> StepTime:
        """The reported optimizer stepped: the time since its last step."""
        self._charge()
        spent, self._spent = self._spent, dict.fromkeys(PARTS, 0.0)
        return StepTime(**spent)

    def so_far(self) -> StepTime:
        """The time since the last step."""
        self._charge()
        return StepTime(**self._spent)

    def _charge(self) -> None:
        now = time.perf_counter()
        self._spent[self._running[-1]] += now - self.since
        self.since = now


def quiet(values: Sequence[float]) -> float:
    """The 20th percentile."""
    return sorted(values)[len(values) // 5]


class Measured(NamedTuple):
    """Steps that were timed: how many, the quiet time of one, that of its computing, and the share of each part."""

    steps: int
    time_per_step_s: float
    computing_s: float
    shares: StepTime

    @property
    def lost(self) -> float:
        """Share of the time that no network's size changes: waiting for data, and the script's rest."""
        return self.shares.waiting + self.shares.rest


def measured(times: Sequence[StepTime]) -> Measured:
    """Sum up timed steps, at least one; the shares are those of all of them together."""
    total = sum(step.total for step in times) or 1.0
    shares = StepTime(*(sum(part) / total for part in zip(*times, strict=True)))
    return Measured(len(times), quiet([t.total for t in times]), quiet([t.computing for t in times]), shares)
