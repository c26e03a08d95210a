"""What is measured, on which device, under which meter: the set-up that calibration and validation share."""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import IO, Any, NamedTuple

import torch

from sizer.base.errors import MeasurementError, UsageError
from sizer.base.progress import Progress
from sizer.base.storage import data_folder, hold_lock
from sizer.base.units import counted
from sizer.calibration.timed_step import leaving_nothing
from sizer.calibration.validity import identity
from sizer.detection.captured_tree import Tree
from sizer.detection.detect import detected
from sizer.meters.choosing import AUTO, MeterOptions, about_gpu, choose_meter
from sizer.meters.intervals import NotedWindows, Windows
from sizer.meters.protocol import MEASURED, Meter
from sizer.meters.stated_power import PowerModel
from sizer.method.hardware import Device, device_to_dict
from sizer.method.training_step import Training


def only_one() -> IO[str]:
    """The lock that every measuring command takes, held until it is closed or the process ends.

    Raises MeasurementError when another process holds it, or its folder cannot be written.
    """
    path = data_folder() / "measurements" / "lock"
    try:
        return hold_lock(path)
    except BlockingIOError:
        raise MeasurementError("another calibration is running on this machine; wait for it to end") from None
    except OSError as error:
        raise MeasurementError(
            f"{path.parent} cannot be written ({error.strerror}); set XDG_DATA_HOME to a folder that can"
        ) from None


#: Networks with a known energy below which its coefficients are not fitted.
MIN_METERED = 20
#: Share of the time that a meter gets: its windows are longer than a timing needs to be.
METER_SHARE = 0.5


class Settings(NamedTuple):
    """What is measured.

    ``budget_s`` is the most it takes in s; with ``until_quiet_s`` it goes on until its values have settled, so long at
    most. ``quick`` times fewer networks twice, for a first idea. ``meter`` is the name of an energy meter or ``auto``,
    ``meter_options`` what the meter must be told: a wattmeter's log, stated power.
    """

    device: str = "cpu"
    budget_s: float = 60.0
    threads: int | None = None
    meter: str = AUTO
    dtype: str = "float32"
    optimizer: str = "adam"
    seed: int = 0
    meter_options: MeterOptions = MeterOptions()
    until_quiet_s: float | None = None
    quick: bool = False


@dataclass(frozen=True)
class Session:
    """Measuring under way.

    ``training`` are the settings of a step, the batch size left at its default; ``progress`` is None when nobody
    watches. ``meter`` measures joules, None where none does; ``power`` is power that was stated, from which joules are
    estimated; ``note`` says why joules are not measured although a meter was there.
    """

    settings: Settings
    device: Device
    training: Training
    progress: Progress | None = None
    meter: Windows | None = None
    power: PowerModel | None = None
    note: str | None = None

    def of(self, settings: Settings) -> Session:
        """The same session of other settings."""
        return replace(self, settings=settings, training=_training(settings))

    def begin(self, what: str) -> None:
        """Tell what comes before the first timing."""
        if self.progress is not None:
            self.progress(what, 0.0)

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for what is measured here to hold: hardware, threads, torch."""
        return identity(self.device, torch.get_num_threads())

    def header(self, same: Mapping[str, Any], device: Device) -> dict[str, Any]:
        """What a measurement file says of its machine; one with the ``same`` settings goes on."""
        return {
            "same": same,
            "device": device_to_dict(device),
            "dtype": self.settings.dtype,
            "optimizer": self.settings.optimizer,
            "kernel": platform.release() or None,
            "governor": Tree("/").word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        }


@contextmanager
def open_session(settings: Settings, progress: Progress | None, smallest_budget_s: float) -> Iterator[Session]:
    """The device, alone, with its threads and its meter.

    Raises UsageError for settings that cannot work, MeterError for a meter that does not, MeasurementError when another
    process measures.
    """
    _check(settings, smallest_budget_s)
    device = detected(settings.device)
    settings = settings._replace(device=device.id)
    with only_one(), using_threads(settings.threads), leaving_nothing():
        options = about_gpu(settings.meter_options, device)
        with closing(choose_meter(settings.meter, device.id, options)) as meter:
            session = _with_meter(Session(settings, device, _training(settings), progress), meter)
            with nullcontext() if session.meter is None else closing(session.meter):
                yield session


def _training(settings: Settings) -> Training:
    """The settings of a step, the batch size left at its default."""
    return Training(dtype=settings.dtype, optimizer=settings.optimizer)


def _with_meter(session: Session, meter: Meter) -> Session:
    """The session with what the meter is to it: one that measures, if the budget is enough for it, or stated power."""
    if isinstance(meter, PowerModel):
        return replace(session, power=meter)
    if meter.label != MEASURED:
        return session
    needed = MIN_METERED * meter.minimum_window_s / METER_SHARE
    if session.settings.budget_s < needed:
        problem = (
            f"the meter {meter.name} needs {meter.minimum_window_s:.3g} s a network, {needed:.0f} s for {MIN_METERED} "
            f"of them beside their timings"
        )
        if session.settings.meter != AUTO or session.settings.meter_options.log_path is not None:
            given = f"a budget of {session.settings.budget_s:g} s"
            raise UsageError(f"{given} is too small: {problem}; give --budget {math.ceil(needed)}s or --meter none")
        return replace(session, note=f"energy was not measured: {problem}; give --budget {math.ceil(needed)}s")
    return replace(session, meter=NotedWindows(meter) if meter.name == "wattmeter-log" else Windows(meter))


def _check(settings: Settings, smallest_budget_s: float) -> None:
    if not smallest_budget_s <= settings.budget_s < math.inf:
        problem = "is too small" if settings.budget_s < smallest_budget_s else "is no length of time"
        raise UsageError(f"a budget of {settings.budget_s:g} s {problem}; give {smallest_budget_s:g} s or more")
    quiet_s = settings.until_quiet_s
    if quiet_s is not None and not settings.budget_s <= quiet_s < math.inf:
        raise UsageError(f"--until-quiet of {quiet_s:g} s is less than a calibration takes; give 60 s or more")
    if settings.meter_options.idle_w is not None and settings.meter_options.busy_w is None:
        raise UsageError("idle power is stated without busy power; state what the machine draws while it trains too")
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if settings.threads is not None and not 1 <= settings.threads <= cpus:
        raise UsageError(f"{counted(settings.threads, 'thread')} on {cpus} CPUs; give 1 to {cpus}")


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Torch with so many threads, its own number for None, and with what it had before afterwards."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads or before)
        yield
    finally:
        torch.set_num_threads(before)
