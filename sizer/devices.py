"""The two reads before a recommendation: which device is meant, and which cost coefficients there are for it.

A library call in a training loop asks again and again: `chosen_for` answers from memory while nothing has changed.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sizer import profiles
from sizer.base.errors import UnreachableError, UsageError
from sizer.base.units import format_cost
from sizer.calibration.validity import calibration_of, with_effective_levels
from sizer.detection.captured_tree import Tree
from sizer.detection.detect import detected
from sizer.detection.gpu_device import other_gpu, why_not_usable
from sizer.detection.procfs import read_cpuinfo
from sizer.method.coefficients import Coefficients, from_datasheet
from sizer.method.hardware import Device, is_detected
from sizer.method.request import Request
from sizer.profiles import Profile
from sizer.profiles.loader import own_folders, stated_folders
from sizer.profiles.records import words

NO_COEFFICIENTS = Coefficients("none", "estimated", "time", basis="no coefficients for this kind of device")

#: Shipped profiles of which the nearest stands in, by kind of device, for a machine that is in no profile. All predict
#: time: the study's joules are those of whole nodes of its own.
STAND_INS = {
    "cpu": ("x86-vm-2cpu", "amd-epyc-zen4-vm-2cpu", "x86-vm-2cpu-skylake"),
    "cuda": ("nvidia-t4", "nvidia-l4", "nvidia-rtx-3090", "nvidia-rtx-4090", "nvidia-a100-40gb", "nvidia-h100-sxm"),
}

#: Factors of the 90 % interval when another machine's coefficients stand in. Leaving each of the three measured CPUs
#: out, 90 % of its times are 0.65 to 0.97, 1.04 to 1.51 and 1.6 to 3.7 times its stand-in's (docs/calibration.md).
_BORROWED_INTERVAL = (0.25, 4.0)
#: What differing in a feature counts, in doublings: a generation makes a factor of 2.6 to 3.4 between those measured,
#: the vendor one of 1.2.
_WEIGHTS = {"vector_bfloat16": 1.5, "vendor": 0.25}
_VENDORS = {"amd": "AMD", "intel": "Intel", "apple": "Apple", "arm": "Arm"}
#: The first processor's block of /proc/cpuinfo, its flags included.
_FIRST_PROCESSOR_BYTES = 4096


class Chosen(NamedTuple):
    """A device and the coefficients to price networks on it with."""

    device: Device
    coefficients: Coefficients


class Predicted(NamedTuple):
    """What work is predicted to cost, to compare devices by, and the same in words."""

    cost: float
    said: str


#: What the work that is asked about costs on a device.
Cost = Callable[[Chosen], Predicted]


def choose(name: str | None, dtype: str = "float32", threads: int | None = None) -> Chosen:
    """The device of a name, with coefficients: ``cpu``, ``cuda:0``, a profile or a file. None: a GPU, else the CPU.

    ``threads`` are those that PyTorch will have, None its default: a calibration holds for one number of them. Raises
    UsageError for a device that this machine does not have, ProfileError for a profile that cannot be used.
    """
    if name is None or is_device_id(name):
        return _of_detected(detected(name), dtype, threads)
    profile = profiles.load(name)
    return Chosen(profile.device, _of_profile(profile, dtype) or _nearest(profile.device, dtype))


def trains_on(name: str | None, threads: int | None = None, cost: Cost | None = None) -> Chosen:
    """As `choose`, for a device that is to train now, which PyTorch must be able to use.

    Where no device was named and PyTorch cannot use the GPU, it is the CPU, with a warning that says why; else the
    cheaper one by ``cost``. Raises UsageError, with the remedy, for a named one.
    """
    chosen = choose(name, threads=threads)
    problem = why_not_usable(chosen.device.id)
    other = other_gpu() if name is None and chosen.device.kind == "cpu" else None
    if other is not None:
        only = f"PyTorch sees {other}; sizer detects and trains on NVIDIA GPUs only: networks train on the CPU"
        return chosen._replace(device=chosen.device.with_warning(only))
    if problem is None:
        return chosen if cost is None or name is not None else cheaper(chosen, cost, threads=threads)
    if name is not None:
        raise UsageError(problem)
    cpu = choose("cpu", threads=threads)
    return cpu._replace(device=cpu.device.with_warning(f"{chosen.device.id} is not used: {problem}"))


def choose_for(request: Request) -> Chosen:
    """The device of a request for recommendations: the one named, else that on which reaching a loss is cheaper."""
    from sizer.method.advisor import recommend

    chosen = choose(request.device, request.dtype)

    def cost(one: Chosen) -> Predicted:
        found = recommend(request, one.device, one.coefficients)
        least, best = found.least_cost_to_loss, found.optimum
        said = f"{format_cost(best.energy_per_datum_j, best.time_per_datum_s)} a datum"
        return Predicted(math.inf if least is None else least, said)

    return chosen if request.device is not None else cheaper(chosen, cost, request.dtype)


def cheaper(gpu: Chosen, cost: Cost, dtype: str = "float32", threads: int | None = None) -> Chosen:
    """The device that a choice without a name gave, or the CPU where that is predicted to be the cheaper one.

    A warning says both predictions. ``cost`` gives a device's predicted cost of the work that is asked about; where the
    two are not of one quantity the choice stands.
    """
    cpu = gpu if gpu.device.kind == "cpu" else choose("cpu", dtype, threads)
    if cpu is gpu or not _comparable(gpu.coefficients, cpu.coefficients):
        return gpu
    on_gpu, on_cpu = _predicted(cost, gpu), _predicted(cost, cpu)
    taken, other = (gpu, cpu) if on_gpu.cost <= on_cpu.cost else (cpu, gpu)
    said = (
        f"no device was named: predicted are {on_gpu.said} on {gpu.device.id} and {on_cpu.said} on the CPU, so it is "
        f"{taken.device.id} (the other: --device {other.device.id})"
    )
    return taken._replace(device=taken.device.with_warning(said))


def _comparable(one: Coefficients, other: Coefficients) -> bool:
    return "none" not in (one.source, other.source) and one.quantity == other.quantity


def _predicted(cost: Cost, one: Chosen) -> Predicted:
    """What the work costs on a device; without end where it cannot be done there."""
    try:
        return cost(one)
    except (UnreachableError, UsageError):
        return Predicted(math.inf, "no network")


def is_device_id(name: str) -> bool:
    """Whether a name is that of a device of this machine, and not a profile's."""
    return name in ("cpu", "cuda", "mps", "xpu") or name.startswith(("cuda:", "mps:", "xpu:"))


