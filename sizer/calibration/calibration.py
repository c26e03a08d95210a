"""Calibrate a machine: probe its caches, time planned networks in rounds, fit, and keep the result as a profile."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from sizer._version import __version__
from sizer.base.errors import MeasurementError, UsageError
from sizer.base.progress import Progress
from sizer.base.storage import data_folder
from sizer.calibration import plan as planning
from sizer.calibration.cache_probe import sweep_accesses, with_effective_capacity
from sizer.calibration.fit import design, fit
from sizer.calibration.l2_sweep import sweep_reads, with_effective_l2
from sizer.calibration.measurements import (
    END,
    Case,
    Measurements,
    Timing,
    appended,
    interrupted_or_new,
    read_measurements,
)
from sizer.calibration.metered_energy import charged, check_metered, step_energies, why_not_metered
from sizer.calibration.profile import profile_record
from sizer.calibration.record import Calibration, power_dict
from sizer.calibration.rounds import Pace, take_rounds
from sizer.calibration.session import METER_SHARE, MIN_METERED, Session, Settings, open_session
from sizer.calibration.timed_step import time_run
from sizer.calibration.validity import profile_name
from sizer.detection.usable_gpu import check_usable
from sizer.meters.choosing import AUTO, MeterOptions
from sizer.meters.stated_power import PowerModel
from sizer.method.hardware import Device, device_from_dict
from sizer.method.placement import Hierarchy
from sizer.method.training_step import Training
from sizer.profiles import save

__all__ = ["Settings", "calibrate", "measurement_path", "replay"]

MIN_BUDGET_S = 12.0
#: Networks below which a fit of a dozen coefficients proves nothing.
MIN_NETWORKS = 40
#: Time at the end that the fit takes, in s.
_FIT_S = 3.0
#: Time of each of the two timings that tell how fast a machine is, in s.
_FIRST_S = 0.2
#: The plan holds more networks than the budget should pay for: the first round shows how far it really goes.
_GENEROUS = 1.5


def calibrate(settings: Settings, fresh: bool = False, progress: Progress | None = None) -> Calibration:
    """Calibrate this machine within a budget and save the profile; an interrupted calibration goes on where it stopped.

    ``progress`` is told what happens and how much of the budget is used. Raises UsageError for a budget or a number of
    threads that cannot work and for a GPU that PyTorch cannot use, MeterError when the meter asked for does not
    measure, MeasurementError when the file cannot be written or another calibration is running.
    """
    with open_session(settings, progress, MIN_BUDGET_S) as session:
        check_usable(session.device.id)
        path = measurement_path(session.settings)
        _measure(session, path, fresh)
        record = replay(path, options=settings.meter_options)
        with closing(appended(path)) as log:
            log.append(END)  # after the profile is kept: until then a rerun fits again what was measured
    if settings.meter != AUTO or settings.meter_options.log_path is not None:
        times = f"the times are kept as {record.name}, what was measured in {path}"
        check_metered(record.meter_problem, f"{times}: `sizer calibrate --replay` fits it again, with another log too")
    return record


def replay(path: Path, keep: bool = True, options: MeterOptions | None = None) -> Calibration:
    """Fit a measurement file, on any machine, and (with ``keep``) save the profile.

    ``options`` name a log that says what metered runs used, or state power. Raises MeasurementError, MeterError.
    """
    options = options or MeterOptions()
    measurements = charged(read_measurements(path), options)
    if len(measurements.measured()) < MIN_NETWORKS:
        raise MeasurementError(
            f"{path} holds timings of {len(measurements.measured())} networks, and a fit takes {MIN_NETWORKS}: "
            f"calibrate with a larger --budget"
        )
    try:
        found = _fitted(measurements, _stated_power(measurements, options))
        record = profile_record(measurements, found)
    except (KeyError, TypeError, AttributeError):
        raise MeasurementError(f"{path} does not describe its machine; calibrate again with --fresh") from None
    return found if not keep else found.kept(save(record))


def _fitted(measurements: Measurements, power: PowerModel | None) -> Calibration:
    """What the measurements say of their machine."""
    settings = measurements.settings
    device = device_from_dict(settings["device"])
    training = Training(dtype=settings["dtype"], optimizer=settings["optimizer"])
    measured = measurements.measured()
    row = design([measurements.plan[case] for case in measured], training, Hierarchy.of(device))
    timings = list(measured.values())
    fits = {"time": fit(row, np.array([min(t.step_s for t in of_case) for of_case in timings]))}
    energies = step_energies(timings)
    metered = np.array([energy is not None for energy in energies])
    if metered.sum() >= MIN_METERED:
        joules = np.array([energy for energy in energies if energy is not None])
        fits["energy"] = fit({name: counts[metered] for name, counts in row.items()}, joules)
    problem = None if "energy" in fits else why_not_metered(measurements.timings) or settings.get("meter_note")
    return Calibration(
        name=profile_name(device),
        device=device,
        fits=fits,
        noise=_noise(timings),
        networks=len(measured),
        path=None,
        meter=settings.get("meter_source"),
        metered=int(metered.sum()),
        meter_problem=problem,
        power=power,
    )


def _stated_power(measurements: Measurements, options: MeterOptions) -> PowerModel | None:
    """Power stated now, or when the measurements were made."""
    if options.busy_w is not None:
        return PowerModel(options.busy_w, options.idle_w, options.power_basis)
    stated = measurements.settings.get("power_model")
    return None if stated is None else PowerModel(stated["busy_w"], stated["idle_w"], stated["basis"])


def _noise(timings: list[list[Timing]]) -> float | None:
    """How much longer the second quietest run of a network takes than its quietest, median over the networks."""
    steps = [sorted(timing.step_s for timing in of_case) for of_case in timings]
    excess = [times[1] / times[0] - 1 for times in steps if len(times) > 1]
    return float(np.median(excess)) if excess else None


def measurement_path(settings: Settings) -> Path:
    """Where the timings of a device are kept."""
    return data_folder() / "measurements" / f"{settings.device.replace(':', '-')}.jsonl"


def _measure(session: Session, path: Path, fresh: bool) -> None:
    """Take the timings of the plan, round by round, from where the file ends."""
    began = time.perf_counter()
    same = _same(session)
    log, found = interrupted_or_new(path, None if fresh else same, lambda: _begun(session, same))
    began_rounds = time.perf_counter()
    until = max(began + session.settings.budget_s - _FIT_S, began_rounds)
    rounds = planning.rounds_for(session.settings.budget_s)
    take_rounds(session, log, found, Pace(rounds, began_rounds, until, MIN_NETWORKS))


def _same(session: Session) -> dict[str, Any]:
    """What must be the same for an interrupted calibration to go on."""
    settings = session.settings
    return {
        **session.identity,
        **{name: getattr(settings, name) for name in ("budget_s", "seed", "dtype", "optimizer")},
        "sizer": __version__,
        "meter": None if session.meter is None else session.meter.name,
        "power_model": power_dict(session.power),
    }


def _begun(session: Session, same: Mapping[str, Any]) -> Measurements:
    """A new file's first line: the machine, its last cache as it really is, and the plan."""
    session.begin("probing the caches")
    device = _as_it_is(session.device)
    settings = session.header(same, device) | {
        "identity": session.identity,
        "meter": None if session.meter is None else session.meter.name,
        "meter_source": None if session.meter is None else session.meter.source,
        "meter_note": session.note,
        "power_model": power_dict(session.power),
    }
    return Measurements(settings, _plan(session))


