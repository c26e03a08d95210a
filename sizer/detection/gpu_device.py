"""One GPU as its sources read it, their readings put together to its device record, and whether PyTorch can use it.

A driver lists GPUs that PyTorch cannot use: its build may have no CUDA, want a newer driver, or hold no kernels for the
GPU's architecture, which shows only when the first kernel is launched: a tiny product is tried once.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from sizer.base.errors import UsageError
from sizer.detection.levels import sourced
from sizer.method.hardware import RAM, Device, Level

_INSTALL = "https://pytorch.org/get-started/locally"


def why_not_usable(device: str) -> str | None:
    """Why PyTorch cannot train on a device, a semicolon, and the remedy, in one line; None where it can.

    The CPU always can. Loads torch, and makes a CUDA context on the device.
    """
    return _of_torch(device) if device.startswith("cuda") else None


def other_gpu() -> str | None:
    """The GPU of another vendor than NVIDIA that PyTorch sees, in words; None where there is none, or no PyTorch."""
    try:
        import torch
    except Exception:  # a broken installation raises anything
        return None
    return other_gpu_of(torch)


def other_gpu_of(torch: Any) -> str | None:
    """As `other_gpu`, of a module ``torch``."""
    if getattr(torch.version, "hip", None) and torch.cuda.is_available():
        return "an AMD GPU (ROCm)"
    if torch.backends.mps.is_available():
        return "an Apple GPU (MPS)"
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return "an Intel GPU (XPU)"
    return None


def check_usable(device: str) -> None:
    """Raises UsageError, with the remedy, for a device that PyTorch cannot train on."""
    problem = why_not_usable(device)
    if problem is not None:
        raise UsageError(problem)


@lru_cache(maxsize=16)
def _of_torch(device: str) -> str | None:
    import torch

    return problem_of(torch, device)


def problem_of(torch: Any, device: str) -> str | None:
    """As `why_not_usable`, of a module ``torch``."""
    if torch.version.cuda is None:
        return (
            f"PyTorch {torch.__version__} is built without CUDA and cannot use {device}; install a build with it "
            f"({_INSTALL})"
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        problem = _tried(torch, device)
    if problem is None:
        return None
    reason = problem or next((_line(str(one.message)) for one in said), "it does not say why")
    return f"PyTorch {torch.__version__} cannot use {device} ({reason}); {_remedy(torch, reason)}"


def _tried(torch: Any, device: str) -> str | None:
    """None where a product of two small matrices is right; else what was raised, empty where nothing was."""
    if not torch.cuda.is_available():
        return ""
    try:
        ones = torch.ones((8, 8), device=device)
        return None if float((ones @ ones).sum()) == 8.0**3 else "a product of ones is wrong"
    except Exception as error:  # torch raises RuntimeError, AssertionError and its own
        return _line(str(error)) or type(error).__name__


def _line(text: str) -> str:
    """The first line of what PyTorch says, without the address it appends."""
    return text.strip().partition("\n")[0].partition(" (Triggered internally")[0].rstrip(".")


def _remedy(torch: Any, reason: str) -> str:
    said = reason.lower()
    if "no kernel image" in said or "not compatible" in said:
        built = " ".join(torch.cuda.get_arch_list())
        return f"it has kernels for {built}: install a build that has this GPU's ({_INSTALL})"
    if "driver" in said:
        return f"update the NVIDIA driver, or install a build for an older CUDA than {torch.version.cuda} ({_INSTALL})"
    if "out of memory" in said:
        return "free the GPU's memory (`nvidia-smi` lists who has it), or train on the CPU with --device cpu"
    if "ordinal" in said:
        return f"CUDA_VISIBLE_DEVICES leaves {torch.cuda.device_count()} GPUs: name one of them"
    return "check that `nvidia-smi` works and that this process may use the GPU, or train on the CPU with --device cpu"


_UNKNOWN = "unknown"
#: Share of L2 that is read at 90 % of the full rate where it is two partitions, by compute capability: A100 27.5 of
#: 40 MiB, H100 PCIe 35.5 of 50, H200 43 of 60 (0.72), by the sweeps of gpu-benches (profiles nvidia-a100-80gb, ...).
_L2_SHARES = {(8, 0): 0.6875, (9, 0): 0.71}
_HEX = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class GpuReading:
    """One GPU, or one MIG instance of it, as one source sees it; None is what that source does not know.

    ``missing`` names what should have been known and why it is not. ``parts`` are the MIG instances of a GPU.
    """

    source: str
    uuid: str | None = None
    name: str | None = None
    compute_capability: tuple[int, int] | None = None
    multiprocessors: int | None = None
    l2_bytes: int | None = None
    memory_bytes: int | None = None
    shared_memory_per_sm_bytes: int | None = None
    shared_memory_per_block_bytes: int | None = None
    power_limit_w: float | None = None
    pci_bus_id: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[GpuReading, ...] = ()


def uuid_digits(uuid: str | None) -> str | None:
    """The 32 hexadecimal digits of a UUID: sources prefix it with ``GPU-``, ``MIG-`` or nothing."""
    match = _HEX.search(uuid) if uuid else None
    return match[0].replace("-", "").lower() if match else None


def positive(value: Any) -> int | None:
    """A count or size that a source gave; None for what is not a positive number, since 0 is how some say unknown."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def build_device(index: int, cuda: GpuReading | None, nvml: GpuReading | None, whole: GpuReading | None) -> Device:
    """The device ``cuda:index``.

    ``cuda`` is the reading in CUDA's order (driver or PyTorch), ``nvml`` NVML's of the same device, ``whole`` NVML's of
    the GPU of which the device is a MIG instance; each may be missing, and the first that knows a value gives it.
    """
    own = [reading for reading in (cuda, nvml) if reading is not None]
    named = [reading for reading in (nvml, cuda, whole) if reading is not None]
    all_known = [*own, *([whole] if whole else [])]
    multiprocessors, units_source = _pick(own, "multiprocessors")
    name, name_source = _pick(named, "name")
    capability, capability_source = _pick(all_known, "compute_capability")
    l1, l1_source = l1_bytes(capability) if capability else (None, _UNKNOWN)
    (l2, l2_source), (memory, memory_source) = _pick(own, "l2_bytes"), _pick(own, "memory_bytes")
    # An instance of a partitioned GPU has its slices of L2 in one partition.
    share = _L2_SHARES.get(capability) if capability and whole is None else None
    levels = (
        Level("L1", l1, multiprocessors, source=l1_source),
        Level("L2", l2, 1, source=l2_source, effective_bytes=None if share is None or l2 is None else int(share * l2)),
        Level(RAM, memory, 1, source=memory_source),
    )
    facts = {
        "compute_capability": ("{}.{}".format(*capability) if capability else None, capability_source),
        "shared_memory_per_sm_bytes": _pick(own, "shared_memory_per_sm_bytes"),
        "shared_memory_per_block_bytes": _pick(own, "shared_memory_per_block_bytes"),
        "power_limit_w": _power_limit(own, whole),
        "l2_effective_share": (
            share,
            "stated: L2 is two partitions, as measured on cards of this kind (gpu-benches)",
        ),
        "mig_instance": (True if whole is not None else None, "NVML"),
        "uuid": _pick(named, "uuid"),
        "pci_bus_id": _pick(named, "pci_bus_id"),
    }
    return Device(
        id=f"cuda:{index}",
        kind="cuda",
        name=name,
        units=multiprocessors,
        levels=levels,
        warnings=tuple(_warnings(levels, multiprocessors, capability, all_known)),
        sources={"name": name_source, "units": units_source},
        facts=sourced(facts),
    )


