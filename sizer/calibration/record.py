"""What a calibration found, as a record. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from sizer.base.records import Record, plain
from sizer.calibration.cache_probe import AccessTime
from sizer.calibration.combine import SessionSummary, Speed
from sizer.calibration.fit import Fit
from sizer.meters.stated_power import PowerModel
from sizer.method.coefficients import term_unit
from sizer.method.hardware import Device, device_to_dict

CALIBRATION_FORMAT = "sizer.calibration/1"
#: Median excess of a network's second quietest run over its quietest from which a machine is called noisy: three times
#: the 1.2 to 1.7 % of the quiet ones of docs/benchmarks.md.
NOISY = 0.05
#: Mean error from which a fit is no better than counting operations (FLOPs alone: 37 %).
POOR = 0.35
#: Share by which values may be too high from which a percentage says less than how many times.
_MANY = 10.0
#: Values that may be too high by more than this share make no profile: a machine that stands in is 0.65 to 1.51 times
#: off where it is of the same generation (docs/calibration.md), and never said to be this one.
USELESS = 1.0


class TimedNetwork(NamedTuple):
    """A network that was fitted: its quiet time of a step in s, and the cross-validated predicted / measured.

    ``widths`` are its input's and those of its layers.
    """

    widths: tuple[int, ...]
    num_free_parameters: int
    batch_size: int
    measured_s: float
    ratio: float

    @property
    def predicted_s(self) -> float:
        """What a fit without it predicts, in s."""
        return self.measured_s * self.ratio


@dataclass(frozen=True)
class Calibration(Record):
    """A finished calibration.

    ``fits`` are by quantity, ``time`` always and ``energy`` where a meter measured it; ``noise`` is how much the second
    quietest run of a network takes longer than its quietest (median); ``path`` is the profile's file, None if not kept.
    ``meter`` is what measured the energy of ``metered`` networks, ``meter_problem`` why energy was not fitted although
    a meter was there, ``meter_doubt`` what speaks against its joules, ``power`` the power stated from which joules are
    estimated. ``sessions`` are those it goes by and those it does not, the one just measured last; ``speeds`` those of
    the machine where it has several; ``explanation`` what the kernel counted while the last session was disturbed;
    ``reference_s`` the quiet time of each reference step at the speed that is predicted, in s. ``timed`` are the
    networks of the time's fit; ``accesses`` the time of an access to tables of growing size, which shows the caches.
    ``launch_bound`` is the share of the networks whose steps wait for the program on a GPU, None elsewhere; ``covered``
    what its networks cover beyond those of CPUs.
    """

    name: str
    device: Device
    fits: dict[str, Fit]
    noise: float | None
    networks: int
    path: Path | None
    meter: str | None = None
    metered: int = 0
    meter_problem: str | None = None
    power: PowerModel | None = None
    speeds: tuple[Speed, ...] = ()
    sessions: tuple[SessionSummary, ...] = ()
    explanation: str | None = None
    reference_s: Mapping[str, float] | None = None
    timed: tuple[TimedNetwork, ...] = ()
    accesses: tuple[AccessTime, ...] = ()
    launch_bound: float | None = None
    covered: Mapping[str, Any] = field(default_factory=dict)
    meter_doubt: str | None = None

    def in_short(self) -> str:
        """The profile and its error."""
        errors = ", ".join(f"{name} off by {found.mean_error:.1%}" for name, found in self.fits.items())
        return f"{self.name} of {self.device.name or self.device.id}; {errors} in the mean, {self.networks} networks"

    def kept(self, path: Path) -> Calibration:
        """The same calibration, kept in a file."""
        return replace(self, path=path)

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.calibration/1``."""
        return {
            "format": CALIBRATION_FORMAT,
            "name": self.name,
            "device": device_to_dict(self.device),
            "networks": self.networks,
            "noise": self.noise,
            "fits": {quantity: fit_dict(found) for quantity, found in self.fits.items()},
            "meter": self.meter,
            "metered": self.metered,
            "meter_problem": self.meter_problem,
            "meter_doubt": self.meter_doubt,
            "power_model": power_dict(self.power),
            "speeds": plain(self.speeds),
            "sessions": plain(self.sessions),
            "explanation": self.explanation,
            "timed": plain(self.timed),
            "accesses": plain(self.accesses),
            "launch_bound": self.launch_bound,
            "path": None if self.path is None else str(self.path),
            "usable": self.usable,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a coefficient."""
        return [
            {"quantity": quantity, "term": name, "value": value, "unit": term_unit(name, quantity)}
            for quantity, found in self.fits.items()
            for name, value in found.terms.items()
        ]

    @property
    def high_by(self) -> float:
        """Share by which its values may be too high; 0 where a session was quiet, or none says."""
        return min((0.0 if each.quiet else each.high_by or 0.0 for each in self.sessions if each.used), default=0.0)

    @property
    def usable(self) -> bool:
        """Whether a profile is made of it: not where others kept the machine so busy that another's would do better."""
        used = [session.seen_high_by for session in self.sessions if session.used]
        return min(used, default=0.0) <= USELESS

    @property
    def why_not_usable(self) -> str:
        """Why no profile was made of it, and what to do, in a sentence."""
        return (
            f"others kept {self.device.id} so busy that its times may be up to {percent(self.high_by)} high: no "
            f"profile was made of them; run `sizer calibrate` again later, or --until-quiet 10m"
        )

    @property
    def quiet_line(self) -> str | None:
        """Whether the machine was quiet in the session just measured, in a line; None where nothing tells."""
        last = self.sessions[-1] if self.sessions else None
        if last is None or last.disturbed_share is None or last.high_by is None:
            return None
        share = f"disturbed for {last.disturbed_share:.0%} of the time"
        if last.quiet:
            return f"quiet: each network was timed while nothing disturbed it ({share})"
        why = "" if self.explanation is None else f" ({self.explanation})"
        high = f"values may be up to {percent(last.high_by)} high"
        if not last.used:
            still = f"; they may be up to {percent(self.high_by)} high; run again later" if self.high_by > 0 else ""
            return f"{share}{why}; this session's values are not used, those of earlier, quieter ones are{still}"
        if last.room is not None:
            return f"{share}{why}; {_crowded(last.room)}; {high}; run again later, or --until-quiet 10m"
        return f"{share}{why}; {high}; run again, or --until-quiet 10m"

    def remarks(self) -> tuple[str, ...]:
        """Whether the machine was quiet enough to trust the numbers, and why there are no joules where a meter was."""
        return tuple(self._doubts())

    def _doubts(self) -> Iterator[str]:
        again = "calibrate again with a larger --budget when the machine is idle"
        if self.noise is None:
            yield f"no network was timed twice: the budget was too small, or the machine too busy; {again}"
        elif self.noise > NOISY:
            yield (
                f"this machine is noisy: repeated timings of a network differ by {self.noise:.0%} (median). The "
                f"intervals include that; {again}"
            )
        for quantity, found in self.fits.items():
            if found.mean_error > POOR:
                yield f"predictions of {quantity} miss by {found.mean_error:.0%} (mean): do not rely on them; {again}"
        if self.meter_problem is not None:
            yield self.meter_problem
        if self.meter_doubt is not None and self.metered:
            yield self.meter_doubt


def percent(high_by: float) -> str:
    """By how much values may be too high, for between "up to" and "high"."""
    return f"{math.ceil(100 * high_by)} %" if high_by < _MANY else f"{math.ceil(high_by)} times too"


def _crowded(room: float) -> str:
    """What threads that slow each other may mean, in words."""
    return (
        f"all threads together are {room:.2f} times slower than they could be: always, where cores are shared or far "
        f"apart, or now, beside a neighbour or where the host has put them"
    )


def power_dict(power: PowerModel | None) -> dict[str, Any] | None:
    """Stated power as JSON data."""
    return None if power is None else {"busy_w": power.busy_w, "idle_w": power.idle_w, "basis": power.basis}


def fit_dict(found: Fit) -> dict[str, Any]:
    """Coefficients and their errors as JSON data."""
    return {
        "terms": found.terms,
        "interval_90": list(found.interval),
        "error_mean": found.mean_error,
        "error_median": found.error_quantile(0.5),
        "error_95": found.error_quantile(0.95),
    }
