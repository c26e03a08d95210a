"""GPUs in CUDA's order: from the driver in a child process, or from a PyTorch that is loaded already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sizer.detection import cuda_driver
from sizer.detection.cuda_driver import CudaDriverError
from sizer.detection.gpu_device import GpuReading, positive

# Initialising the driver of a server with eight GPUs and no persistence daemon takes several seconds.
_TIMEOUT_S = 60


def read_driver_in_child(run: Callable[[list[str]], str] | None = None) -> tuple[GpuReading, ...]:
    """What the CUDA driver says. Raises CudaDriverError when it cannot be asked or does not work."""
    if not sys.executable:
        raise CudaDriverError("there is no Python executable to ask it with")
    # Isolated (-I), or the script's own folder would come first in the path and its neighbours shadow other modules.
    command = [sys.executable, "-I", "-S", str(Path(cuda_driver.__file__))]
    try:
        answer = json.loads((run or _run)(command))
        devices = answer.get("devices")
    except (OSError, ValueError, AttributeError, subprocess.SubprocessError) as error:
        raise CudaDriverError(f"asking the CUDA driver failed: {error}") from error
    if devices is None:
        raise CudaDriverError(str(answer.get("error", "the CUDA driver gave no answer")))
    return tuple(_driver_reading(device) for device in devices)


def read_torch(torch: Any) -> tuple[GpuReading, ...]:
    """What PyTorch says of the GPUs that it can use. Raises CudaDriverError when it cannot use any."""
    try:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return tuple(_torch_reading(torch.cuda.get_device_properties(index)) for index in range(count))
    except Exception as error:  # torch raises RuntimeError, AssertionError and its own
        raise CudaDriverError(f"PyTorch could not tell: {error}") from error


def _run(command: list[str]) -> str:
    result = subprocess.run(  # noqa: S603 (our own file, by our own interpreter)
        command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True, env=dict(os.environ)
    )
    return result.stdout


def _driver_reading(device: Mapping[str, Any]) -> GpuReading:
    major, minor = positive(device.get("capability_major")), device.get("capability_minor")
    bus = (device.get("pci_domain"), device.get("pci_bus"), device.get("pci_device"))
    return GpuReading(
        source="CUDA driver",
        uuid=device.get("uuid"),
        name=device.get("name"),
        compute_capability=(major, minor) if major is not None and isinstance(minor, int) else None,
        multiprocessors=positive(device.get("multiprocessors")),
        l2_bytes=positive(device.get("l2_bytes")),
        memory_bytes=positive(device.get("memory_bytes")),
        shared_memory_per_sm_bytes=positive(device.get("shared_memory_per_sm_bytes")),
        shared_memory_per_block_bytes=positive(device.get("shared_memory_per_block_bytes")),
        pci_bus_id="{:08X}:{:02X}:{:02X}.0".format(*bus) if all(isinstance(part, int) for part in bus) else None,
    )


def _torch_reading(properties: Any) -> GpuReading:
    """Field by field: older versions of PyTorch lack the L2, the shared memory or the UUID."""

    def number(name: str) -> int | None:
        return positive(getattr(properties, name, None))

    major, minor = getattr(properties, "major", None), getattr(properties, "minor", None)
    return GpuReading(
        source="PyTorch",
        uuid=str(properties.uuid) if hasattr(properties, "uuid") else None,
        name=getattr(properties, "name", None),
        compute_capability=(major, minor) if isinstance(major, int) and isinstance(minor, int) else None,
        multiprocessors=number("multi_processor_count"),
        l2_bytes=number("L2_cache_size") or number("l2_cache_size"),
        memory_bytes=number("total_memory"),
        shared_memory_per_sm_bytes=number("shared_memory_per_multiprocessor"),
        shared_memory_per_block_bytes=number("shared_memory_per_block_optin"),
    )