def _as_it_is(device: Device) -> Device:
    """The device with the effective capacity of its last cache."""
    if device.kind == "cpu":
        return with_effective_capacity(device, sweep_accesses())
    nominal = next((level.capacity_bytes for level in device.caches() if level.name == "L2"), None)
    if device.kind != "cuda" or nominal is None:
        return device
    return with_effective_l2(device, sweep_reads(device.id, nominal))


def _plan(session: Session) -> tuple[Case, ...]:
    """The networks that the budget pays for. Raises UsageError, with what is needed, when they are too few."""
    session.begin("first timings")
    small, large = (
        (case, time_run(case, session.training, _FIRST_S, session.device.id).step_s)
        for case in (planning.CORNERS[1], planning.CORNERS[-1])
    )
    budget_s = session.settings.budget_s
    timed_s = budget_s * (1 if session.meter is None else 1 - METER_SHARE)
    rounds, speed = planning.rounds_for(budget_s), planning.Speed.of(small, large)
    plan = planning.plan(_GENEROUS * timed_s, rounds, speed, session.settings.seed)
    if len(plan) < MIN_NETWORKS:
        needed = budget_s * MIN_NETWORKS / max(len(plan), 1)
        raise UsageError(
            f"a budget of {budget_s:g} s times {len(plan)} networks on this machine, too few to fit; "
            f"give about {needed:.0f} s"
        )
    return tuple(plan)
