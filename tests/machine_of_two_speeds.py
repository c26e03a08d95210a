"""A synthetic machine with a clock of its own: a known law, two speeds, and a neighbour who comes and goes.

A case takes `step_s` times what the machine's state says; products on all threads, and so cases, are slower while it is
disturbed, one thread is steady. Timing moves the clock; nothing sleeps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from calibrating_fakes import QuietReference, make_quick, step_s

from sizer.calibration.measurements import Timing

LEVELS = {"near": 2e-5, "last": 1e-4, "ram": 4e-5, "threads": 1e-4, "alone": 0.9e-4, "handoff": 0.47e-4}
_RUN_S = 0.03
_REFERENCE_S = 0.001


class TwoSpeeds:
    """``factor(now_s)`` is how much slower steps are at a moment than when it is quiet.

    All threads together are then as much slower, or, where ``far_apart``, only what they hand each other: as on cores
    that share no cache, where a product takes hardly longer.
    """

    def __init__(
        self,
        monkeypatch,
        device,
        factor: Callable[[float], float],
        seed: int = 0,
        noise: float = 0.01,
        far_apart: bool = False,
    ):
        from sizer.calibration import calibration, reference_steps, rounds, validation

        self.now_s, self.factor = 0.0, factor
        self._random, self._noise = np.random.default_rng(seed), noise
        machine = self

        class Clock:
            @staticmethod
            def perf_counter() -> float:
                return machine.now_s

            @staticmethod
            def sleep(seconds: float) -> None:
                machine.now_s += seconds

        class Steps(QuietReference):
            def take(self):
                machine.now_s += _REFERENCE_S
                much = machine.factor(machine.now_s)
                slow = {"handoff": 1 + 2.6 * (much - 1), "threads": 1 + 0.4 * (much - 1)}
                slow = slow if far_apart else {"threads": much}
                return {name: level * slow.get(name, 1.0) * machine._luck() for name, level in LEVELS.items()}

        self.timed = make_quick(monkeypatch, device)
        for module in (calibration, rounds, validation):
            if hasattr(module, "time"):
                monkeypatch.setattr(module, "time", Clock)
        for module in (calibration, rounds):
            monkeypatch.setattr(module, "time_run", self._time_run)
        for module in (rounds, reference_steps):
            monkeypatch.setattr(module, "ReferenceSteps", Steps)

    def _luck(self) -> float:
        return float(np.exp(abs(self._random.normal(0, self._noise))))

    def _time_run(self, case, training, seconds, device="cpu", meter=None):
        self.timed.append(case)
        self.now_s += _RUN_S
        return Timing(0, 0, step_s(case) * self.factor(self.now_s) * self._luck(), 5, None)
