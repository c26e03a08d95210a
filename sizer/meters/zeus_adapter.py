"""The `zeus` package's ZeusMonitor as a meter: AMD GPUs, Apple silicon, Jetson (extra ``cache-sizer[zeus]``).

A ZeusMonitor measures windows, not moments. One window is always open here; a snapshot ends it, adds it to a running
total, and opens the next, which leaves out the time between the two calls (some tens of microseconds).
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from sizer.base.errors import MeterError, UsageError
from sizer.meters.counters import Counter, CounterMeter, CounterSet
from sizer.meters.protocol import MEASURED, Snapshot

#: Zeus reads counters like NVML's, whose slowest moves every 100 ms.
UPDATE_PERIOD_S = 0.1
MINIMUM_WINDOW_S = 1.0
MAX_POWER_W = 3000.0
_WINDOW = "sizer"
#: Parts of a system on a chip that do not overlap: the whole where zeus has it, else these.
_CHIP_TOTAL = "total_energy_mj"
_CHIP_PARTS = ("cpu_total_mj", "cpu_energy_mj", "gpu_mj", "gpu_sram_mj", "gpu_energy_mj", "dram_mj", "ane_mj")


class ZeusMeter(CounterMeter):
    """Energy as `zeus` measures it: of the CPU packages and memory for ``cpu``, of one GPU for ``cuda:N``, of a chip.

    ``monitor`` stands in for a ZeusMonitor. Raises MeterError when zeus is not installed, fails, or finds nothing to
    measure.
    """

    name = "zeus"
    label = MEASURED

    def __init__(self, device: str = "cpu", monitor: Any = None) -> None:
        self._interruptions = 0
        self._problem: str | None = None
        try:
            self._monitor = monitor if monitor is not None else _monitor(device)
            self._begin()
            found = dict(_domains(self._end()))
            self._begin()
        except MeterError:
            raise
        except Exception as error:
            reason = str(error).rstrip(".") or type(error).__name__
            raise MeterError(f"zeus cannot measure {device}: {reason}; see `python -m zeus.show_env`") from error
        if not found:
            raise MeterError(f"zeus finds nothing it can measure for {device}; see `python -m zeus.show_env`")
        self._totals = dict.fromkeys(found, 0.0)
        # A part of a chip may be switched off; a whole GPU or CPU never uses nothing.
        counters = tuple(Counter(name, 1, max_power_w=MAX_POWER_W, may_rest=name.startswith("chip")) for name in found)
        self._set = CounterSet(counters, MEASURED, UPDATE_PERIOD_S, MINIMUM_WINDOW_S)
        self.source = f"zeus monitor of {', '.join(found)}"

    def snapshot(self) -> Snapshot:
        """End zeus's open window and begin the next."""
        now, unix = time.perf_counter(), time.time()
        try:
            for name, joules in _domains(self._end()):
                self._totals[name] += joules
            self._begin()
            readings: tuple[float | None, ...] = tuple(self._totals[counter] for counter in self._set.names)
        except Exception as error:
            self._interruptions += 1
            self._problem = f"zeus could not measure: {str(error) or type(error).__name__}"
            readings = (None,) * len(self._totals)
            with suppress(Exception):
                self._begin()
        return Snapshot(now, unix, readings, self._interruptions, self._problem)

    def close(self) -> None:
        """End the open window."""
        with suppress(Exception):
            self._end()

    def _begin(self) -> None:
        # sync_execution would import torch and wait for the GPU; waiting is the caller's part.
        self._monitor.begin_window(_WINDOW, sync_execution=False)

    def _end(self) -> Any:
        with warnings.catch_warnings():
            # Zeus warns of every window below the update period; here those are parts of a longer one.
            warnings.simplefilter("ignore")
            return self._monitor.end_window(_WINDOW, sync_execution=False)


def _monitor(device: str) -> Any:
    matched = re.fullmatch(r"(cpu|mps)|cuda(?::(\d{1,4}))?", device)
    if matched is None:
        raise UsageError(f"zeus cannot meter the device {device!r}; expected cpu, mps, cuda or cuda:N")
    try:
        from zeus.monitor import ZeusMonitor
    except ImportError as error:
        raise MeterError(f"zeus is not installed ({error}); run `pip install 'cache-sizer[zeus]'`") from error
    if matched[1]:
        return ZeusMonitor(gpu_indices=[])
    return ZeusMonitor(gpu_indices=[int(matched[2] or 0)], cpu_indices=[])


def _domains(measurement: Any) -> Iterator[tuple[str, float]]:
    """(domain, joules) of one zeus Measurement; energies of chips are in mJ there, the others in J."""
    for kind in ("gpu", "cpu", "dram"):
        for index, joules in (getattr(measurement, f"{kind}_energy", None) or {}).items():
            yield f"{kind} {index}", float(joules)
    chip = getattr(measurement, "soc_energy", None)
    parts = (_CHIP_TOTAL,) if getattr(chip, _CHIP_TOTAL, None) is not None else _CHIP_PARTS
    for part in parts:
        millijoules = getattr(chip, part, None)
        if millijoules is not None:
            yield f"chip {re.sub('(_energy)?_mj$', '', part)}", millijoules / 1000
