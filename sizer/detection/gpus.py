"""The CUDA devices of this machine, numbered as PyTorch numbers them, from whichever sources answer.

The order is CUDA's, from its driver, asked in a child process, or from a PyTorch that is loaded already; NVML adds what
neither knows, and stands in for both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sizer.detection import cuda_driver
from sizer.detection.captured_tree import Tree
from sizer.detection.cuda_driver import CudaDriverError
from sizer.detection.gpu_device import GpuReading, build_device, positive, uuid_digits
from sizer.detection.nvml import NvmlUnavailableError, read_nvml
from sizer.method.hardware import Device

# Any of these means that an NVIDIA driver is there (the last two: Jetson, Windows Subsystem for Linux).
_DRIVER_FILES = (
    "/proc/driver/nvidia/version",
    "/dev/nvidiactl",
    "/dev/nvhost-gpu",
    "/usr/lib/wsl/lib/libnvidia-ml.so.1",
)
# Windows Subsystem for Linux shows any vendor's GPU by this; in a container the driver's libraries lie elsewhere.
_ANY_GPU_OF_WINDOWS = "/dev/dxg"
_Reader = Callable[[], tuple[GpuReading, ...]]
# Initialising the driver of a server with eight GPUs and no persistence daemon takes several seconds.
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Gpus:
    """The devices, what to tell the user, and whether there is a driver, and one that did not work."""

    devices: tuple[Device, ...] = ()
    warnings: tuple[str, ...] = ()
    failed: bool = False
    driver_is_there: bool = False


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


#: Sizes and counts of a reading, as the driver's answer calls them too -> as PyTorch does, of which older versions lack
#: some, or write the L2 in lower case.
_TORCH_SIZES = {
    "multiprocessors": "multi_processor_count",
    "l2_bytes": "L2_cache_size",
    "memory_bytes": "total_memory",
    "shared_memory_per_sm_bytes": "shared_memory_per_multiprocessor",
    "shared_memory_per_block_bytes": "shared_memory_per_block_optin",
}


def _driver_reading(device: Mapping[str, Any]) -> GpuReading:
    sizes: dict[str, Any] = {name: positive(device.get(name)) for name in _TORCH_SIZES}
    bus = (device.get("pci_domain"), device.get("pci_bus"), device.get("pci_device"))
    return GpuReading(
        source="CUDA driver",
        uuid=device.get("uuid"),
        name=device.get("name"),
        compute_capability=_capability(positive(device.get("capability_major")), device.get("capability_minor")),
        pci_bus_id="{:08X}:{:02X}:{:02X}.0".format(*bus) if all(isinstance(part, int) for part in bus) else None,
        **sizes,
    )


def _torch_reading(properties: Any) -> GpuReading:
    sizes: dict[str, Any] = {name: positive(getattr(properties, theirs, None)) for name, theirs in _TORCH_SIZES.items()}
    sizes["l2_bytes"] = sizes["l2_bytes"] or positive(getattr(properties, "l2_cache_size", None))
    return GpuReading(
        source="PyTorch",
        uuid=str(properties.uuid) if hasattr(properties, "uuid") else None,
        name=getattr(properties, "name", None),
        compute_capability=_capability(getattr(properties, "major", None), getattr(properties, "minor", None)),
        **sizes,
    )


def _capability(major: Any, minor: Any) -> tuple[int, int] | None:
    return (major, minor) if isinstance(major, int) and isinstance(minor, int) else None


def read_gpus(
    tree: Tree,
    environment: Mapping[str, str],
    nvml: _Reader = read_nvml,
    driver: _Reader = read_driver_in_child,
    torch: Callable[[bool], Any] | None = None,
) -> Gpus:
    """Every GPU that PyTorch would see. A machine without an NVIDIA driver has none, and that is not worth a word."""
    sure = _driver_is_there(tree)
    if not sure and not tree.exists(_ANY_GPU_OF_WINDOWS):
        return Gpus()
    torch = torch or _torch
    initialised = _initialised(torch(False))
    if not initialised and _hides_all(environment.get("CUDA_VISIBLE_DEVICES")):
        return Gpus(driver_is_there=True)
    warnings: list[str] = []
    physical: tuple[GpuReading, ...] = ()
    try:
        physical = nvml()
    except NvmlUnavailableError as error:
        warnings.append(f"An NVIDIA driver is here but NVML does not answer ({error}): power limits are not known.")
    try:
        visible = read_torch(torch(False)) if initialised else _in_cuda_order(driver, torch, bool(physical))
    except CudaDriverError as error:
        if not sure and not physical:
            return Gpus()  # another vendor's
        warnings.append(
            f"An NVIDIA driver is here but {error}: SM counts and L2 sizes are not known. Check that nvidia-smi and "
            "torch.cuda.is_available() work; in a container, that it was started with its GPUs."
        )
        return _from_nvml_alone(physical, environment, warnings)
    if physical and not visible and "CUDA_VISIBLE_DEVICES" not in environment:
        warnings.append(f"NVML sees {len(physical)} GPUs but CUDA can use none of them: none is listed.")
    devices = tuple(build_device(index, one, *_match(one, physical)) for index, one in enumerate(visible))
    return Gpus(devices, tuple(warnings), failed=bool(warnings), driver_is_there=True)


def _driver_is_there(tree: Tree) -> bool:
    if sys.platform == "win32":
        return os.path.exists(os.path.expandvars(r"%SystemRoot%\System32\nvcuda.dll"))  # noqa: PTH110
    return any(tree.exists(file) for file in _DRIVER_FILES)


def _initialised(torch: Any) -> bool:
    """Whether CUDA runs in this process: it has the GPUs that it saw then, whatever the environment says now."""
    return bool(getattr(getattr(torch, "cuda", None), "is_initialized", lambda: False)())


def _hides_all(visible: str | None) -> bool:
    """CUDA stops at the first entry that names no GPU; an empty value or a leading -1 leaves none."""
    return visible is not None and (not visible.strip() or visible.strip().startswith("-"))


def _in_cuda_order(driver: _Reader, torch: Callable[[bool], Any], may_import: bool) -> tuple[GpuReading, ...]:
    """From the driver; where it cannot be asked, from PyTorch, which is imported only if there is a GPU to ask of."""
    try:
        return driver()
    except CudaDriverError as error:
        module = torch(may_import)
        readings = read_torch(module) if module is not None else ()
        if not readings:
            raise CudaDriverError(str(error)) from error
        return readings


def _torch(may_import: bool) -> Any:
    loaded = sys.modules.get("torch")
    if loaded is not None or not may_import:
        return loaded
    try:
        import torch
    except Exception:  # a broken installation raises anything
        return None
    return torch


def _match(cuda: GpuReading, physical: Sequence[GpuReading]) -> tuple[GpuReading | None, GpuReading | None]:
    """NVML's reading of the same device, and that of the whole GPU where the device is a MIG instance of it.

    By UUID, since NVML and CUDA number GPUs differently; by PCI bus where it is that of an instance NVML does not show.
    """
    own = uuid_digits(cuda.uuid)
    for gpu in physical:
        if own is not None and uuid_digits(gpu.uuid) == own:
            # Of a partitioned GPU CUDA sees instances only; older drivers give an instance its GPU's UUID.
            return (None, gpu) if gpu.parts else (gpu, None)
        for part in gpu.parts:
            if own is not None and uuid_digits(part.uuid) == own:
                return part, gpu
    bus = (cuda.pci_bus_id or "").lower()
    for gpu in physical:
        if bus and (gpu.pci_bus_id or "").lower() == bus:
            return (None, gpu) if own is not None and gpu.parts else (gpu, None)
    return None, None


def _from_nvml_alone(physical: Sequence[GpuReading], environment: Mapping[str, str], warnings: list[str]) -> Gpus:
    """NVML's GPUs as CUDA would number them if its order is the same, which is said where it may not be."""
    chosen = _select(physical, environment.get("CUDA_VISIBLE_DEVICES"))
    names = {gpu.name for gpu in physical}
    if len(names) > 1 and environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        warnings.append(
            "The GPUs are numbered by PCI bus here; CUDA may number them differently (fastest first). "
            "Set CUDA_DEVICE_ORDER=PCI_BUS_ID to make them agree."
        )
    devices = [
        build_device(index, None, gpu.parts[0] if gpu.parts else gpu, gpu if gpu.parts else None)
        for index, gpu in enumerate(chosen)
    ]
    return Gpus(tuple(devices), tuple(warnings), failed=True, driver_is_there=True)


def _select(physical: Sequence[GpuReading], visible: str | None) -> list[GpuReading]:
    """The GPUs that CUDA_VISIBLE_DEVICES names, in its order, up to the first entry that names none."""
    if visible is None:
        return list(physical)
    chosen: list[GpuReading] = []
    for entry in (part.strip() for part in visible.split(",")):
        if entry.isascii() and entry.isdecimal() and len(entry) < 5:
            named = [physical[int(entry)]] if int(entry) < len(physical) else []
        else:
            named = [gpu for gpu in physical if entry and _has_uuid(gpu, entry)]
        if len(named) != 1 or named[0] in chosen:
            break
        chosen += named
    return chosen


def _has_uuid(gpu: GpuReading, prefix: str) -> bool:
    return any((one.uuid or "").lower().startswith(prefix.lower()) for one in (gpu, *gpu.parts))
