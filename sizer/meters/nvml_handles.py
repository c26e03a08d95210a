"""Which GPU of NVML's is PyTorch's ``cuda:N``: NVML numbers GPUs by PCI bus and ignores CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sizer.errors import MeterError, UsageError


def gpu_handle(nvml: Any, device: str, uuid: str | None, environment: Mapping[str, str]) -> Any:
    """NVML's handle of a device, by its UUID where that is known, else by its number among the visible GPUs.

    Raises UsageError for a text that is no CUDA device, MeterError for a GPU that is not there, that is an instance of
    a partitioned one (its energy is not counted apart), or that its number does not identify.
    """
    matched = re.fullmatch(r"cuda(?::(\d{1,4}))?", device)
    if matched is None:
        raise UsageError(f"NVML cannot meter the device {device!r}; expected cuda or cuda:N")
    if uuid is not None:
        return _by_uuid(nvml, device, uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}")
    position = int(matched[1] or 0)
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    entry = str(position) if visible is None else _entry(visible, position, device)
    return _by_number(nvml, device, int(entry), environment) if entry.isdecimal() else _by_uuid(nvml, device, entry)


def _entry(visible: str, position: int, device: str) -> str:
    entries = [entry.strip() for entry in visible.split(",")]
    if position >= len(entries) or not entries[position] or entries[position].startswith("-"):
        raise MeterError(f"no GPU is {device}; CUDA_VISIBLE_DEVICES is {visible!r}")
    return entries[position]


def _by_uuid(nvml: Any, device: str, uuid: str) -> Any:
    """CUDA takes any unambiguous beginning of a UUID."""
    if uuid.startswith("MIG-"):
        raise MeterError(
            f"{device} is a part of a GPU ({uuid}): NVML counts the energy of whole GPUs only; use --meter power-model"
        )
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    found = [handle for handle in handles if _text(nvml.nvmlDeviceGetUUID(handle)).lower().startswith(uuid.lower())]
    if len(found) != 1:
        raise MeterError(
            f"{len(found)} of the {len(handles)} GPUs that NVML sees have a UUID beginning with {uuid} ({device}); "
            "`nvidia-smi -L` lists them"
        )
    return found[0]


def _by_number(nvml: Any, device: str, number: int, environment: Mapping[str, str]) -> Any:
    """By position on the PCI bus, which is CUDA's order too if asked for, or if all GPUs are of one kind."""
    count = nvml.nvmlDeviceGetCount()
    if number >= count:
        raise MeterError(f"no GPU is {device}: NVML sees {count}; `nvidia-smi -L` lists them")
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    kinds = {_text(nvml.nvmlDeviceGetName(handle)) for handle in handles}
    if len(kinds) > 1 and environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise MeterError(
            f"which GPU {device} is depends on CUDA's ordering of {', '.join(sorted(kinds))}; "
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID"
        )
    return handles[number]


def _text(value: str | bytes) -> str:
    """Older versions of pynvml answer in bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
