"""Stand-ins for the hardware that meters read: a powercap folder, NVML, a zeus monitor."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from sizer.meters.protocol import Snapshot

RANGE_UJ = 262_143_328_850
DRAM_RANGE_UJ = 65_712_999_613


class FakeRapl:
    """A sysroot with RAPL zones; `set` moves a counter."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "sys/class/powercap"
        self.folder.mkdir(parents=True)

    def zone(self, folder: str, name: str, energy_uj: int = 1_000_000, range_uj: int = RANGE_UJ) -> None:
        path = self.folder / folder
        path.mkdir()
        (path / "name").write_text(f"{name}\n")
        (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
        (path / "energy_uj").write_text(f"{energy_uj}\n")

    def set(self, folder: str, energy_uj: int | str) -> None:
        (self.folder / folder / "energy_uj").write_text(f"{energy_uj}\n")

    def two_packages(self) -> FakeRapl:
        """A server with two sockets, as the kernel shows it: nested domains, psys, and the same package over mmio."""
        for package in (0, 1):
            self.zone(f"intel-rapl:{package}", f"package-{package}")
            self.zone(f"intel-rapl:{package}:0", "core")
            self.zone(f"intel-rapl:{package}:1", "dram", range_uj=DRAM_RANGE_UJ)
        self.zone("intel-rapl:2", "psys")
        self.zone("intel-rapl-mmio:0", "package-0")
        (self.folder / "intel-rapl").mkdir()
        return self


class NVMLError(Exception):
    pass


class NotSupportedError(NVMLError):
    pass


class GpuIsLostError(NVMLError):
    pass


class FakeNvml:
    """The part of pynvml that the meters use. ``energy_mj``, ``power_mw`` and ``mig`` are values or errors to raise.

    Asked for a GPU that it does not have it raises LookupError or TypeError, which no meter expects.
    """

    NVMLError = NVMLError
    NVMLError_NotSupported = NotSupportedError
    NVMLError_FunctionNotFound = type("FunctionNotFound", (NVMLError,), {})
    NVMLError_GpuIsLost = GpuIsLostError
    NVMLError_NoPermission = type("NoPermission", (NVMLError,), {})

    def __init__(self, gpus: tuple[tuple[str, str], ...] = (("GPU-aa11", "H200"),)) -> None:
        self.gpus = gpus
        self.energy_mj: dict[int, int | Exception] = dict.fromkeys(range(len(gpus)), 5_000_000)
        self.power_mw: int | Exception = 300_000
        self.instant_mw: int | Exception | None = None
        self.mig: list[int] | Exception = [0, 0]  # now, and after the next reset
        self.init_error: Exception | None = None
        self.handle_error: Exception | None = None
        self.shutdown_error: Exception | None = None
        self.open = 0

    def nvmlInit(self):
        if self.init_error is not None:
            raise self.init_error
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1
        if self.shutdown_error is not None:
            raise self.shutdown_error

    def nvmlDeviceGetCount(self):
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        if self.handle_error is not None:
            raise self.handle_error
        return index

    def nvmlDeviceGetUUID(self, handle):
        return self.gpus[handle][0].encode()

    def nvmlDeviceGetName(self, handle):
        return self.gpus[handle][1]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return _value(self.energy_mj[handle])

    def nvmlDeviceGetPowerUsage(self, handle):
        self.gpus[handle]
        return _value(self.power_mw)

    NVML_FI_DEV_POWER_INSTANT = 186

    def nvmlDeviceGetFieldValues(self, handle, fields):
        self.gpus[handle]
        assert fields == [self.NVML_FI_DEV_POWER_INSTANT]
        known = self.instant_mw is not None
        value = SimpleNamespace(uiVal=_value(self.instant_mw) if known else 7)  # (NVML leaves there what was there)
        return [SimpleNamespace(nvmlReturn=0 if known else 3, value=value)]

    def nvmlDeviceGetMigMode(self, handle):
        self.gpus[handle]
        return _value(self.mig)


class FakeZeus:
    """A ZeusMonitor whose windows measure what is put into ``next_window``."""

    def __init__(self, **window) -> None:
        self.next_window = window
        self.windows: set[str] = set()
        self.error: Exception | None = None

    def begin_window(self, key, sync_execution=True):
        assert sync_execution is False, "waiting for the GPU is the caller's part"
        assert key not in self.windows
        self.windows.add(key)

    def end_window(self, key, sync_execution=True):
        assert sync_execution is False, "waiting for the GPU is the caller's part"
        self.windows.remove(key)
        if self.error is not None:
            raise self.error
        return SimpleNamespace(**self.next_window)


def _value(value):
    if isinstance(value, Exception):
        raise value
    return value


def at(time_s: float, *readings: float | None, interruptions: int = 0, problem: str | None = None) -> Snapshot:
    """A snapshot at a time on both clocks."""
    return Snapshot(time_s, time_s, readings, interruptions, problem)
