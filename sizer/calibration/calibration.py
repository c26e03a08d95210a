"""Calibrate a machine: probe its caches, time planned networks in rounds, fit, and keep the result as a profile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sizer._version import __version__
from sizer.base.errors import MeasurementError, UsageError
from sizer.base.progress import Progress
from sizer.base.storage import data_folder
from sizer.calibration import plan as planning
from sizer.calibration.cache_probe import (
    AccessTime,
    sweep_accesses,
    sweep_reads,
    with_effective_capacity,
    with_effective_l2,
)
from sizer.calibration.combine import Combined, Speed, combine
from sizer.calibration.disturbance import explanation
from sizer.calibration.fit import Fit, conformal_interval, design, fit, predict_terms
from sizer.calibration.kept_sessions import comparable, comparable_sessions, keep_finished
from sizer.calibration.launch_bound import LaunchBound, fit_times
from sizer.calibration.measurements import (
    END,
    Case,
    Measurements,
    Timing,
    appended,
    interrupted_or_new,
    read_measurements,
)
from sizer.calibration.meter_check import meter_doubt
from sizer.calibration.profile_record import profile_record
from sizer.calibration.record import Calibration, TimedNetwork, power_dict
from sizer.calibration.rounds import Pace, charged, check_metered, step_energies, take_rounds, why_not_metered
from sizer.calibration.session import METER_SHARE, MIN_METERED, Session, Settings, open_session
from sizer.calibration.timed_step import time_run
from sizer.calibration.validity import profile_name
from sizer.detection.gpu_device import check_usable
from sizer.meters.choosing import AUTO, MeterOptions
from sizer.meters.stated_power import PowerModel
from sizer.method.cost import Row
from sizer.method.hardware import Device, Level, device_from_dict
from sizer.method.placement import FloatArray, Hierarchy
from sizer.method.training_step import Training
from sizer.method.working_sets import count_parameters, stack
from sizer.profiles import save

__all__ = ["Settings", "calibrate", "measurement_path", "replay"]

MIN_BUDGET_S = 12.0
#: Networks below which a fit of a dozen coefficients proves nothing.
MIN_NETWORKS = 40
#: The same for a quick calibration: 30 networks of a quiet session of machine C miss its truth by 6 to 9 % (mean).
_QUICK_NETWORKS = 30
#: Time at the end that the fit takes, in s.
_FIT_S = 3.0
#: A quick calibration, imports included; its least budget without them, its rounds, the time that its fit takes, and
#: how far it looks for the end of the last cache.
QUICK_S = 8.0
MIN_QUICK_S = 3.0
_QUICK_ROUNDS = 2
QUICK_FIT_S = 1.2
_QUICK_PROBE = {"largest_bytes": 64 * 2**20, "rounds": 2}
#: Time of each of the two timings that tell how fast a machine is, in s.
_FIRST_S = 0.2
#: Runs that it is cut into: the least of them is less of a neighbour's doing, who would leave too few networks to plan.
_FIRST_RUNS = 6
#: Share by which a session's values are above those of long runs at quieter moments even where nothing disturbed it:
#: 0.01 to 0.03 in seven sessions of docs/benchmarks.md, 0.014 of it because a run is short.
_ALWAYS_HIGH_BY = 0.02
#: The plan holds more networks than the budget should pay for: the first round shows how far it really goes.
_GENEROUS = 1.5


def calibrate(settings: Settings, fresh: bool = False, progress: Progress | None = None) -> Calibration:
    """Calibrate this machine within a budget and save the profile; an interrupted calibration goes on where it stopped.

    Earlier sessions of this machine that can be compared are fitted together with this one; ``fresh`` starts this one
    anew. Where others kept the machine so busy that the result is not ``usable`` no profile is saved, and the one
    before stays. ``progress`` is told what happens and how much of the budget is used. Raises UsageError for a budget
    or a number of threads that cannot work and for a GPU that PyTorch cannot use, MeterError when the meter asked for
    does not measure, MeasurementError when the file cannot be written or another calibration is running.
    """
    with open_session(settings, progress, MIN_QUICK_S if settings.quick else MIN_BUDGET_S) as session:
        check_usable(session.device.id)
        path = measurement_path(session.settings)
        keep_finished(path)
        _measure(session, path, fresh)
        now = read_measurements(path)
        record = _fit_together([*comparable_sessions(path, now), now], str(path), True, settings.meter_options)
        with closing(appended(path)) as log:
            log.append(END)  # after the profile is kept: until then a rerun fits again what was measured
    if settings.meter != AUTO or settings.meter_options.log_path is not None:
        times = f"the times are kept as {record.name}, what was measured in {path}"
        check_metered(record.meter_problem, f"{times}: `sizer calibrate --replay` fits it again, with another log too")
    return record


def replay(*paths: Path, keep: bool = True, options: MeterOptions | None = None) -> Calibration:
    """Fit measurement files of one machine together, on any machine, and (with ``keep``, if usable) save the profile.

    ``options`` name a log that says what metered runs used, or state power. Raises UsageError for files of different
    machines, MeasurementError, MeterError.
    """
    found = sorted((read_measurements(path) for path in paths), key=lambda each: str(each.settings.get("date")))
    for path, each in zip(paths, map(read_measurements, paths), strict=True):
        if len(paths) > 1 and not comparable(each.settings, found[-1].settings):
            raise UsageError(
                f"{path} is of another machine, number of threads, torch, kernel or kind of training than the newest "
                f"of the files; fit them apart"
            )
    return _fit_together(found, ", ".join(map(str, paths)), keep, options or MeterOptions())


def _fit_together(sessions: Sequence[Measurements], named: str, keep: bool, options: MeterOptions) -> Calibration:
    """Fit sessions of one machine, the newest last."""
    sessions = [charged(each, options) for each in sessions]
    networks = max(len(each.measured()) for each in sessions)
    fewest = _fewest(any(each.settings.get("quick") for each in sessions))
    if networks < fewest:
        raise MeasurementError(
            f"{named} holds timings of {networks} networks, and a fit takes {fewest}: calibrate with a larger --budget"
        )
    try:
        found = _fitted(sessions, _stated_power(sessions[-1], options))
        record = profile_record(sessions[-1], found)
    except (KeyError, TypeError, AttributeError):
        raise MeasurementError(f"{named} does not describe its machine; calibrate again with --fresh") from None
    return found.kept(save(record)) if keep and found.usable else found


def _fitted(sessions: Sequence[Measurements], power: PowerModel | None) -> Calibration:
    """What the sessions say of their machine."""
    settings = sessions[-1].settings
    combined = combine(sessions, _fewest(bool(settings.get("quick"))))
    device = _with_median_capacities([device_from_dict(sessions[index].settings["device"]) for index in combined.used])
    training = Training(dtype=settings["dtype"], optimizer=settings["optimizer"])
    design_of = partial(design, training=training, hierarchy=Hierarchy.of(device), on_gpu=device.kind == "cuda")
    fitted, waiting = _time_fit(design_of(combined.cases), combined.step_s, device)
    fits = {"time": fitted._replace(interval=_honest_interval(fitted, combined, design_of))}
    joules = step_energies(sessions)
    if len(joules) >= MIN_METERED:
        fits["energy"] = fit(design_of(list(joules)), np.array(list(joules.values())))
    all_timings = [timing for session in sessions for timing in session.timings]
    problem = None if "energy" in fits else why_not_metered(all_timings) or settings.get("meter_note")
    return Calibration(
        name=profile_name(device),
        device=device,
        fits=fits,
        noise=_noise(combined.timings),
        networks=len(combined.cases),
        path=None,
        meter=settings.get("meter_source"),
        metered=len(joules),
        meter_problem=problem,
        meter_doubt=settings.get("meter_doubt"),
        power=power,
        speeds=tuple(_with_terms(combined, design_of, device)),
        sessions=combined.sessions,
        explanation=explanation(sessions[-1].timings),
        reference_s=None if combined.quietness is None else combined.quietness.levels_s,
        timed=tuple(_timed(combined, fitted)),
        accesses=tuple(AccessTime(*each) for each in settings.get("accesses", ())),
        launch_bound=waiting,
        covered=_range(combined.cases),
    )


def _timed(combined: Combined, fitted: Fit) -> Iterator[TimedNetwork]:
    each = zip(combined.cases, combined.step_s.tolist(), fitted.ratios.tolist(), strict=True)
    for case, step_s, ratio in each:
        parameters = int(count_parameters(stack([case.full]))[0])
        yield TimedNetwork(case.full, parameters, case.batch_size, step_s, ratio)


def _with_terms(combined: Combined, design_of: Callable[..., Row], device: Device) -> Iterator[Speed]:
    """The machine's speeds, each but the usual with what steps cost at it."""
    for speed, values in zip(combined.speeds, combined.by_speed, strict=False):  # (no speeds where there is but one)
        if speed.usual or len(values) < MIN_NETWORKS:
            yield speed
        else:
            found = _time_fit(design_of(list(values)), np.array(list(values.values())), device)
            yield speed._replace(terms=found.fit.terms)


