"""A calibration as the profile that every later command goes by. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sizer.base.records import plain
from sizer.calibration.combine import Speed
from sizer.calibration.fit import Fit
from sizer.calibration.measurements import Measurements
from sizer.calibration.record import Calibration, fit_dict, percent
from sizer.meters.stated_power import PowerModel
from sizer.method.coefficients import term_unit
from sizer.method.hardware import device_to_dict
from sizer.profiles.records import PROFILE_FORMAT


def profile_record(measurements: Measurements, found: Calibration) -> dict[str, Any]:
    """The calibration as the JSON record of a profile that `sizer.profiles` loads."""
    settings, device = measurements.settings, found.device
    state = f"{_said_disturbed(found.high_by)}{_said_speeds(found.speeds)}"
    coefficients = {
        quantity: _coefficients(quantity, fitted, {**settings, "covered": plain(found.covered)}, state)
        for quantity, fitted in found.fits.items()
    }
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
            "reference_s": plain(found.reference_s),
            "speeds": plain(found.speeds),
            "sessions": plain(found.sessions),
            "errors": {quantity: fit_dict(fitted) for quantity, fitted in found.fits.items()},
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


def _said_disturbed(high_by: float) -> str:
    """That the machine was not quiet in any session, for the end of a sentence."""
    if high_by == 0.0:
        return ""
    return f"; the machine was not quiet: times may be up to {percent(high_by)} high, which the interval covers"


def _said_speeds(speeds: Sequence[Speed]) -> str:
    """The machine's speeds beside the one that is predicted, for the end of a sentence."""
    others = [f"{speed.factor:.2f}" for speed in speeds if not speed.usual]
    if not others:
        return ""
    return f"; at times this machine takes {' or '.join(others)} times as long, which the interval covers"


def _coefficients(quantity: str, found: Fit, settings: Any, state: str) -> dict[str, Any]:
    identity = settings["identity"]
    threads = f"{identity['threads']} threads, " if "threads" in identity else ""
    return {
        "source": "calibrated",
        "basis": (
            f"calibrated on this machine {settings['date'][:10]} ({threads}torch {identity['torch']}); "
            f"cross-validated error {found.mean_error:.1%} mean, "
            f"{found.error_quantile(0.95):.1%} at the 95th percentile{state}"
        ),
        "terms": {name: {"value": value, "unit": term_unit(name, quantity)} for name, value in found.terms.items()},
        "interval_90": list(found.interval),
        "conditions": {"dtype": settings["dtype"], "optimizer": settings["optimizer"], **settings["covered"]},
    }
