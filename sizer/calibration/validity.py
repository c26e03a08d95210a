"""Whether a calibration of this machine may be used: same hardware, torch, and what else its steps depend on.

Reading only: nothing here trains, since the hook asks in a user's process.
"""

from __future__ import annotations

import datetime
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sizer import profiles
from sizer.base.errors import ProfileError
from sizer.detection.captured_tree import Tree
from sizer.detection.detect import detected
from sizer.method.hardware import Device
from sizer.profiles import Profile

#: From this age a profile is said to be unchecked: drivers, firmware and neighbours have changed in a month.
OLD_DAYS = 30
#: What a GPU's calibration depends on beside the GPU, for messages: a step bound by its launches runs on the CPU.
_LAUNCH_CONDITIONS = {
    "cpu_name": "the CPU",
    "python": "Python",
    "driver": "the driver",
    "power_limit_w": "a power limit in W of",
    "matmul_precision": "a float32 matmul precision of",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "CUDA_LAUNCH_BLOCKING": "CUDA_LAUNCH_BLOCKING",
}
_CONDITIONS = {"threads": "threads", "torch": "torch", **_LAUNCH_CONDITIONS}


@dataclass(frozen=True)
class Found:
    """A calibration of a device, or the reason why there is one and it is not used; both None where there is none.

    ``remark`` is what users should know of one that is used.
    """

    profile: Profile | None = None
    not_used: str | None = None
    remark: str | None = None


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
    age_days = _age_days(calibration)
    reason = _mismatch(calibration.get("identity", {}), now)
    if reason is None and age_days is None:
        reason = "it does not say when it was made"
    if reason is not None:
        return Found(not_used=f"the calibration {name} is not used: {reason}; run `sizer calibrate`")
    return Found(profile, remark=_remark(name, age_days, _other_card(calibration, device)))


def _remark(name: str, age_days: int | None, other_card: str | None) -> str | None:
    """What users should know of a calibration that is used, in a sentence."""
    doubts = [] if age_days is None or age_days < OLD_DAYS else [f"is {age_days} days old, unchecked"]
    if other_card is not None:
        doubts.append(f"was made on another GPU of this kind ({other_card})")
    return f"the calibration {name} {' and '.join(doubts)}; `sizer calibrate` renews it" if doubts else None


def _other_card(calibration: Mapping[str, Any], device: Device) -> str | None:
    """The UUID of the GPU that was calibrated, where it is known and another one than this.

    A home may be shared by nodes with cards of one kind, and one of each kind stands for the others.
    """
    own = device.facts.get("uuid", {}).get("value")
    try:
        calibrated = calibration["device"]["facts"]["uuid"]["value"]
    except (KeyError, TypeError):
        return None
    same = None in (own, calibrated) or _digits(calibrated) == _digits(own)
    return None if same else str(calibrated)


def _digits(uuid: object) -> str:
    """A UUID without its prefix and dashes, which not every source writes."""
    return str(uuid).lower().removeprefix("gpu-").replace("-", "")


def profile_name(device: Device) -> str:
    """Name of the profile that `sizer calibrate` writes for a device."""
    return f"calibrated-{device.id.replace(':', '-')}"


def identity(device: Device, threads: int) -> dict[str, Any]:
    """What must be the same for a calibration to hold: the hardware as this process sees it, torch.

    On a CPU the threads too. On a GPU they are no part of it (torchrun sets one, PyTorch counts SMs), but what steps
    that are bound by their launches depend on.
    """
    own = {"threads": threads} if device.kind != "cuda" else launch_conditions(device)
    return {
        "device": device.id,
        "device_name": device.name,
        "units": device.units,
        "levels": [[level.name, level.capacity_bytes, level.instances] for level in device.caches()],
        "torch": installed_torch(),
        **own,
    }


def launch_conditions(device: Device) -> dict[str, Any]:
    """What a GPU's launches and products depend on, known whether torch is loaded or not; None: not known, or unset."""
    return {
        "cpu_name": detected("cpu").name,
        "python": ".".join(map(str, sys.version_info[:2])),
        "driver": _driver_version(Tree("/")),
        "power_limit_w": device.facts.get("power_limit_w", {}).get("value"),
        "matmul_precision": _matmul_precision(),
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": os.environ.get("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
        "CUDA_LAUNCH_BLOCKING": os.environ.get("CUDA_LAUNCH_BLOCKING"),
    }


def _driver_version(tree: Tree) -> str | None:
    """Version of the NVIDIA driver, as its kernel module says; None where none is loaded."""
    found = re.search(r"\b\d{3,}(?:\.\d+)+\b", tree.word("/proc/driver/nvidia/version") or "")
    return None if found is None else found.group()


def _matmul_precision() -> str:
    """Precision of float32 products: torch's own where it is loaded, else what it will start with.

    From 2.9 on torch has two settings of it, and raises RuntimeError where one is asked for after the other was set.
    """
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        return "highest"
    torch = sys.modules.get("torch")
    if torch is not None:
        try:
            return str(torch.get_float32_matmul_precision())
        except RuntimeError:
            return "high" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "highest"
    return "high" if os.environ.get("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE") == "1" else "highest"


def _mismatch(calibrated: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What differs from when the calibration was made, in words; None when nothing does.

    Launch conditions that an earlier release did not note are not compared.
    """
    unknown = {name for name in _LAUNCH_CONDITIONS if name not in calibrated}
    differs = [name for name, value in now.items() if name not in unknown and calibrated.get(name) != value]
    for name in filter(_CONDITIONS.__contains__, differs):
        return f"it was made with {_CONDITIONS[name]} {calibrated.get(name)}, and this is {now[name]}"
    return "it was made on other hardware, or with other CPUs allowed" if differs else None


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


def _age_days(calibration: Mapping[str, Any]) -> int | None:
    """Whole days since a calibration was made; None where it does not say when."""
    try:
        made = datetime.datetime.fromisoformat(calibration["date"])
        return (datetime.datetime.now(datetime.timezone.utc) - made).days
    except (KeyError, TypeError, ValueError):
        return None


def with_effective_levels(device: Device, profile: Profile) -> Device:
    """The detected device with the effective capacities that the calibration found."""
    found = {(level.name, level.core_kind): level.effective_bytes for level in profile.device.levels}
    levels = tuple(
        replace(level, effective_bytes=found.get((level.name, level.core_kind), level.effective_bytes))
        for level in device.levels
    )
    return replace(device, levels=levels, warnings=())
