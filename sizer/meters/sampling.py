"""Energy from power that is sampled in the background: sample-and-hold, each sample counts until the next.

Holding, not a trapezoid, because a power register holds too: it keeps its value until its next update.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

#: A sample is held this many periods at most; beyond that the sampler was starved and the energy is not known.
MAX_HOLD_PERIODS = 10


class Sampled(NamedTuple):
    """The state after a sample: the energy up to ``time_s``, the power held since, the failures so far."""

    time_s: float
    joules: float
    watts: float | None
    interruptions: int = 0
    problem: str | None = None


class PowerSampler:
    """A cumulative energy counter made of power samples, taken by a thread every ``period_s``.

    ``read_watts`` may raise any exception; a sample that fails or that is not above 0 W interrupts the counter. The
    state is one tuple that is replaced, so reading it needs no lock.
    """

    def __init__(
        self, read_watts: Callable[[], float], period_s: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._read_watts = read_watts
        self._clock = clock
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.period_s = period_s
        self.state = Sampled(clock(), 0.0, None)
        self.sample()

    def start(self) -> None:
        """Sample in the background until `stop`."""
        self._thread = threading.Thread(target=self._run, name="sizer-power-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._stopped.wait(self.period_s):
            self.sample()

    def sample(self) -> None:
        """Take one sample now."""
        try:
            watts = self._read_watts()
            problem = None if watts > 0 else f"a power sample was {watts:g} W"
        except Exception as error:
            problem = str(error) or type(error).__name__
            watts = 0.0
        now, last = self._clock(), self.state
        held, late = self._held(now)
        problem = problem or late
        self.state = Sampled(
            time_s=now,
            joules=last.joules + held,
            watts=watts if watts > 0 else None,
            interruptions=last.interruptions + (problem is not None),
            problem=problem or last.problem,
        )

    def _held(self, now: float) -> tuple[float, str | None]:
        """Joules since the last sample, and what is wrong with them."""
        last = self.state
        elapsed = now - last.time_s
        if last.watts is None:
            return 0.0, None
        longest = MAX_HOLD_PERIODS * self.period_s
        late = f"no power sample for {elapsed:.3g} s, more than {longest:.3g} s" if elapsed > longest else None
        return last.watts * elapsed, late

    def reading(self) -> tuple[float, float | None, int, str | None]:
        """The counter now: (time in s, joules or None, interruptions, the last problem)."""
        state, now = self.state, self._clock()
        if state.watts is None:
            return now, None, state.interruptions, state.problem
        elapsed = now - state.time_s
        if elapsed > MAX_HOLD_PERIODS * self.period_s:
            return now, None, state.interruptions, f"no power sample for {elapsed:.3g} s"
        return now, state.joules + state.watts * max(0.0, elapsed), state.interruptions, state.problem
