"""Stand-ins for pynvml and for the CUDA driver library, with GPUs of any kind and failures on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sizer.detection.cuda_driver import ATTRIBUTES

GIB = 2**30
A100, H100 = "GPU-aaaaaaaa-0000-0000-0000-000000000000", "GPU-bbbbbbbb-0000-0000-0000-000000000000"
MIG = "MIG-cccccccc-0000-0000-0000-000000000000"


@dataclass
class Gpu:
    """One GPU as both libraries know it; ``parts`` are its MIG instances."""

    uuid: str = A100
    name: str = "NVIDIA A100-SXM4-80GB"
    capability: tuple[int, int] = (8, 0)
    sms: int = 108
    l2: int = 40 << 20
    memory: int = 80 * GIB
    power_mw: int = 400_000
    bus: int = 0x1A
    parts: list[Gpu] = field(default_factory=list)


class NvmlError(Exception):
    """What pynvml raises."""


class FakeNvml:
    """The functions of pynvml that sizer calls. ``broken`` names functions that raise, ``absent`` ones that are not."""

    def __init__(self, *gpus: Gpu, broken: tuple[str, ...] = (), absent: tuple[str, ...] = ()) -> None:
        self.gpus = gpus
        self.broken = broken
        self.open = 0
        for name in absent:
            setattr(self, name, None)

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name.startswith("nvml"):
            if value is None:
                raise AttributeError(name)
            if name in self.broken:
                return self._raise
        return value

    def _raise(self, *_: object) -> Any:
        raise NvmlError("Not Supported")

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Gpu:
        return self.gpus[index]

    def nvmlDeviceGetCudaComputeCapability(self, gpu: Gpu) -> list[int]:
        return list(gpu.capability)

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu: Gpu) -> int:
        return gpu.power_mw

    def nvmlDeviceGetPowerManagementLimit(self, gpu: Gpu) -> int:
        return gpu.power_mw

    def nvmlDeviceGetMigMode(self, gpu: Gpu) -> list[int]:
        if not gpu.parts:
            raise NvmlError("Not Supported")
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: Gpu) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: Gpu, index: int) -> Gpu:
        if index >= len(gpu.parts):
            raise NvmlError("Not Found")
        return gpu.parts[index]

    def nvmlDeviceGetAttributes(self, gpu: Gpu) -> SimpleNamespace:
        return SimpleNamespace(multiprocessorCount=gpu.sms)

    def nvmlDeviceGetUUID(self, gpu: Gpu) -> bytes:
        return gpu.uuid.encode()

    def nvmlDeviceGetName(self, gpu: Gpu) -> bytes:
        return gpu.name.encode()

    def nvmlDeviceGetMemoryInfo(self, gpu: Gpu) -> SimpleNamespace:
        return SimpleNamespace(total=gpu.memory)

    def nvmlDeviceGetPciInfo(self, gpu: Gpu) -> SimpleNamespace:
        return SimpleNamespace(busId=f"00000000:{gpu.bus:02X}:00.0".encode())


class FakeDriver:
    """The functions of libcuda that sizer calls, as ctypes would offer them."""

    def __init__(self, *gpus: Gpu, init: int = 0, broken: tuple[str, ...] = (), absent: tuple[str, ...] = ()) -> None:
        self._gpus = gpus
        self._init = init
        self._broken = broken
        self._absent = absent

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cu"):
            if name in self._absent:
                raise AttributeError(name)
            if name in self._broken:
                return lambda *_: 999
        return object.__getattribute__(self, name)

    def cuInit(self, flags: int) -> int:
        return self._init

    def cuGetErrorName(self, code: int, text: Any) -> int:
        text._obj.value = b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self._gpus)
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, buffer: Any, length: int, device: Any) -> int:
        buffer.value = self._gpus[device.value].name.encode()
        return 0

    def cuDeviceTotalMem_v2(self, size: Any, device: Any) -> int:
        size._obj.value = self._gpus[device.value].memory
        return 0

    def cuDeviceGetUuid_v2(self, octets: Any, device: Any) -> int:
        return self._uuid(octets, device)

    def cuDeviceGetUuid(self, octets: Any, device: Any) -> int:
        return self._uuid(octets, device)

    def _uuid(self, octets: Any, device: Any) -> int:
        digits = self._gpus[device.value].uuid.partition("-")[2].replace("-", "")
        octets._obj[:] = bytes.fromhex(digits)
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:
        gpu = self._gpus[device.value]
        known = {
            "multiprocessors": gpu.sms,
            "l2_bytes": gpu.l2,
            "capability_major": gpu.capability[0],
            "capability_minor": gpu.capability[1],
            "pci_domain": 0,
            "pci_bus": gpu.bus,
            "pci_device": 0,
            "shared_memory_per_sm_bytes": 164 << 10,
            "shared_memory_per_block_bytes": 163 << 10,
        }
        (name,) = [name for name, number in ATTRIBUTES.items() if number == attribute]
        value._obj.value = known[name]
        return 0
