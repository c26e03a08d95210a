"""Whether a calibration of this machine may be used: same hardware, threads and torch, and not too old unchecked."""

from __future__ import annotations

import datetime
import os
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sizer import profiles
from sizer.base.errors import ProfileError
from sizer.calibration.measurements import Case
from sizer.method.hardware import Device
from sizer.profiles import Profile

#: From this age a profile is trusted only after three of its networks were timed again.
OLD_DAYS = 30
#: Those three: one that is all overhead, one in between, one that is all arithmetic.
CHECKED = (
    Case("rectangle", 8, (*[4] * 7, 1), 32),
    Case("rectangle", 64, (64, 64, 64, 10), 256),
    Case("rectangle", 256, (256, 256, 256, 10), 256),
)
_CHECK_S = 0.2


@dataclass(frozen=True)
class Found:
    """A calibration of a device, or the reason why there is one and it is not used; both None where there is none."""

    profile: Profile | None = None
    not_used: str | None = None


def calibration_of(device: Device, threads: int | None = None) -> Found:
    """The calibration of a detected device, if it holds for this process and so many threads (None: the default)."""
    name = profile_name(device)
    if name not in profiles.names():
        return Found()
    try:
        profile = profiles.load(name)
    except ProfileError as error:
        return Found(not_used=str(error))
    calibration = profile.calibration or {}
    now = identity(device, threads or default_threads(device))
    reason = _mismatch(calibration.get("identity", {}), now) or _drift(profile, calibration)
    if reason is not None:
        return Found(not_used=f"the calibration {name} is not used: {reason}; run `sizer calibrate`")
    return Found(profile)


def profile_name(device: Device) -> str:
    """Name of the profile that `sizer calibrate` writes for a device."""
    return f"calibrated-{device.id.replace(':', '-')}"


def identity(device: Device, threads: int) -> dict[str, Any]:
    """What must be the same for a calibration to hold: the hardware as this process sees it, threads, torch."""
    return {
        "device": device.id,
        "device_name": device.name,
        "units": device.units,
        "levels": [[level.name, level.capacity_bytes, level.instances] for level in device.caches()],
        "threads": threads,
        "torch": installed_torch(),
    }


def _mismatch(calibrated: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What differs from when the calibration was made, in words; None when nothing does."""
    for name, what in (("threads", "threads"), ("torch", "torch")):
        if calibrated.get(name) != now[name]:
            return f"it was made with {what} {calibrated.get(name)}, and this is {now[name]}"
    if any(calibrated.get(name) != value for name, value in now.items()):
        return "it was made on other hardware, or with other CPUs allowed"
    return None


def default_threads(device: Device) -> int:
    """Threads that PyTorch takes by default: OMP_NUM_THREADS, else one a physical core in use."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return int(stated) if stated.isdecimal() and int(stated) > 0 else device.units or os.cpu_count() or 1


def installed_torch() -> str | None:
    """Release of the installed torch, without its build tag; its folder's name tells, since importing takes seconds."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return str(torch.__version__).partition("+")[0]
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")  # noqa: PTH208 (the cold start counts)
        except OSError:
            continue
        for entry in entries:
            if entry.startswith("torch-") and entry.endswith(".dist-info"):
                return entry[len("torch-") : -len(".dist-info")].partition("+")[0]
    return None


def _drift(profile: Profile, calibration: Mapping[str, Any]) -> str | None:
    """For an old calibration, whether its networks still take the predicted time; None when they do or it is young."""
    try:
        made = datetime.datetime.fromisoformat(calibration["date"])
        age = datetime.datetime.now(datetime.timezone.utc) - made
    except (KeyError, TypeError, ValueError):
        return "it does not say when it was made"
    if age.days < OLD_DAYS:
        return None
    ratio = drifted(profile)
    return None if ratio is None else f"it is {age.days} days old, and steps now take {ratio:.2f} times the prediction"


def drifted(profile: Profile) -> float | None:
    """Measured over predicted (median of three networks) where that is outside the 90 % interval, else None.

    Takes two seconds.
    """
    from sizer.calibration.fit import design
    from sizer.calibration.timed_step import time_run
    from sizer.method.cost import predict
    from sizer.method.placement import Hierarchy
    from sizer.method.training_step import Training

    coefficients = profile.by_quantity.get("time")
    if coefficients is None or coefficients.interval is None:
        return None
    calibration = profile.calibration or {}
    training = Training(dtype=calibration.get("dtype", "float32"), optimizer=calibration.get("optimizer", "adam"))
    device = calibration.get("identity", {}).get("device", "cpu")
    row = design(CHECKED, training, Hierarchy.of(profile.device))
    measured = (min(time_run(case, training, _CHECK_S, device).step_s for _ in range(2)) for case in CHECKED)
    ratio = statistics.median(
        step_s / float(predicted) for step_s, predicted in zip(measured, predict(row, coefficients), strict=True)
    )
    low, high = coefficients.interval
    return None if low <= ratio <= high else ratio


def with_effective_levels(device: Device, profile: Profile) -> Device:
    """The detected device with the effective capacities that the calibration found."""
    found = {(level.name, level.core_kind): level.effective_bytes for level in profile.device.levels}
    levels = tuple(
        replace(level, effective_bytes=found.get((level.name, level.core_kind), level.effective_bytes))
        for level in device.levels
    )
    return replace(device, levels=levels, warnings=())