def _pick(readings: Sequence[GpuReading], attribute: str) -> tuple[Any, str]:
    """The value of the first reading that has one, and that reading's source."""
    for reading in readings:
        value = getattr(reading, attribute)
        if value is not None:
            return value, reading.source
    return None, _UNKNOWN


def l1_bytes(capability: tuple[int, int]) -> tuple[int | None, str]:
    """The L1 of one SM and where that is written; None for a compute capability that the table does not have."""
    table = _l1_table()
    entry = table["l1_bytes"].get("{}.{}".format(*capability))
    if entry is None:
        return None, _UNKNOWN
    title = table["sources"][entry["source"]]["title"]
    return entry["bytes"], f"{title}, compute capability {'{}.{}'.format(*capability)}"


def _power_limit(own: Sequence[GpuReading], whole: GpuReading | None) -> tuple[float | None, str]:
    """Watts; a MIG instance has no limit of its own but shares its GPU's."""
    limit, source = _pick(own, "power_limit_w")
    if limit is None and whole is not None:
        return whole.power_limit_w, f"{whole.source} (the whole GPU's limit, which its MIG instances share)"
    return limit, source


def _warnings(
    levels: Sequence[Level],
    multiprocessors: int | None,
    capability: tuple[int, int] | None,
    readings: Sequence[GpuReading],
) -> list[str]:
    """What is not known of this GPU, and why where a source said so."""
    unknown = [f"the size of {level.name}" for level in levels[1:] if level.capacity_bytes is None]
    if multiprocessors is None:
        unknown.append("the number of SMs")
    if levels[0].capacity_bytes is None:
        told = "{}.{} is not in sizer's table".format(*capability) if capability else "is not known"
        unknown.append(f"the size of L1 (compute capability {told})")
    reasons = [f"{what} ({reading.source}: {why})" for reading in readings for what, why in reading.missing.items()]
    warnings = [f"Not known of this GPU: {', '.join(unknown)}."] if unknown else []
    return warnings + ([f"Sources did not answer for: {', '.join(reasons)}."] if reasons else [])


@lru_cache(maxsize=1)
def _l1_table() -> dict[str, Any]:
    path = files("sizer.detection").joinpath("l1_by_compute_capability.json")
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table
