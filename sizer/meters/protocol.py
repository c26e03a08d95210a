"""What every meter is: snapshots taken around a piece of work, and the energy that lies between two of them.

A snapshot is cheap, raises nothing and decides nothing; the energy is worked out afterwards, away from the work that is
timed. A window that cannot be trusted is rejected: its joules are None, never 0, and a warning says why.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sizer.base.errors import MeterError, UsageError

MEASURED = "measured"
ESTIMATED = "estimated"
#: Label of a meter that has nothing to say.
UNKNOWN = "none"


class Snapshot(NamedTuple):
    """What a meter read at one moment. Plain data, so that it can be kept in a measurement file and replayed.

    ``time_s`` is on the monotonic clock (`time.perf_counter`), ``unix_s`` on the wall clock. ``readings`` are the
    counts of the meter's counters in their own units, None where one could not be read. ``interruptions`` counts the
    failures the meter met so far, so that one between two good snapshots still shows; ``problem`` is the last one.
    """

    time_s: float
    unix_s: float
    readings: tuple[float | None, ...] = ()
    interruptions: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class Energy:
    """The energy of one window of ``seconds``.

    ``joules`` is None when it is not known or when the window was rejected; ``warnings`` then say why, a sentence each.
    ``label`` is ``measured`` or ``estimated`` (``none`` without a meter); ``detail`` the joules of each domain.
    """

    joules: float | None
    seconds: float
    label: str
    detail: Mapping[str, float | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def power_w(self) -> float | None:
        """Mean power over the window in W, None where the energy is not known."""
        return None if self.joules is None or self.seconds <= 0 else self.joules / self.seconds

    def required(self) -> float:
        """The joules. Raises MeterError, with the reasons, when there are none."""
        if self.joules is None:
            raise MeterError("; ".join(self.warnings) or "no meter measured this window; choose one with --meter")
        return self.joules


class Meter(Protocol):
    """An energy meter.

    ``source`` is one sentence on what is read and what it covers, ``quantities`` the domains that its joules add up.
    A window must last ``minimum_window_s`` for the meter's update period not to matter, and, where it is not None, at
    most ``maximum_window_s``; longer work is metered in parts and put together with `add_up`. The caller waits for
    asynchronous work (``torch.cuda.synchronize``) before each snapshot.
    """

    @property
    def name(self) -> str:
        """The name it is chosen by."""

    @property
    def source(self) -> str:
        """What is read and what it covers."""

    @property
    def label(self) -> str:
        """``measured``, ``estimated`` or ``none``."""

    @property
    def quantities(self) -> tuple[str, ...]:
        """The domains whose energies the joules add up."""

    @property
    def minimum_window_s(self) -> float:
        """Shortest window that is not rejected, in s."""

    @property
    def maximum_window_s(self) -> float | None:
        """Longest window that is not rejected, in s; None for no limit."""

    def snapshot(self) -> Snapshot:
        """Read the meter now. Raises nothing: a failure is in the snapshot."""

    def energy(self, start: Snapshot, end: Snapshot) -> Energy:
        """The energy between two of this meter's snapshots; a function of the snapshots (or of the log) alone."""

    def close(self) -> None:
        """Let go of files, threads and libraries."""


def rejection(reason: str) -> str:
    """The warning that says why a window was rejected."""
    return f"window rejected: {reason}"


def rejected(seconds: float, label: str, quantities: Sequence[str], *reasons: str) -> Energy:
    """The energy of a window that cannot be trusted."""
    return Energy(None, seconds, label, dict.fromkeys(quantities), tuple(map(rejection, reasons)))


def add_up(energies: Sequence[Energy]) -> Energy:
    """The energy of windows that follow one another, as of one. Not known if one of them is not known.

    It is measured if all of its parts are. Raises UsageError when there is no part.
    """
    if not energies:
        raise UsageError("no windows to add up; expected at least one")
    labels = {energy.label for energy in energies}
    domains = dict.fromkeys(domain for energy in energies for domain in energy.detail)
    return Energy(
        joules=_sum([energy.joules for energy in energies]),
        seconds=math.fsum(energy.seconds for energy in energies),
        label=next(label for label in (UNKNOWN, ESTIMATED, MEASURED) if label in labels),
        detail={domain: _sum([energy.detail.get(domain) for energy in energies]) for domain in domains},
        warnings=tuple(dict.fromkeys(warning for energy in energies for warning in energy.warnings)),
    )


def _sum(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return math.fsum(known) if len(known) == len(parts) else None


class NullMeter:
    """No meter. ``reason`` says why, so that a report can."""

    name = "none"
    label = UNKNOWN
    quantities: tuple[str, ...] = ()
    minimum_window_s = 0.0
    maximum_window_s: float | None = None

    def __init__(self, reason: str = "none was asked for") -> None:
        self.source = f"no energy meter: {reason}"

    def snapshot(self) -> Snapshot:
        """The time alone."""
        return Snapshot(time.perf_counter(), time.time())

    def energy(self, start: Snapshot, end: Snapshot) -> Energy:
        """Seconds without joules."""
        return Energy(None, end.time_s - start.time_s, UNKNOWN, {}, (self.source,))

    def close(self) -> None:
        """Nothing to let go of."""
