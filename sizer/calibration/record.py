"""What a calibration found, as a record and as a profile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sizer.base.records import Record
from sizer.calibration.fit import Fit
from sizer.calibration.measurements import Measurements
from sizer.meters.stated_power import PowerModel
from sizer.method.coefficients import term_unit
from sizer.method.hardware import Device, device_to_dict
from sizer.profiles.records import PROFILE_FORMAT

CALIBRATION_FORMAT = "sizer.calibration/1"
#: Median excess of a network's second quietest run over its quietest from which a machine is called noisy.
NOISY = 0.05
#: Mean error from which a fit is no better than counting operations (FLOPs alone: 37 %).
POOR = 0.35


@dataclass(frozen=True)
class Calibration(Record):
    """A finished calibration.

    ``fits`` are by quantity, ``time`` always and ``energy`` where a meter measured it; ``noise`` is how much the second
    quietest run of a network takes longer than its quietest (median); ``path`` is the profile's file, None if not kept.
    ``meter`` is what measured the energy of ``metered`` networks, ``meter_problem`` why energy was not fitted although
    a meter was there, ``power`` the power stated from which joules are estimated.
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
            "fits": {quantity: _fit_dict(found) for quantity, found in self.fits.items()},
            "meter": self.meter,
            "metered": self.metered,
            "meter_problem": self.meter_problem,
            "power_model": power_dict(self.power),
            "path": None if self.path is None else str(self.path),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a coefficient."""
        return [
            {"quantity": quantity, "term": name, "value": value, "unit": term_unit(name, quantity)}
            for quantity, found in self.fits.items()
            for name, value in found.terms.items()
        ]

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


def power_dict(power: PowerModel | None) -> dict[str, Any] | None:
    """Stated power as JSON data."""
    return None if power is None else {"busy_w": power.busy_w, "idle_w": power.idle_w, "basis": power.basis}


def _fit_dict(found: Fit) -> dict[str, Any]:
    return {
        "terms": found.terms,
        "interval_90": list(found.interval),
        "error_mean": found.mean_error,
        "error_median": found.error_quantile(0.5),
        "error_95": found.error_quantile(0.95),
    }


def profile_record(measurements: Measurements, found: Calibration) -> dict[str, Any]:
    """The calibration as the JSON record of a profile that `sizer.profiles` loads."""
    settings, device = measurements.settings, found.device
    coefficients = {quantity: _coefficients(quantity, fitted, settings) for quantity, fitted in found.fits.items()}
    if found.power is not None:
        coefficients.setdefault("energy", _estimated_energy(coefficients["time"], found.power))
    return {
        "format": PROFILE_FORMAT,
        "name": found.name,
        "title": f"{device.name or device.id}, calibrated {settings['date'][:10]}",
        "kind": device.kind,
        "match": {},
        "sources": {
            "calibration": {"title": "sizer calibrate, on this machine", "url": None, "read": settings["date"][:10]}
        },
        "units": None if device.units is None else {"value": device.units, "source": "calibration", "verified": True},
        "levels": [_level(level) for level in device_to_dict(device)["levels"] if level["capacity_bytes"]],
        "coefficients": coefficients,
        "calibration": {
            **settings,
            "networks": found.networks,
            "metered": found.metered,
            "noise": found.noise,
            "errors": {quantity: _fit_dict(fitted) for quantity, fitted in found.fits.items()},
        },
    }


def _estimated_energy(time: dict[str, Any], power: PowerModel) -> dict[str, Any]:
    """Joules from stated power: the fitted time times the busy power, an estimate and labelled as one."""
    terms = {
        name: {"value": term["value"] * power.busy_w, "unit": term_unit(name, "energy")}
        for name, term in time["terms"].items()
    }
    basis = f"calibrated time x {power.busy_w:g} W while training, {power.basis}; the interval is that of the time"
    return {**time, "source": "shipped", "basis": basis, "terms": terms}


def _level(level: dict[str, Any]) -> dict[str, Any]:
    kept = ("name", "capacity_bytes", "instances", "cpus_per_instance", "line_bytes", "effective_bytes")
    return {name: level[name] for name in kept} | {
        "source": "calibration",
        "verified": True,
        "bandwidth_bytes_per_s": None,
    }


def _coefficients(quantity: str, found: Fit, settings: Any) -> dict[str, Any]:
    identity = settings["identity"]
    return {
        "source": "calibrated",
        "basis": (
            f"calibrated on this machine {settings['date'][:10]} ({identity['threads']} threads, torch "
            f"{identity['torch']}); cross-validated error {found.mean_error:.1%} mean, "
            f"{found.error_quantile(0.95):.1%} at the 95th percentile"
        ),
        "terms": {name: {"value": value, "unit": term_unit(name, quantity)} for name, value in found.terms.items()},
        "interval_90": list(found.interval),
        "conditions": {"dtype": settings["dtype"], "optimizer": settings["optimizer"]},
    }
