"""Validate a calibration: time fresh random networks that it never saw, and compare with what it predicts."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sizer._version import __version__
from sizer.base.errors import MeasurementError, ProfileError, UsageError
from sizer.base.progress import Progress
from sizer.calibration import plan as planning
from sizer.calibration.calibration import measurement_path
from sizer.calibration.fit import design
from sizer.calibration.measurements import END, Case, Measurements, interrupted_or_new, read_measurements
from sizer.calibration.rounds import Pace, take_rounds
from sizer.calibration.session import Session, Settings, open_session
from sizer.calibration.validation_record import ValidatedNetwork, Validation
from sizer.calibration.validity import calibration_of, profile_name, with_effective_levels
from sizer.detection.gpu_device import check_usable
from sizer.method.coefficients import LAUNCH_TERMS, Coefficients
from sizer.method.cost import launch_and_work, predict_step, waits_for_launches
from sizer.method.hardware import Device
from sizer.method.placement import Hierarchy
from sizer.models.topology import Topology, check_whole
from sizer.profiles import Profile

MIN_BUDGET_S = 5.0
#: Fewer networks say nothing about a 95th percentile; with a budget too small for them the first round takes longer.
MIN_NETWORKS = 20
MAX_NETWORKS = 1000
#: Seeds from here on belong to validation; those of plans are small.
_FIRST_SEED = 2**32
_SEEDS_EACH = 2**10
#: Networks drawn at a time, so that wherever the budget ends all sizes are there.
_STRATA = 25
#: Networks of a validation that the budget limits, and the longest step of one that keeps a GPU busy, in s.
_MOST, _LONGEST_S = MAX_NETWORKS // 2, 0.1


def validate(settings: Settings, networks: int | None = None, progress: Progress | None = None) -> Validation:
    """Time fresh networks within a budget, or so many ``networks`` however long that takes, and compare.

    An interrupted validation goes on where it stopped. Raises ProfileError when this machine has no calibration that
    holds, UsageError for settings that cannot work, MeasurementError when the file cannot be written or another process
    measures.
    """
    if networks is not None:
        check_whole("networks", networks, 1, MAX_NETWORKS)
    check_whole("seed", settings.seed, 0, 2**20)
    with open_session(settings._replace(meter="none"), progress, MIN_BUDGET_S) as session:
        check_usable(session.device.id)
        profile = _calibration(session)
        conditions = profile.by_quantity["time"].conditions
        same_work = {name: conditions[name] for name in ("dtype", "optimizer") if name in conditions}
        session = session.of(session.settings._replace(**same_work))
        path = validation_path(session.settings)
        _measure(session, profile, path, networks)
        return _compared(session, profile, read_measurements(path), path)


def validation_path(settings: Settings) -> Path:
    """Where the timings of a validation are kept, beside those of the calibration."""
    calibration = measurement_path(settings)
    return calibration.with_name(f"validation-{calibration.name}")


def _calibration(session: Session) -> Profile:
    """The calibration of this device and these threads."""
    found = calibration_of(session.device, torch.get_num_threads())
    if found.profile is None:
        device = session.device.id
        option = "" if device == "cpu" else f" --device {device}"
        missing = f"no calibration of {device} to validate; run `sizer calibrate{option}` first"
        raise ProfileError(found.not_used or missing)
    if "time" not in found.profile.by_quantity:
        raise ProfileError(f"{found.profile.name} does not predict time; run `sizer calibrate` again")
    return found.profile


def _measure(session: Session, profile: Profile, path: Path, networks: int | None) -> None:
    began = time.perf_counter()
    same = session.identity | {
        "calibrated": (profile.calibration or {}).get("date"),
        "budget_s": session.settings.budget_s,
        "networks": networks,
        "seed": session.settings.seed,
        "sizer": __version__,
    }
    log, found = interrupted_or_new(path, same, lambda: _begun(session, profile, same, networks))
    until = math.inf if networks is not None else began + session.settings.budget_s
    take_rounds(session, log, found, Pace(planning.MOST_ROUNDS, began, until, min(MIN_NETWORKS, len(found.plan))))
    with closing(log):
        log.append(END)


def _begun(session: Session, profile: Profile, same: Mapping[str, Any], networks: int | None) -> Measurements:
    session.begin("drawing networks")
    drawn = fresh_networks(session.settings, networks, _keeps_busy(session, profile))
    return Measurements(session.header(same, session.device), tuple(itertools.islice(drawn, networks or _MOST)))


def _keeps_busy(session: Session, profile: Profile) -> Callable[[Case], bool] | None:
    """Whether a network keeps a GPU busy, by the calibration, and fits it; None where launching was not told apart."""
    coefficients = profile.by_quantity["time"]
    if not coefficients.terms.keys() & LAUNCH_TERMS:
        return None
    design_of = partial(design, training=session.training, hierarchy=Hierarchy.of(session.device), on_gpu=True)
    memory = session.device.known_levels()[-1].capacity_bytes

    def keeps_busy(case: Case) -> bool:
        launch_s, work_s = launch_and_work(design_of([case]), coefficients)
        return bool(launch_s[0] < work_s[0] < _LONGEST_S) and planning.fits_gpu(case, memory)

    return keeps_busy


def fresh_networks(
    settings: Settings, count: int | None, keeps_busy: Callable[[Case], bool] | None = None
) -> Iterator[Case]:
    """Random networks over the whole calibrated range, none of which the calibration timed.

    Every second one is larger where ``keeps_busy`` tells which of them keep a GPU busy.
    """
    seen = set(planning.CORNERS)
    with suppress(MeasurementError):
        seen.update(read_measurements(measurement_path(settings)).plan)
    first = _FIRST_SEED + settings.seed * _SEEDS_EACH
    batches = (planning.draw(count or _STRATA, seed) for seed in itertools.count(first))
    drawn = itertools.chain.from_iterable(batches) if keeps_busy is None else planning.draw_on_gpu(first, keeps_busy)
    for case in drawn:
        if case not in seen:
            seen.add(case)
            yield case


def _compared(session: Session, profile: Profile, found: Measurements, path: Path) -> Validation:
    """Each network's quiet time beside what `sizer inspect` says of it."""
    device = with_effective_levels(session.device, profile)
    coefficients = profile.by_quantity["time"]
    measured = found.measured()
    networks = tuple(
        _network(session, device, coefficients, found.plan[case], min(timing.step_s for timing in timings))
        for case, timings in measured.items()
    )
    if not networks:
        raise UsageError("no network was timed; give a larger --budget")
    repeats = min(len(timings) for timings in measured.values())
    return Validation(device, profile_name(device), coefficients, networks, session.settings.seed, repeats, path)


def _network(
    session: Session, device: Device, coefficients: Coefficients, case: Case, measured_s: float
) -> ValidatedNetwork:
    topology = Topology(case.shape, case.input_dim, case.widths)
    training = session.training._replace(batch_size=case.batch_size, optimizer_form=case.form)
    predicted_s, interval = predict_step(topology, training, device, coefficients)
    return ValidatedNetwork(
        *(case.shape, case.input_dim, case.widths, topology.num_free_parameters, case.batch_size),
        *(predicted_s, interval, measured_s, waits_for_launches(topology, training, device, coefficients)),
    )
