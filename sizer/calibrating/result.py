"""What a calibration found, as a record and as a profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sizer.calibrated import profile_name
from sizer.calibrating.fitting import Fit
from sizer.calibrating.measurements import Measurements
from sizer.coefficients import term_unit
from sizer.hardware import Device, device_to_dict
from sizer.profiles.records import PROFILE_FORMAT
from sizer.records import Record

CALIBRATION_FORMAT = "sizer.calibration/1"
#: Median excess of a network's second quietest run over its quietest from which a machine is called noisy.
NOISY = 0.05


@dataclass(frozen=True)
class Calibration(Record):
    """A finished calibration.

    ``fits`` are by quantity, ``time`` always and ``energy`` where a meter measured it; ``noise`` is how much the second
    quietest run of a network takes longer than its quietest (median); ``path`` is the profile's file, None if not kept.
    """

    name: str
    device: Device
    fits: dict[str, Fit]
    noise: float | None
    networks: int
    path: Path | None

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.calibration/1``."""
        return {
            "format": CALIBRATION_FORMAT,
            "name": self.name,
            "device": device_to_dict(self.device),
            "networks": self.networks,
            "noise": self.noise,
            "fits": {quantity: _fit_dict(found) for quantity, found in self.fits.items()},
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
        """Whether the machine was quiet enough to trust the numbers."""
        if self.noise is None or self.noise <= NOISY:
            return ()
        return (
            f"this machine is noisy: repeated timings of a network differ by {self.noise:.0%} (median). The intervals "
            f"include that; calibrate again with a larger --budget when the machine is idle",
        )


def _fit_dict(found: Fit) -> dict[str, Any]:
    return {
        "terms": found.terms,
        "interval_90": list(found.interval),
        "error_mean": found.mean_error,
        "error_median": found.error_quantile(0.5),
        "error_95": found.error_quantile(0.95),
    }


def profile_record(
    measurements: Measurements, device: Device, fits: dict[str, Fit], noise: float | None, networks: int
) -> dict[str, Any]:
    """The calibration as the JSON record of a profile that `sizer.profiles` loads."""
    settings = measurements.settings
    return {
        "format": PROFILE_FORMAT,
        "name": profile_name(device),
        "title": f"{device.name or device.id}, calibrated {settings['date'][:10]}",
        "kind": device.kind,
        "match": {},
        "sources": {
            "calibration": {"title": "sizer calibrate, on this machine", "url": None, "read": settings["date"][:10]}
        },
        "units": {"value": device.units, "source": "calibration", "verified": True},
        "levels": [_level(level) for level in device_to_dict(device)["levels"] if level["capacity_bytes"]],
        "coefficients": {quantity: _coefficients(quantity, found, settings) for quantity, found in fits.items()},
        "calibration": {
            **settings,
            "networks": networks,
            "noise": noise,
            "errors": {quantity: _fit_dict(found) for quantity, found in fits.items()},
        },
    }


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
