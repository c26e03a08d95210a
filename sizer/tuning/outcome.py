"""From the runs of a session to the record: what became of each lever, and which ones hold together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sizer.base.records import plain
from sizer.tuning import record as states
from sizer.tuning.bottleneck import bottleneck
from sizer.tuning.comparing import FAMILY_ERROR, Compared
from sizer.tuning.evidence import TOGETHER
from sizer.tuning.job import Answer
from sizer.tuning.keeping import kept
from sizer.tuning.launching import environment_of
from sizer.tuning.levers.protocol import Lever
from sizer.tuning.losses import reproducible, verdict
from sizer.tuning.record import TimedRun, Together, TunedLever, Tuning, Unchanged, Where
from sizer.tuning.session import Session

#: Why a lever is not tried where a function is tuned.
_ELSEWHERE = "it needs a process of its own: sizer tune train.py"
#: Facts of the first look that a record holds beside the shares.
_FACTS = (
    *(
        "device",
        "cpus",
        "threads",
        "operations",
        "faults",
        "system_share",
        "optimizers_system",
        "pointwise",
        "subnormal",
        "subnormal_cost",
        "children",
        "worker_threads",
    ),
    *("compiles", "autocast"),
)
#: Most runs of a script that change their losses by themselves, of which the first few are compared.
_COMPARED_RUNS = 6


def outcome(session: Session, where: Where, complete: bool, shown_as: Callable[[str], str]) -> Tuning:
    """The record of a session as far as it went. ``shown_as`` names a file of the script to its owner."""
    seen, first = session.seen, session.first
    assert first is not None
    found, adjusted = session.evidence.comparisons(), session.evidence.adjusted()
    levers = sorted(
        (_lever(session, lever, found.get(lever.name), adjusted, shown_as) for lever in session.levers), key=_rank
    )
    together = _together(session, found.get(TOGETHER), adjusted)
    names = _recommended(levers, together)
    best = (
        together
        if together is not None and len(names) > 1
        else next((one for one in levers if one.name in names), None)
    )
    named = bottleneck(seen)
    chosen = [lever for lever in session.levers if lever.name in names]
    return Tuning(
        where=where,
        quantity=session.evidence.quantity,
        label="measured",
        budget_s=session.budget_s,
        spent_s=session.spent_s,
        complete=complete,
        start_s=first.start_s or 0.0,
        steps=session.length.steps,
        warm_up=session.length.warm_up,
        runs=session.runs,
        shares=dict(seen.shares),
        facts={name: plain(getattr(seen, name)) for name in _FACTS},
        bottleneck=named.name,
        bottleneck_told=named.told,
        unchanged=_unchanged(session),
        levers=tuple(levers),
        together=together,
        recommended=names,
        ratio=None if best is None else best.ratio,
        interval=None if best is None else best.interval,
        environment=environment_of(chosen),
        notes=tuple(_notes(session, complete)),
        timed=tuple(_timed(session)),
    )


def _recommended(levers: Sequence[TunedLever], together: Together | None) -> tuple[str, ...]:
    """All that are proven where they were proven together and are better so than the best of them; else the best."""
    proven = [lever for lever in levers if lever.state == states.RECOMMENDED and not lever.changes_training]
    best = min(proven, key=lambda lever: lever.ratio or math.inf, default=None)
    if best is None:
        return ()
    if (
        together is not None
        and together.state == states.RECOMMENDED
        and (together.ratio or math.inf) < (best.ratio or 0)
    ):
        return together.levers
    return (best.name,)


def _rank(lever: TunedLever) -> tuple[int, float]:
    order = (states.RECOMMENDED, states.UNPROVEN, states.LEFT, states.OUT, states.WITHOUT_EFFECT, states.NOT_TRIED)
    return order.index(lever.state), lever.ratio if lever.ratio is not None else 2 - lever.hope


def _lever(
    session: Session,
    lever: Lever,
    found: Compared | None,
    adjusted: Mapping[str, float],
    shown_as: Callable[[str], str],
) -> TunedLever:
    state, why = _state(session, lever, found, adjusted)
    return TunedLever(
        *(lever.name, lever.file, dict(lever.settings), lever.changes, lever.group, lever.results, state, lever.hope),
        **_measures(session, lever.name, found, adjusted),
        why=why,
        kept=kept(lever, session.seen, shown_as),
    )


def _state(session: Session, lever: Lever, found: Compared | None, adjusted: Mapping[str, float]) -> tuple[str, str]:
    if lever.name in session.out:
        return states.OUT, session.out[lever.name]
    if lever.name in session.without_effect:
        return states.WITHOUT_EFFECT, "nothing of the script was changed by it"
    if found is None and any(run.lever == lever.name for run in session.evidence.measured):
        return states.NOT_TRIED, states.SPOILED
    if found is None:
        return states.NOT_TRIED, "the budget does not pay for it" if session.can_try(lever) else _ELSEWHERE
    if lever.name in adjusted:
        proven = adjusted[lever.name] <= FAMILY_ERROR
        return (states.RECOMMENDED, "") if proven else (states.UNPROVEN, "a gain of 3 % is not proven")
    return states.LEFT, ""


def _measures(session: Session, name: str, found: Compared | None, adjusted: Mapping[str, float]) -> dict[str, Any]:
    """The fields that levers and combinations share."""
    answers = [run.answer for run in session.evidence.measured if run.lever == name]
    if found is None or not answers:
        return {}
    unchanged = [run.answer for run in session.evidence.measured if not run.lever]
    start = _later(answers[0], unchanged)
    return {
        "ratio": found.ratio,
        "interval": None if math.isinf(found.high) else (found.low, found.high),
        "confirmed": name in adjusted,
        "runs": found.runs,
        "p_value": adjusted.get(name),
        "losses": verdict([one.losses for one in unchanged[:_COMPARED_RUNS]], answers[0].losses),
        "memory_bytes": _more_memory(answers, unchanged),
        "start_s": start,
        "break_even_steps": _break_even(start, found.ratio, unchanged),
    }


def _later(answer: Answer, unchanged: Sequence[Answer]) -> float | None:
    """How much later steps are under way, in s, by a lever's first run: what compiles keeps it for the next ones."""
    if answer.start_s is None or not unchanged:
        return None
    usual = statistics.median((one.start_s or 0.0) + one.warm_up_s for one in unchanged)
    return answer.start_s + answer.warm_up_s - usual