def _time_fit(row: Row, step_s: FloatArray, device: Device) -> LaunchBound:
    return fit_times(row, step_s) if device.kind == "cuda" else LaunchBound(fit(row, step_s), None)


def _range(cases: Sequence[Case]) -> dict[str, Any]:
    """What a GPU was timed with beyond the usual; nothing for a CPU."""
    forms = sorted({case.form for case in cases})
    if forms == ["fused"]:
        return {}
    return {"sizes": planning.GPU_SIZES, "batch_sizes": planning.GPU_BATCH_SIZES, "optimizer_forms": forms}


def _with_median_capacities(devices: Sequence[Device]) -> Device:
    """The newest device with the median of the effective capacities that the sessions found."""
    found = [{level.name: level.effective_bytes for level in device.levels} for device in devices]

    def median(level: Level) -> int | None:
        known = [each[level.name] for each in found if each.get(level.name) is not None]
        return round(float(np.median(known))) if known else None  # type: ignore[arg-type]

    last = devices[-1]
    return replace(last, levels=tuple(replace(level, effective_bytes=median(level)) for level in last.levels))


def _honest_interval(fitted: Fit, combined: Combined, design_of: Callable[..., Row]) -> tuple[float, float]:
    """The interval with what cross-validation does not see: the machine's other speeds, values that are too high."""
    low, high = _interval(combined.cases, fitted.ratios)
    low /= 1 + max(combined.high_by, _ALWAYS_HIGH_BY)
    for values in combined.elsewhere:
        predicted = predict_terms(design_of(list(values)), fitted.terms)
        at_speed = _interval(list(values), predicted / np.array(list(values.values())))
        low, high = min(low, at_speed[0]), max(high, at_speed[1])
    return low, high