def _of_detected(device: Device, dtype: str, threads: int | None) -> Chosen:
    """A detected device with the best coefficients there are: its calibration, its name's profile, or a stand-in's.

    What was not measured on this machine is an estimate here.
    """
    found = calibration_of(device, threads)
    if found.profile is not None:
        coefficients = _of_profile(found.profile, dtype)
        if coefficients is not None:
            calibrated = with_effective_levels(device, found.profile)
            told = calibrated if found.remark is None else calibrated.with_warning(found.remark)
            return Chosen(told, _for_dtype(coefficients, dtype))
    if found.not_used is not None:
        device = device.with_warning(found.not_used)
    profile = profiles.matching(device.name, device.kind)
    estimate = None if profile is None else _of_profile(profile, dtype)
    return Chosen(device, _as_estimate(estimate) if estimate is not None else _nearest(device, dtype))


def _for_dtype(coefficients: Coefficients, dtype: str) -> Coefficients:
    """Calibrated coefficients for another dtype than the calibrated one are an estimate."""
    calibrated = coefficients.conditions.get("dtype", dtype)
    if calibrated == dtype:
        return coefficients
    return _borrowed(coefficients, f"{coefficients.basis}, in {calibrated}; {dtype} was not measured")


def _of_profile(profile: Profile, dtype: str) -> Coefficients | None:
    """A profile's own coefficients, else an estimate from its peaks; None when it states no peak for the dtype."""
    if profile.coefficients is not None:
        return profile.coefficients
    if dtype == "float32" and "tf32" in profile.peaks_flop_per_s and tf32_allowed():
        dtype = "tf32"
    peak = profile.peaks_flop_per_s.get(dtype)
    if peak is None:
        return None
    bandwidths = {level: fact.value for level, fact in profile.bandwidths_bytes_per_s.items()}
    return from_datasheet(profile.kind, peak.value, bandwidths, profile.name, dtype)


def tf32_allowed() -> bool:
    """Whether float32 products of this process may run as TF32 on a GPU: PyTorch's setting, and the environment's."""
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        return False
    torch = sys.modules.get("torch")
    if torch is None:
        return os.environ.get("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE") == "1"  # (torch takes no other word for yes)
    products = torch.backends.cuda.matmul
    precision = getattr(products, "fp32_precision", None)  # (older releases have the other setting alone)
    return bool(products.allow_tf32) if precision is None else precision == "tf32"


def _nearest(device: Device, dtype: str) -> Coefficients:
    """Coefficients of the shipped machine that is nearest in what matters."""
    nearest = nearest_stand_in(device, Features.of_device(device))
    found = None if nearest is None else _of_profile(nearest, dtype)
    if nearest is None or found is None:
        return NO_COEFFICIENTS
    return _borrowed(found, f"borrowed from profile {nearest.name} ({nearest.title})")


