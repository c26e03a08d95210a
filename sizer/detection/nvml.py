"""NVIDIA GPUs through NVML (module ``pynvml`` of the package ``nvidia-ml-py``).

NVML knows names, power limits and MIG, and asking it makes no CUDA context. It does not know the number of SMs (but of
MIG instances), nor L2, and it numbers GPUs by PCI bus, which is not CUDA's order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from sizer.detection.gpu_device import GpuReading, positive

_Ask = Callable[[str, Callable[[], Any]], Any]
_SOURCE = "NVML"


class NvmlUnavailableError(Exception):
    """NVML cannot be used; the message says why."""


def read_nvml(load: Callable[[], Any] | None = None) -> tuple[GpuReading, ...]:
    """Every GPU that NVML sees, in its order. Raises NvmlUnavailableError when there is no working NVML."""
    try:
        nvml = (load or _load)()
        nvml.nvmlInit()
    except Exception as error:  # pynvml makes its exception classes at run time
        raise NvmlUnavailableError(_reason(error)) from error
    try:
        return tuple(_gpus(nvml))
    finally:
        with suppress(Exception):
            nvml.nvmlShutdown()


def _load() -> Any:
    import pynvml

    return pynvml


def _gpus(nvml: Any) -> Iterator[GpuReading]:
    try:
        count = nvml.nvmlDeviceGetCount()
    except Exception as error:
        raise NvmlUnavailableError(_reason(error)) from error
    for index in range(count):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except Exception as error:
            yield GpuReading(_SOURCE, missing={"device": f"GPU {index}: {_reason(error)}"})
            continue
        yield _gpu(nvml, handle)


def _gpu(nvml: Any, handle: Any) -> GpuReading:
    missing: dict[str, str] = {}
    ask = _asker(missing)
    capability = ask("compute capability", lambda: tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)))
    power_mw = ask("power limit", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
    if power_mw is None:
        power_mw = _asker({})("power limit", lambda: nvml.nvmlDeviceGetPowerManagementLimit(handle))
    power_mw = positive(power_mw)
    # Not a fault: most GPUs have no MIG, and say so with an error.
    mig = _asker({})("MIG mode", lambda: nvml.nvmlDeviceGetMigMode(handle)[0])
    return GpuReading(
        source=_SOURCE,
        compute_capability=capability if capability is not None and len(capability) == 2 else None,
        power_limit_w=power_mw / 1000 if power_mw else None,
        pci_bus_id=_asker({})("PCI bus", lambda: text(nvml.nvmlDeviceGetPciInfo(handle).busId)),
        parts=tuple(_mig_instances(nvml, handle)) if mig else (),
        missing=missing,
        **_named(nvml, handle, ask),
    )


def _named(nvml: Any, handle: Any, ask: _Ask) -> dict[str, Any]:
    """What NVML tells of GPUs and of MIG instances alike."""
    return {
        "uuid": ask("UUID", lambda: text(nvml.nvmlDeviceGetUUID(handle))),
        "name": ask("name", lambda: text(nvml.nvmlDeviceGetName(handle))),
        "memory_bytes": positive(ask("memory", lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).total))),
    }


def _mig_instances(nvml: Any, handle: Any) -> Iterator[GpuReading]:
    count = _asker({})("MIG instances", lambda: int(nvml.nvmlDeviceGetMaxMigDeviceCount(handle))) or 0
    for index in range(count):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except Exception:  # noqa: S112 (a free slot answers with an error)
            continue
        yield _mig_instance(nvml, part)


def _mig_instance(nvml: Any, part: Any) -> GpuReading:
    missing: dict[str, str] = {}
    ask = _asker(missing)
    attributes = ask("MIG attributes", lambda: nvml.nvmlDeviceGetAttributes(part))
    return GpuReading(
        source=f"{_SOURCE} (MIG instance)",
        multiprocessors=positive(getattr(attributes, "multiprocessorCount", None)),
        missing=missing,
        **_named(nvml, part, ask),
    )


def _asker(missing: dict[str, str]) -> _Ask:
    """A function that asks for one value and notes the failure under the value's name."""

    def ask(what: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception as error:
            missing[what] = _reason(error)
            return None

    return ask


def text(value: str | bytes) -> str:
    """Older versions of pynvml answer in bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
