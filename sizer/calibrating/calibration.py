"""Calibrate a machine: probe its caches, time planned networks in rounds, fit, and keep the result as a profile."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch

from sizer._version import __version__
from sizer.calibrated import identity
from sizer.calibrating import planning
from sizer.calibrating.fitting import design, fit
from sizer.calibrating.measurements import MeasurementLog, Measurements, PlannedCase, Timing, read_measurements
from sizer.calibrating.probing import sweep_accesses, with_effective_capacity
from sizer.calibrating.result import Calibration, profile_record
from sizer.calibrating.timing import Case, time_run
from sizer.devices import detected
from sizer.errors import MeasurementError, UsageError
from sizer.files import data_folder
from sizer.hardware import Device, device_from_dict, device_to_dict
from sizer.meters.choosing import MeterOptions, choose_meter
from sizer.meters.protocol import MEASURED, Meter
from sizer.models.topology import Topology
from sizer.placement import FloatArray, Hierarchy
from sizer.profiles import save
from sizer.training import Training

ROUNDS = 3
MIN_BUDGET_S = 12.0
#: Networks below which a fit of a dozen coefficients proves nothing.
MIN_NETWORKS = 40
#: Time at the end that the fit takes, in s.
_FIT_S = 3.0
#: The plan holds more networks than the budget should pay for: the first round shows how far it really goes.
_GENEROUS = 1.5
#: A run during which others used more of the machine than this is taken again, while the round's time lasts.
_DISTURBED = 0.10

Progress = Callable[[str, float], None]


def _silent(what: str, share: float) -> None:
    """Progress that nobody watches."""


class Settings(NamedTuple):
    """What a calibration is of. ``budget_s`` is its time in s, ``meter`` the name of an energy meter or ``auto``."""

    device: str = "cpu"
    budget_s: float = 60.0
    threads: int | None = None
    meter: str = "auto"
    dtype: str = "float32"
    optimizer: str = "adam"
    seed: int = 0


@dataclass(frozen=True)
class _Session:
    """A calibration under way."""

    settings: Settings
    device: Device
    meter: Meter | None
    progress: Progress

    @property
    def training(self) -> Training:
        return Training(dtype=self.settings.dtype, optimizer=self.settings.optimizer)


def calibrate(settings: Settings, fresh: bool = False, progress: Progress | None = None) -> Calibration:
    """Calibrate this machine within a budget and save the profile; an interrupted calibration goes on where it stopped.

    ``progress`` is told what happens and how much of the budget is used. Raises UsageError for a budget or a number of
    threads that cannot work, MeasurementError when the file cannot be written or another calibration is running.
    """
    _check(settings)
    device = detected(settings.device)
    with _only_one(), _threads(settings.threads):
        meter = choose_meter(settings.meter, settings.device, MeterOptions())
        try:
            used = meter if meter.label == MEASURED else None
            session = _Session(settings, device, used, progress or _silent)
            path = measurement_path(settings)
            _measure(session, path, fresh)
        finally:
            meter.close()
        return replay(path)


def replay(path: Path, keep: bool = True) -> Calibration:
    """Fit a measurement file, on any machine, and (with ``keep``) save the profile. Raises MeasurementError."""
    measurements = read_measurements(path)
    measured = measurements.measured()
    if len(measured) < MIN_NETWORKS:
        raise MeasurementError(
            f"{path} holds timings of {len(measured)} networks, and a fit takes {MIN_NETWORKS}: calibrate with a "
            f"larger --budget"
        )
    device = device_from_dict(measurements.settings["device"])
    training = Training(dtype=measurements.settings["dtype"], optimizer=measurements.settings["optimizer"])
    cases = [measurements.plan[case] for case in measured]
    row = design(cases, training, Hierarchy.of(device.sizing_levels()))
    fits = {"time": fit(row, np.array([min(t.step_s for t in timings) for timings in measured.values()]))}
    energies = _energies(list(measured.values()))
    if energies is not None:
        fits["energy"] = fit(row, energies)
    noise = _noise(list(measured.values()))
    record = profile_record(measurements, device, fits, noise, len(measured))
    saved = save(record) if keep else None
    return Calibration(record["name"], device, fits, noise, len(measured), saved)


def _energies(timings: list[list[Timing]]) -> FloatArray | None:
    """The median energy of a step of each network in J, None where a meter did not measure them all."""
    by_case = [[timing.energy_j for timing in of_case if timing.energy_j is not None] for of_case in timings]
    return np.array([np.median(energies) for energies in by_case]) if all(by_case) else None


def _noise(timings: list[list[Timing]]) -> float | None:
    """How much longer the second quietest run of a network takes than its quietest, median over the networks."""
    steps = [sorted(timing.step_s for timing in of_case) for of_case in timings]
    excess = [times[1] / times[0] - 1 for times in steps if len(times) > 1]
    return float(np.median(excess)) if excess else None


def measurement_path(settings: Settings) -> Path:
    """Where the timings of a device are kept."""
    return data_folder() / "measurements" / f"{settings.device.replace(':', '-')}.jsonl"


def _check(settings: Settings) -> None:
    if not settings.budget_s >= MIN_BUDGET_S:
        raise UsageError(
            f"a budget of {settings.budget_s:g} s is too small to fit anything; give {MIN_BUDGET_S:g} s or more"
        )
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if settings.threads is not None and not 1 <= settings.threads <= cpus:
        raise UsageError(f"{settings.threads} threads on {cpus} CPUs; give 1 to {cpus}")


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads or before)
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _only_one() -> Iterator[None]:
    """Two calibrations at once would time each other. Raises MeasurementError when another one runs."""
    folder = data_folder() / "measurements"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / "lock").open("w")
    except OSError as error:
        raise MeasurementError(
            f"{folder} cannot be written ({error.strerror}); set XDG_DATA_HOME to a folder that can"
        ) from None
    with stream:
        _lock(stream)
        yield


def _lock(stream: IO[str]) -> None:
    try:
        import fcntl
    except ImportError:
        return  # Windows: two calibrations disturb each other, and the noise says so
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise MeasurementError("another calibration is running on this machine; wait for it to end") from None


def _measure(session: _Session, path: Path, fresh: bool) -> None:
    """Take the timings of the plan, round by round, from where the file ends.

    The first round decides how many of the planned networks the budget pays for; the others time the same ones again.
    """
    began = time.perf_counter()
    log, measurements = _open(session, path, fresh)
    try:
        done = {(timing.case, timing.round) for timing in measurements.timings}
        start_s = time.perf_counter() - began
        cases = list(range(len(measurements.plan)))
        for round_ in range(ROUNDS):
            share = (round_ + 1) / ROUNDS
            deadline = began + start_s + (session.settings.budget_s - start_s - _FIT_S) * share
            order = cases if round_ == 0 else list(np.random.default_rng(round_).permutation(cases))
            done |= _measure_round(session, log, measurements.plan, round_, order, done, deadline)
            cases = [case for case in cases if (case, 0) in done]
        log.finish()
    finally:
        log.close()


def _measure_round(
    session: _Session,
    log: MeasurementLog,
    plan: tuple[PlannedCase, ...],
    round_: int,
    order: list[int],
    done: set[tuple[int, int]],
    deadline: float,
) -> set[tuple[int, int]]:
    """Time networks once each in the order given until the deadline; disturbed ones again while time lasts."""
    queue = [int(case) for case in order if (case, round_) not in done]
    taken: set[tuple[int, int]] = set()
    began = time.perf_counter()
    while queue and (time.perf_counter() < deadline or (round_ == 0 and len(taken) + len(done) < MIN_NETWORKS)):
        case = queue.pop(0)
        run = time_run(_case(plan[case], session.training), planning.RUN_S, session.settings.device, session.meter)
        joules = None if run.energy is None or run.energy.joules is None else run.energy.joules / run.steps
        log.add(Timing(case, round_, run.step_s, run.steps, run.disturbed, joules))
        part = (time.perf_counter() - began) / max(deadline - began, 1e-9)
        session.progress("timing networks", min((round_ + part) / ROUNDS, 1.0))
        if (run.disturbed or 0.0) > _DISTURBED and (case, round_) not in taken:
            queue.append(case)
        taken.add((case, round_))
    return taken


def _case(planned: PlannedCase, training: Training) -> Case:
    topology = Topology(planned.shape, planned.input_dim, planned.widths)
    return Case(topology, training._replace(batch_size=planned.batch_size))


def _open(session: _Session, path: Path, fresh: bool) -> tuple[MeasurementLog, Measurements]:
    """The file to append to: the interrupted one of the same settings, else a new one with a new plan."""
    same = identity(session.device, torch.get_num_threads())
    same |= {"budget_s": session.settings.budget_s, "seed": session.settings.seed, "sizer": __version__}
    if not fresh and path.exists():
        try:
            found = read_measurements(path)
        except MeasurementError:
            found = None
        if found is not None and found.settings["same"] == same and not found.finished:
            return MeasurementLog.resume(path), found
    session.progress("probing the caches", 0.0)
    device = session.device
    if device.kind == "cpu":
        device = with_effective_capacity(device, sweep_accesses())
    plan = _plan(session)
    settings = {
        "same": same,
        "identity": identity(session.device, torch.get_num_threads()),
        "device": device_to_dict(device),
        "dtype": session.settings.dtype,
        "optimizer": session.settings.optimizer,
        "meter": None if session.meter is None else session.meter.name,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    return MeasurementLog.create(path, settings, plan), Measurements(settings, plan, ())


def _plan(session: _Session) -> tuple[PlannedCase, ...]:
    """The networks that the budget pays for. Raises UsageError, with what is needed, when they are too few."""
    session.progress("first timings", 0.0)
    small, large = planning.CORNERS[1], planning.CORNERS[-1]
    speed = planning.Speed.of(*((case, _quick(session, case)) for case in (small, large)))
    plan = planning.plan(_GENEROUS * session.settings.budget_s, ROUNDS, speed, session.settings.seed)
    if len(plan) < MIN_NETWORKS:
        needed = session.settings.budget_s * MIN_NETWORKS / max(len(plan), 1)
        raise UsageError(
            f"a budget of {session.settings.budget_s:g} s times {len(plan)} networks on this machine, too few to fit; "
            f"give about {needed:.0f} s"
        )
    return tuple(plan)


def _quick(session: _Session, case: PlannedCase) -> float:
    return time_run(_case(case, session.training), 0.2, session.settings.device).step_s