class Features(NamedTuple):
    """What a CPU's speed depends on, beside its cores and caches; None where it is not known.

    ``vector_bfloat16`` tells the generations of one vector width apart: Sapphire Rapids and Zen 4 have it, Skylake,
    which takes three times as long, has not.
    """

    vendor: str | None = None
    vector_bits: int | None = None
    vector_bfloat16: bool | None = None

    @classmethod
    def of_profile(cls, profile: Profile) -> Features:
        """As the profile's calibration notes them."""
        noted = profile.calibration or {}
        return cls(*(noted.get(name) for name in cls._fields))

    @classmethod
    def of_device(cls, device: Device, tree: Tree | None = None) -> Features:
        """By the device's name; for this machine's CPU, or a captured one's, by what the processor says it has."""
        named = words(device.name or "").split()
        vendor = next((shown for word, shown in _VENDORS.items() if word in named), None)
        if device.kind != "cpu" or not (is_detected(device) or tree is not None):
            return cls(vendor)
        info = read_cpuinfo(tree or Tree("/"), _FIRST_PROCESSOR_BYTES)
        if not info.has_flag("sse2"):
            return cls(vendor)
        bits = 512 if info.has_flag("avx512f") else 256 if info.has_flag("avx2") else 128
        return cls(vendor, bits, info.has_flag("avx512_bf16"))


def nearest_stand_in(device: Device, features: Features, without: str | None = None) -> Profile | None:
    """The shipped machine that is nearest to a device in what matters, one left out; None where there is none."""
    names = [name for name in STAND_INS.get(device.kind, ()) if name != without]
    return min(map(profiles.load, names), key=lambda profile: _distance(profile, device, features), default=None)


def _distance(profile: Profile, device: Device, features: Features) -> float:
    """How far apart two machines are, about in doublings of what matters: units, and of CPUs what their cores are."""
    units = abs(math.log2((profile.device.units or 1) / (device.units or 1)))
    if device.kind != "cpu":
        return units
    other = Features.of_profile(profile)
    bits = math.log2((other.vector_bits or 1) / (features.vector_bits or 1)) if features.vector_bits else 0.0
    differing = sum(
        weight for name, weight in _WEIGHTS.items() if _differ(getattr(other, name), getattr(features, name))
    )
    return units + abs(bits) + differing + _cache_distance(profile.device, device)


def _differ(one: object, other: object) -> bool:
    return None not in (one, other) and one != other


def _cache_distance(first: Device, second: Device) -> float:
    """Mean of |log2| of the ratios of the capacities of the caches that both have, but the last, which guests share."""
    sizes, others = ({each.name: each.capacity_bytes or 0 for each in one.caches()[:-1]} for one in (first, second))
    ratios = [math.log2(size / others[name]) for name, size in sizes.items() if size and others.get(name)]
    return sum(map(abs, ratios)) / len(ratios) if ratios else 0.0


def _borrowed(coefficients: Coefficients, basis: str) -> Coefficients:
    return replace(_as_estimate(coefficients), interval=_BORROWED_INTERVAL, basis=basis)


def _as_estimate(coefficients: Coefficients) -> Coefficients:
    return replace(coefficients, source="shipped", label="estimated", other_speeds=())


# The same from memory.

#: Beginnings of environment variables that say what this process may use, or where profiles lie.
_VARIABLES = ("SIZER", "XDG_", "CUDA", "NVIDIA", "TORCH_ALLOW", "HIP", "ROCR", "OMP_", "HOME")
_known: dict[tuple[object, ...], Chosen] = {}


def chosen_for(name: str | None, dtype: str) -> Chosen:
    """As `sizer.devices.choose`, once for a name and dtype while threads, CPUs, environment and profiles are the same.

    A profile that is named is always read: its file may have been edited in place.
    """
    if name is not None and not is_device_id(name):
        return choose(name, dtype)
    key = (name, dtype, tf32_allowed(), *_conditions())
    if key not in _known:
        if len(_known) > 64:
            _known.clear()
        _known[key] = choose(name, dtype)
    return _known[key]


def _conditions() -> tuple[object, ...]:
    """What a choice depends on beside its arguments."""
    import torch

    affinity = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    variables = tuple(sorted((name, os.environ[name]) for name in os.environ if name.startswith(_VARIABLES)))
    folders = [*stated_folders(), *own_folders()]
    return torch.get_num_threads(), affinity, variables, tuple(map(_changed_ns, folders))


def _changed_ns(folder: Path) -> int | None:
    """When a file was last put into a folder or taken out, None for a folder that is not there."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None
