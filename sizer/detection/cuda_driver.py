"""NVIDIA GPUs through the CUDA driver, in CUDA's own order.

Only the driver knows the number of SMs, the L2 and the shared memory, and only it applies CUDA_VISIBLE_DEVICES and
CUDA_DEVICE_ORDER as PyTorch will meet them: its device N is ``cuda:N``. But once it is initialised, a process that
forks cannot use CUDA in its children, and a training script may fork. So this file also runs as a script of its own,
in a short-lived child process, which prints what it read as JSON; therefore it imports the standard library only.

Source of the numbers below: cuda.h (CUdevice_attribute); the CUDA Driver API, Device Management.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_LIBRARIES = {
    "win32": ("nvcuda.dll",),
    "linux": ("libcuda.so.1", "libcuda.so", "/usr/lib/wsl/lib/libcuda.so.1"),
}
_NO_DEVICE = 100
ATTRIBUTES = {
    "multiprocessors": 16,
    "pci_bus": 33,
    "l2_bytes": 38,
    "pci_device": 34,
    "pci_domain": 50,
    "capability_major": 75,
    "capability_minor": 76,
    "shared_memory_per_sm_bytes": 81,
    "shared_memory_per_block_bytes": 97,
}


class CudaDriverError(Exception):
    """The driver cannot be used; the message says why."""


def load_driver() -> Any:
    """The driver's library. Raises CudaDriverError where there is none."""
    names = _LIBRARIES.get(sys.platform, ())
    for name in names:
        with suppress(OSError):
            return ctypes.CDLL(name)
    raise CudaDriverError(f"the CUDA driver library was not found ({', '.join(names) or 'none on this platform'})")


def read_driver(driver: Any) -> list[dict[str, Any]]:
    """One dictionary a device, in CUDA's order; what a device does not tell is None.

    No visible device is an empty list. Raises CudaDriverError when the driver cannot be initialised.
    """
    code = _call(driver, "cuInit", 0)
    count = ctypes.c_int(0)
    if code == 0:
        code = _call(driver, "cuDeviceGetCount", ctypes.byref(count))
    if code == _NO_DEVICE:
        return []
    if code != 0:
        raise CudaDriverError(f"the CUDA driver answers error {code}{_error_name(driver, code)}")
    return [_device(driver, index) for index in range(count.value)]


def _device(driver: Any, index: int) -> dict[str, Any]:
    device = ctypes.c_int(0)
    if _call(driver, "cuDeviceGet", ctypes.byref(device), index) != 0:
        return {"name": None, "uuid": None, "memory_bytes": None, **dict.fromkeys(ATTRIBUTES)}
    name = ctypes.create_string_buffer(256)
    named = _call(driver, "cuDeviceGetName", name, len(name), device) == 0
    memory = ctypes.c_size_t(0)
    sized = _call(driver, "cuDeviceTotalMem_v2", ctypes.byref(memory), device) == 0
    return {
        "name": name.value.decode("utf-8", "replace") if named else None,
        "uuid": _uuid(driver, device),
        "memory_bytes": memory.value if sized else None,
        **{key: _attribute(driver, number, device) for key, number in ATTRIBUTES.items()},
    }


def _uuid(driver: Any, device: ctypes.c_int) -> str | None:
    """Of the MIG instance where there is one (only the newer function tells it), else of the GPU."""
    octets = (ctypes.c_ubyte * 16)()
    for function in ("cuDeviceGetUuid_v2", "cuDeviceGetUuid"):
        if _call(driver, function, ctypes.byref(octets), device) == 0:
            return bytes(octets).hex()
    return None


def _attribute(driver: Any, number: int, device: ctypes.c_int) -> int | None:
    value = ctypes.c_int(0)
    return value.value if _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), number, device) == 0 else None


def _call(driver: Any, function: str, *arguments: Any) -> int:
    """The function's result code; -1 where this driver does not have the function."""
    call: Callable[..., int] | None = getattr(driver, function, None)
    return int(call(*arguments)) if call is not None else -1


def _error_name(driver: Any, code: int) -> str:
    text = ctypes.c_char_p()
    if _call(driver, "cuGetErrorName", code, ctypes.byref(text)) != 0 or not text.value:
        return ""
    return f" ({text.value.decode('utf-8', 'replace')})"


def main() -> None:
    """Print the devices, or the reason why there are none, as JSON."""
    try:
        answer: dict[str, Any] = {"devices": read_driver(load_driver())}
    except CudaDriverError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
