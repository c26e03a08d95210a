"""NVIDIA GPUs through NVML: the energy counter of Volta and newer, sampled power where there is none.

Source: NVML API reference, nvmlDeviceGetTotalEnergyConsumption (mJ since the driver was loaded, Volta and newer),
nvmlDeviceGetPowerUsage (mW; from Ampere on, but for GA100, a mean over one second) and the field
NVML_FI_DEV_POWER_INSTANT (mW now). All are of the whole board, memory included, whoever uses it; of a Grace Hopper
superchip they are of the module.

First the meter; then which of NVML's GPUs a CUDA device is, since the two number them differently.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sizer.base.errors import MeterError, UsageError
from sizer.detection.nvml import text
from sizer.meters.counters import Counter, CounterMeter, CounterSet, Reading
from sizer.meters.protocol import MEASURED, Snapshot
from sizer.meters.sampling import PowerSampler

#: The counter moves every 20 to 100 ms, by generation; ten of the longest keep the error below 10 %, usually at 2 %.
UPDATE_PERIOD_S = 0.1
MINIMUM_WINDOW_S = 10 * UPDATE_PERIOD_S
#: Power readings are means over up to a second (Yang et al., arXiv 2312.02741), so sampled windows must be longer.
#: The same holds for the field of instant power, which a sampler reads a part of the time only.
SAMPLE_PERIOD_S = 0.05
MINIMUM_SAMPLED_WINDOW_S = 5.0
#: No board draws more; above it, a counter has jumped.
MAX_POWER_W = 3000.0


class NvmlMeter(CounterMeter):
    """The energy of one GPU board.

    ``uuid`` names the GPU surely; without it ``device`` is matched through CUDA_VISIBLE_DEVICES. ``nvml`` stands in for
    the module ``pynvml``. Raises MeterError when there is no NVML, no such GPU, or neither counter nor power reading.
    """

    name = "nvml"
    label = MEASURED

    def __init__(
        self,
        device: str = "cuda:0",
        uuid: str | None = None,
        nvml: Any = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.device = device
        self._nvml = nvml if nvml is not None else _load()
        self._interruptions = 0
        self._problem: str | None = None
        self._sampler: PowerSampler | None = None
        _initialise(self._nvml)
        try:
            self._handle = gpu_handle(self._nvml, device, uuid, os.environ if environment is None else environment)
            self._set, self.source = self._choose()
        except self._nvml.NVMLError as error:
            self._shut_down()
            raise MeterError(self._failure(error)) from error
        except Exception:
            self._shut_down()
            raise

    def _choose(self) -> tuple[CounterSet, str]:
        """The energy counter, or, on a GPU that has none, a sampler."""
        try:
            self._millijoules()
        except (self._nvml.NVMLError_NotSupported, self._nvml.NVMLError_FunctionNotFound):
            # Read once outside the sampler: a GPU without a power reading either must be refused here.
            instant = self._instant_mw() is not None
            read = self._instant_watts if instant else self._watts
            read()
            self._sampler = PowerSampler(read, SAMPLE_PERIOD_S)
            self._sampler.start()
            counter = Counter(self.device, 1, max_power_w=MAX_POWER_W)
            what = "instant power" if instant else "power (from Ampere on a mean over one second)"
            source = (
                f"NVML {what} of {self.device}, {self._covered()}, sampled every {SAMPLE_PERIOD_S:g} s and held "
                "(no energy counter)"
            )
            return CounterSet((counter,), MEASURED, SAMPLE_PERIOD_S, MINIMUM_SAMPLED_WINDOW_S), source
        counter = Counter(self.device, 1000, max_power_w=MAX_POWER_W)
        source = f"NVML energy counter of {self.device}, {self._covered()}"
        return CounterSet((counter,), MEASURED, UPDATE_PERIOD_S, MINIMUM_WINDOW_S), source

    @property
    def edge_period_s(self) -> float | None:
        """A time in which the energy counter moves surely, in s; None where power is sampled."""
        return None if self._sampler is not None else UPDATE_PERIOD_S

    def _covered(self) -> str:
        name = text(self._nvml.nvmlDeviceGetName(self._handle))
        if "GH200" in name or "GB200" in name:
            return "the whole module, its processor and that one's memory included"
        return "the whole board"

    def snapshot(self) -> Snapshot:
        """Read the counter once."""
        if self._sampler is not None:
            now, joules, interruptions, problem = self._sampler.reading()
            return Snapshot(now, time.time(), (joules,), interruptions, problem)
        now, unix = time.perf_counter(), time.time()
        try:
            reading: float | None = self._millijoules()
        except self._nvml.NVMLError as error:
            reading = None
            self._interruptions += 1
            self._problem = self._failure(error)
        return Snapshot(now, unix, (reading,), self._interruptions, self._problem)

    def close(self) -> None:
        """Stop sampling and let go of NVML."""
        self._shut_down()

    def _millijoules(self) -> int:
        return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def _watts(self) -> float:
        try:
            return int(self._nvml.nvmlDeviceGetPowerUsage(self._handle)) / 1000
        except self._nvml.NVMLError as error:
            raise MeterError(self._failure(error)) from error

    def reading(self) -> Reading:
        """Counter and power now, to check one by the other. Raises MeterError where either is not there."""
        try:
            joules = self._millijoules() / 1000
        except self._nvml.NVMLError as error:
            raise MeterError(self._failure(error)) from error
        watts = self._watts() if self._instant_mw() is None else self._instant_watts()
        return Reading(time.perf_counter(), joules, watts)

    def _instant_watts(self) -> float:
        milliwatts = self._instant_mw()
        if milliwatts is None:
            raise MeterError(f"NVML does not read the instant power of {self.device} any more")
        return milliwatts / 1000

    def _instant_mw(self) -> int | None:
        """The field of instant power, None where driver, GPU or module do not have it."""
        try:
            (field,) = self._nvml.nvmlDeviceGetFieldValues(self._handle, [self._nvml.NVML_FI_DEV_POWER_INSTANT])
        except (AttributeError, ValueError, self._nvml.NVMLError):
            return None
        return int(field.value.uiVal) or None if field.nvmlReturn == 0 else None

    def _failure(self, error: Exception) -> str:
        if isinstance(error, self._nvml.NVMLError_GpuIsLost):
            return (
                f"the GPU {self.device} has disappeared (NVML: {error}); see `nvidia-smi` and the kernel log for an "
                "Xid error, reset the GPU or restart the machine, and measure again"
            )
        if isinstance(error, self._nvml.NVMLError_NoPermission):
            return f"no permission to read the energy of {self.device} (NVML: {error}); ask the machine's administrator"
        if isinstance(error, self._nvml.NVMLError_NotSupported):
            return f"{self.device} reports neither energy nor power (NVML: {error}); use --meter power-model"
        return f"NVML cannot read the energy of {self.device}: {error}"

    def _shut_down(self) -> None:
        if self._sampler is not None:
            self._sampler.stop()
        with suppress(Exception):
            self._nvml.nvmlShutdown()


class GpuState:
    """A GPU's clock and how many other processes compute on it, as NVML tells; what it does not tell is left out.

    Explains why a GPU was slow and decides nothing: a process of another container may not be seen.
    """

    def __init__(self, device: str, uuid: str | None = None, nvml: Any = None) -> None:
        self._nvml: Any = None
        with suppress(Exception):  # (without a driver or that GPU nothing is told)
            loaded = nvml if nvml is not None else _load()
            _initialise(loaded)
            self._nvml = loaded
            self._handle = gpu_handle(loaded, device, uuid, os.environ)

    def read(self) -> dict[str, float]:
        """The clock of the SMs now and at most, in MHz, and the number of other processes."""
        asked: dict[str, Callable[[], Any]] = {
            "sm_clock_mhz": lambda: self._nvml.nvmlDeviceGetClockInfo(self._handle, self._nvml.NVML_CLOCK_SM),
            "sm_clock_most_mhz": lambda: self._nvml.nvmlDeviceGetMaxClockInfo(self._handle, self._nvml.NVML_CLOCK_SM),
            "other_processes": lambda: len(self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)) - 1,
        }
        found: dict[str, float] = {}
        for name, ask in asked.items():
            with suppress(Exception):  # (each may be missing in a driver, or not be allowed; all are without a driver)
                found[name] = max(float(ask()), 0.0)
        return found

    def close(self) -> None:
        """Let go of NVML."""
        with suppress(Exception):
            self._nvml.nvmlShutdown()


def _load() -> Any:
    try:
        import pynvml
    except ImportError as error:
        raise MeterError("the package nvidia-ml-py is not installed; install it to read NVIDIA GPUs") from error
    return pynvml


def _initialise(nvml: Any) -> None:
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise MeterError(f"no NVIDIA driver answers (NVML: {error}); check that `nvidia-smi` works") from error


def gpu_handle(nvml: Any, device: str, uuid: str | None, environment: Mapping[str, str]) -> Any:
    """NVML's handle of a device, by its UUID where that is known, else by its number among the visible GPUs.

    Raises UsageError for a text that is no CUDA device, MeterError for a GPU that is not there, that is an instance of
    a partitioned one (its energy is not counted apart), or that its number does not identify.
    """
    matched = re.fullmatch(r"cuda(?::(\d{1,4}))?", device)
    if matched is None:
        raise UsageError(f"NVML cannot meter the device {device!r}; expected cuda or cuda:N")
    handle = _handle(nvml, device, int(matched[1] or 0), uuid, environment)
    if _is_partitioned(nvml, handle):
        raise MeterError(
            f"{device} is a part of a GPU that is partitioned (MIG): NVML counts the energy of whole GPUs only; use "
            "--meter power-model"
        )
    return handle


def _is_partitioned(nvml: Any, handle: Any) -> bool:
    """Whether CUDA sees instances of the GPU only. Most GPUs have no MIG, and say so with an error."""
    try:
        return bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    except (AttributeError, nvml.NVMLError):
        return False


def _handle(nvml: Any, device: str, position: int, uuid: str | None, environment: Mapping[str, str]) -> Any:
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    if uuid is not None:
        return _by_uuid(nvml, handles, device, uuid)
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _by_number(nvml, handles, device, position, environment)
    entry = dict(enumerate(map(str.strip, visible.split(",")))).get(position)
    if not entry or entry.startswith("-"):
        raise MeterError(f"no GPU is {device}; CUDA_VISIBLE_DEVICES is {visible!r}")
    if entry.isdecimal():
        return _by_number(nvml, handles, device, int(entry), environment)
    return _by_uuid(nvml, handles, device, entry)


def _by_uuid(nvml: Any, handles: Sequence[Any], device: str, uuid: str) -> Any:
    """CUDA takes any unambiguous beginning of a UUID; sources write it with dashes or without."""
    if uuid.startswith("MIG-"):
        raise MeterError(
            f"{device} is a part of a GPU ({uuid}): NVML counts the energy of whole GPUs only; use --meter power-model"
        )
    digits = _digits(uuid)
    found = [handle for handle in handles if _digits(text(nvml.nvmlDeviceGetUUID(handle))).startswith(digits)]
    if len(found) != 1:
        raise MeterError(
            f"{len(found)} of the {len(handles)} GPUs that NVML sees have a UUID beginning with {uuid} ({device}); "
            "`nvidia-smi -L` lists them"
        )
    return found[0]


def _digits(uuid: str) -> str:
    """A UUID, or the beginning of one, without its prefix and dashes."""
    return uuid.lower().removeprefix("gpu-").replace("-", "")


def _by_number(nvml: Any, handles: Sequence[Any], device: str, number: int, environment: Mapping[str, str]) -> Any:
    """By position on the PCI bus, which is CUDA's order too if asked for, or if all GPUs are of one kind."""
    if number >= len(handles):
        raise MeterError(f"no GPU is {device}: NVML sees {len(handles)}; `nvidia-smi -L` lists them")
    kinds = {text(nvml.nvmlDeviceGetName(handle)) for handle in handles}
    if len(kinds) > 1 and environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise MeterError(
            f"which GPU {device} is depends on CUDA's ordering of {', '.join(sorted(kinds))}; "
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID"
        )
    return handles[number]