def _break_even(start_s: float | None, ratio: float, unchanged: Sequence[Answer]) -> int | None:
    """Steps after which a later start is made up for."""
    step_s = statistics.median(one.step_s or 0.0 for one in unchanged) if unchanged else 0.0
    if start_s is None or ratio >= 1 or not step_s:
        return None
    return max(math.ceil(start_s / (step_s * (1 - ratio))), 0)


def _more_memory(answers: Sequence[Answer], unchanged: Sequence[Answer]) -> int | None:
    more, usual = ([one.peak_bytes for one in these if one.peak_bytes is not None] for these in (answers, unchanged))
    return int(statistics.median(more) - statistics.median(usual)) if more and usual else None


def _together(session: Session, found: Compared | None, adjusted: Mapping[str, float]) -> Together | None:
    if not session.together:
        return None
    names = tuple(lever.name for lever in session.together)
    if found is None:
        return Together(names, states.OUT, why=session.out.get(TOGETHER, "the budget did not pay for it"))
    state = states.RECOMMENDED if adjusted.get(TOGETHER, 1.0) <= FAMILY_ERROR else states.UNPROVEN
    return Together(names, state, **_measures(session, TOGETHER, found, adjusted))


def _unchanged(session: Session) -> Unchanged:
    assert session.first is not None
    known = [run.answer for run in session.evidence.measured if not run.lever] or [session.first]
    joules = [one.step_j for one in known if one.step_j is not None]
    losses = [one.losses for one in known if one.losses]
    peaks = [one.peak_bytes for one in known if one.peak_bytes is not None]
    return Unchanged(
        runs=len(known),
        time_per_step_s=statistics.median(one.step_s or 0.0 for one in known),
        energy_per_step_j=statistics.median(joules) if len(joules) == len(known) else None,
        apart=session.evidence.apart(),
        reproducible=reproducible(losses) if len(losses) > 1 else None,
        peak_bytes=int(statistics.median(peaks)) if peaks else None,
        set_apart=len(session.evidence.set_apart()),
    )


def _timed(session: Session) -> Iterator[TimedRun]:
    evidence = session.evidence
    apart = evidence.set_apart()
    for run in evidence.measured:
        answer = run.answer
        costs = (answer.step_s or 0.0, answer.step_j, answer.others_share)
        yield TimedRun(run.at_s, run.lever, *costs, run.confirms, id(run) not in apart)


def _notes(session: Session, complete: bool) -> Iterator[str]:
    if not complete:
        yield "interrupted: what is said is of the runs until then"
    unchanged = _unchanged(session)
    if unchanged.set_apart:
        yield (
            f"{unchanged.set_apart} of {session.runs} runs {'was' if unchanged.set_apart == 1 else 'were'} left out: "
            "beside others, or at another speed of this machine than the unchanged runs around them"
        )
    if unchanged.reproducible is False:
        yield "the unchanged script has other losses each time it runs: only their distributions could be compared"
    if unchanged.apart is not None and unchanged.apart[1] > _UNEASY:
        yield (
            f"unchanged runs lie up to {unchanged.told_apart}: gains below that are hard to prove (a quieter "
            "machine, a larger --budget, more --steps)"
        )


#: Ratio of unchanged runs from which a gain that is worth it is not told from chance in a few rounds.
_UNEASY = 1.10
