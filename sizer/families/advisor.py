"""From a family to a recommendation: trace its sizes, time a few, predict the others, keep those that fill a cache."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from sizer.base.errors import MeasurementError, UnreachableError, UsageError, one_of
from sizer.base.progress import Progress, silent
from sizer.base.units import counted, format_bytes
from sizer.calibration.session import only_one, using_threads
from sizer.devices import choose, is_device_id
from sizer.families.answer import Answer, weights
from sizer.families.choosing import CHOSEN_LATER, CONFIRMED, TIMED, TIMED_OF_TWO, choose_cheapest, choose_next
from sizer.families.choosing import choose as choose_timed
from sizer.families.kept import KeptTimings
from sizer.families.making import Family
from sizer.families.record import FamilyRecommendation, values_text
from sizer.families.timing import Plan, Timed, time_members
from sizer.families.tracing import Left, Traced, together, trace_members
from sizer.families.verifying import time_in_turn
from sizer.method.hardware import Device
from sizer.method.placement import FloatArray, Hierarchy, place_all

#: Share of the memory that a step may need: the rest is for the program, torch and the allocator's slack.
_MEMORY_SHARE = 0.8
#: A fit takes three terms at least.
_FEWEST = 3


def recommend_family(family: Family, progress: Progress = silent) -> FamilyRecommendation:
    """Recommend sizes of a family on this machine. Takes the budget's time at most, less where timings are kept.

    Raises UsageError for a device that is not here, UnreachableError where too few sizes can be built or fit the
    memory, MeasurementError where another process measures or steps cannot be timed.
    """
    request = family.request
    if request.device is not None and not is_device_id(request.device):
        raise UsageError(
            f"a family is timed where it is asked about, and {request.device!r} is no device of this machine; give "
            f"--device cpu or cuda:0"
        )
    device = choose(request.device, threads=request.threads).device
    hierarchy = Hierarchy.of(device, anchored=True)
    _check_levels(request.levels, hierarchy)
    with using_threads(request.threads):
        traced, left = trace_members(family, request.sizes(), progress)
        members, too_large = _fitting(traced, hierarchy)
        left += too_large
        if len(members) < _FEWEST:
            raise UnreachableError(_too_few(family, members, left))
        sets = together([one.sets for one in members])
        placements = place_all(sets, hierarchy)
        count = TIMED if len(request.vary) == 1 else TIMED_OF_TWO
        first = choose_timed(members, placements, count - CHOSEN_LATER)
        following = partial(_following, members, weights(request, members), count)
        plan = Plan(first, CHOSEN_LATER + CONFIRMED, following)
        timed, not_timed = _time(family, members, plan, device, progress)
        threads = torch.get_num_threads()
        answer = Answer(family, device, hierarchy, members, sets, placements, timed, [*left, *not_timed], threads)
        return _verified(answer, progress)


def _following(
    members: Sequence[Traced], weight: FloatArray, count: int, step_s: Mapping[int, float], tried: Container[int]
) -> int | None:
    """The member to time next: where the cost bends, then what is predicted to be the cheapest."""
    bend = choose_next(members, step_s, tried) if len(step_s) < count else None
    return choose_cheapest(members, step_s, tried, weight) if bend is None else bend


def _verified(answer: Answer, progress: Progress) -> FamilyRecommendation:
    """The record, with what the advised change showed where it was to be verified."""
    record, change, seconds = answer.record(), answer.change, answer.family.request.verify_s
    if change is None or seconds is None:
        return record
    sizes = [answer.members[index].values for index in change[:2]]
    with only_one():
        before_s, after_s = time_in_turn(answer.family, sizes, answer.device.id, seconds, progress)
    return replace(record, advice=tuple(one._replace(measured=after_s / before_s - 1) for one in record.advice))


def _check_levels(levels: tuple[str, ...] | None, hierarchy: Hierarchy) -> None:
    caches = [name for _, name in hierarchy.caches()]
    for name in levels or ():
        if name not in caches:
            raise UsageError(f"{name!r} is no cache of this device; {one_of(name, caches)}")


def _fitting(traced: Sequence[Traced], hierarchy: Hierarchy) -> tuple[list[Traced], list[Left]]:
    """The members whose step fits the memory, and those that do not; nothing of them has been allocated."""
    room = int(_MEMORY_SHARE * hierarchy.capacities[-1])
    fitting = [one for one in traced if one.memory_bytes <= room]
    left = [
        Left(
            one.values,
            f"a step needs {format_bytes(one.memory_bytes)}, more than {100 * _MEMORY_SHARE:.0f} % of the "
            f"{format_bytes(hierarchy.capacities[-1])} of {hierarchy.names[-1]}",
        )
        for one in traced
        if one.memory_bytes > room
    ]
    return fitting, left


def _too_few(family: Family, members: Sequence[Traced], left: Sequence[Left]) -> str:
    request = family.request
    why = "" if not left else f"; {values_text(request.named(left[0].values))}: {left[0].reason}"
    return (
        f"{len(members)} of {len(members) + len(left)} sizes of {request.target} can be built and run, and {_FEWEST} "
        f"are needed{why}"
    )


def _time(
    family: Family, members: Sequence[Traced], plan: Plan, device: Device, progress: Progress
) -> tuple[list[Timed], list[Left]]:
    """Time members, alone on the machine where any is still to be timed."""
    kept = KeptTimings.of(device, torch.get_num_threads())
    try:
        with only_one():
            timed, left = time_members(family, members, plan, device, kept, progress)
    finally:
        kept.close()
    if len(timed) < _FEWEST:
        why = f": {left[0].reason}" if left else ""
        raise MeasurementError(
            f"{counted(len(timed), 'size')} of {family.request.target} could be timed, and {_FEWEST} are needed{why}"
        )
    return timed, left