def _interval(cases: Sequence[Case], ratios: FloatArray) -> tuple[float, float]:
    """The conformal interval of networks drawn at random: those at the corners are no sample of what is asked about."""
    drawn = np.array([case not in planning.CORNERS for case in cases])
    return conformal_interval(ratios[drawn] if drawn.any() else ratios)


def _stated_power(measurements: Measurements, options: MeterOptions) -> PowerModel | None:
    """Power stated now, or when the measurements were made."""
    if options.busy_w is not None:
        return PowerModel(options.busy_w, options.idle_w, options.power_basis)
    stated = measurements.settings.get("power_model")
    return None if stated is None else PowerModel(stated["busy_w"], stated["idle_w"], stated["basis"])


def _noise(timings: Sequence[Sequence[Timing]]) -> float | None:
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
    fit_s = QUICK_FIT_S if session.settings.quick else _FIT_S
    until = max(began + session.settings.budget_s - fit_s, began_rounds)
    settled = began + (session.settings.until_quiet_s or session.settings.budget_s) - fit_s
    fewest = _fewest(session.settings.quick)
    take_rounds(session, log, found, Pace(_rounds(session.settings), began_rounds, until, fewest, settled))


def _fewest(quick: bool) -> int:
    return min(_QUICK_NETWORKS, MIN_NETWORKS) if quick else MIN_NETWORKS


def _rounds(settings: Settings) -> int:
    return _QUICK_ROUNDS if settings.quick else planning.rounds_for(settings.budget_s)


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
    device, accesses = _as_it_is(session.device, session.settings.quick)
    settings = session.header(same, device) | {
        "accesses": accesses,
        "identity": session.identity,
        "meter": None if session.meter is None else session.meter.name,
        "meter_source": None if session.meter is None else session.meter.source,
        "meter_note": session.note,
        "meter_doubt": meter_doubt(session.meter, device.id, session.training),
        "power_model": power_dict(session.power),
        "quick": session.settings.quick,
    }
    return Measurements(settings, _plan(session))


def _as_it_is(device: Device, quick: bool) -> tuple[Device, Sequence[AccessTime]]:
    """The device with the effective capacity of its last cache, and the accesses of a CPU that show it."""
    if device.kind == "cpu":
        accesses = sweep_accesses(**(_QUICK_PROBE if quick else {}))
        return with_effective_capacity(device, accesses), accesses
    nominal = next((level.capacity_bytes for level in device.caches() if level.name == "L2"), None)
    if device.kind != "cuda" or nominal is None:
        return device, ()
    return with_effective_l2(device, sweep_reads(device.id, nominal)), ()


def _speed(session: Session) -> planning.Speed:
    """A first idea of how fast the device is, from timings of a small and a large network."""

    def timed(case: Case) -> tuple[Case, float]:
        first_s = _FIRST_S / _FIRST_RUNS / (4 if session.settings.quick else 1)
        runs = (time_run(case, session.training, first_s, session.device.id) for _ in range(_FIRST_RUNS))
        return case, min(run.step_s for run in runs)

    small = timed(planning.CORNERS[1])
    if session.device.kind != "cuda":
        return planning.Speed.of(small, timed(planning.CORNERS[-1]))
    memory = session.device.known_levels()[-1].capacity_bytes
    for case in planning.GPU_LARGE:
        speed = planning.Speed.of_gpu(small, timed(case), memory)
        if speed.is_all_work(case):
            break
    return speed


def _plan(session: Session) -> tuple[Case, ...]:
    """The networks that the budget pays for. Raises UsageError, with what is needed, when they are too few."""
    session.begin("first timings")
    budget_s = session.settings.budget_s
    timed_s = budget_s * (1 if session.meter is None else 1 - METER_SHARE)
    rounds, speed = _rounds(session.settings), _speed(session)
    plan = planning.plan(_GENEROUS * timed_s, rounds, speed, session.settings.seed)
    fewest = _fewest(session.settings.quick)
    if len(plan) < fewest:
        needed = budget_s * fewest / max(len(plan), 1)
        raise UsageError(
            f"a budget of {budget_s:g} s times {len(plan)} networks on this machine, too few to fit; "
            f"give about {needed:.0f} s"
        )
    return tuple(plan)
