"""NVML with two H200s. The second, whose UUID is that of the fake cuda:0, draws 300 W; asking the first is an error."""

from __future__ import annotations

import os
import time


class NVMLError(Exception):
    """What pynvml raises."""


for _name in ("NotSupported", "FunctionNotFound", "GpuIsLost", "NoPermission"):
    globals()[f"NVMLError_{_name}"] = type(f"NVMLError_{_name}", (NVMLError,), {})


def nvmlInit():
    if os.environ.get("FAKE_NVML_FAILS"):
        raise NVMLError("Driver/library version mismatch")


def nvmlShutdown():
    pass


def nvmlDeviceGetCount():
    return 2


def nvmlDeviceGetHandleByIndex(index):
    return index


def nvmlDeviceGetUUID(handle):
    return ("GPU-aa11", "GPU-bb22")[handle]


def nvmlDeviceGetName(handle):
    return "NVIDIA H200"


def nvmlDeviceGetTotalEnergyConsumption(handle):
    if handle != 1:
        raise NVMLError("the wrong GPU is metered")
    return int(300_000 * time.perf_counter())


def nvmlDeviceGetPowerUsage(handle):
    return 300_000
