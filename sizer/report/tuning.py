"""A tuning as a report: what holds, why, how to keep it, and what was measured of every lever."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from sizer.base.units import format_bytes, format_count, format_quantity
from sizer.report.layout import BLANK, STEP_PARTS, Block, Column, Detail, Line, More, Paragraph, Table, answer
from sizer.tuning.record import (
    LEFT,
    NOT_TRIED,
    OUT,
    RECOMMENDED,
    SPOILED,
    WITHOUT_EFFECT,
    Together,
    TunedLever,
    Tuning,
)

#: The share of a step's time from which a part is named.
_NAMED = 0.005
#: Ratio of two unchanged runs from which no lever's ratio is worth reading: most levers change less.
_UNMEASURED = 1.5
#: Ratio of a lever that only lack of budget keeps from being proven: it looks worth it by more than a run scatters.
_PROMISING = 0.95
#: Memory from which a lever's growth is told with the answer.
_MUCH_BYTES = 64 * 2**20


def tuning_report(record: Tuning) -> Iterator[Block]:
    """The answer, where a step's time goes, how to keep what is proven, the levers."""
    yield from answer(_first(record), _cause(record), _split(record), _at_what_price(record))
    if record.recommended:
        yield BLANK
        yield from _keeping(record)
    other = [lever for lever in record.levers if lever.state == RECOMMENDED and lever.name not in record.recommended]
    yield from (Paragraph(text, "  ") for lever in other if (text := _also(record, lever)))
    if any(lever.ratio is not None for lever in record.levers):
        yield BLANK
        yield _table(record)
    yield from _left_over(record)
    yield More(list(_details(record)), "runs, chances, how each lever is kept")


def _first(record: Tuning) -> str:
    name, what = record.where.script, "energy" if record.quantity == "energy" else "time"
    if record.ratio is None:
        tried = sum(lever.ratio is not None for lever in record.levers)
        if not tried:
            return f"{name}: no lever was tried yet"
        apart = record.unchanged.apart
        if apart is not None and apart[1] > _UNMEASURED:
            return (
                f"{name}: nothing could be measured, unchanged runs lie up to {record.unchanged.told_apart}; tune it "
                "again on a quieter machine, or with a larger --budget"
            )
        return f"{name}: none of the {tried} levers that were tried is proven to save 3 % or more of a step's {what}"
    changes = " and ".join(lever.changes for lever in record.chosen())
    return f"{name}: a step takes {record.ratio:.2f} of its {what}{_between(record.interval)} when {changes}"


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:.2f} to {interval[1]:.2f})"


def _cause(record: Tuning) -> str:
    told = record.bottleneck_told
    return f"{told[:1].upper()}{told[1:]}."


def _split(record: Tuning) -> str:
    named = [f"{STEP_PARTS[part]} {share:.0%}" for part, share in record.shares.items() if share >= _NAMED]
    cost = format_quantity(record.unchanged.time_per_step_s, "s")
    if record.unchanged.energy_per_step_j is not None:
        cost += f" and {format_quantity(record.unchanged.energy_per_step_j, 'J')}"
    return f"A step of {cost} ({record.label}) goes into: {', '.join(named)}." if named else f"A step takes {cost}."


def _at_what_price(record: Tuning) -> str:
    """Losses, memory and start of what is recommended."""
    found = record.together if len(record.recommended) > 1 else next(iter(record.chosen()), None)
    if found is None:
        return ""
    parts = [f"losses {found.losses}"] if found.losses else []
    if found.memory_bytes is not None and abs(found.memory_bytes) >= _MUCH_BYTES:
        parts.append(f"{format_bytes(abs(found.memory_bytes))} {'more' if found.memory_bytes > 0 else 'less'} memory")
    if found.start_s is not None and found.start_s >= 1 and found.break_even_steps is not None:
        steps = format_count(found.break_even_steps)
        parts.append(f"starts {format_quantity(found.start_s, 's')} later, made up for after {steps} steps")
    return f"{'; '.join(parts)[:1].upper()}{'; '.join(parts)[1:]}." if parts else ""


def _keeping(record: Tuning) -> Iterator[Block]:
    yield Line("To keep it:", strong=True)
    for name, value in record.environment.items():
        yield from map(Detail, _exports(name, value))
    for lever in record.chosen():
        yield from _code(lever)
    yield Paragraph("or, with the record that --save writes: sizer run --with FILE ...", "  ")


def _exports(name: str, value: str) -> Iterator[str]:
    """Lines of a shell that are short enough to be copied from 80 columns: tunables of glibc are one a line."""
    first, *others = value.split(":") if name == "GLIBC_TUNABLES" else [value]
    yield f"export {name}={shlex.quote(first)}"
    yield from (f"{name}=${name}:{shlex.quote(other)}" for other in others)


def _code(lever: TunedLever) -> Iterator[Block]:
    for line in lever.kept.diff.splitlines():
        yield Detail(line)
    for line in lever.kept.lines:
        yield Detail(line)
    if lever.kept.note:
        yield Detail(f"({lever.kept.note})")


def _also(record: Tuning, lever: TunedLever) -> str:
    what = "energy" if record.quantity == "energy" else "time"
    told = f"{lever.name} alone: {lever.ratio:.2f} times the {what}{_between(lever.interval)}"
    return f"{told}, but it changes the training: {lever.changes}." if lever.changes_training else ""


def _table(record: Tuning) -> Table:
    shown = [lever for lever in record.levers if lever.ratio is not None]
    rows: list[tuple[str, TunedLever | Together]] = [(lever.name, lever) for lever in shown]
    if record.together is not None and record.together.ratio is not None:
        rows.insert(0, ("all proven together", record.together))
    title = "energy" if record.quantity == "energy" else "time"
    return Table(
        [
            Column("lever", [name for name, _ in rows], whole=True),
            Column(title, [f"{one.ratio:.2f}x" for _, one in rows], right=True),
            Column("90 %", [_range(one.interval) for _, one in rows], right=True, leave_out=1),
            Column("losses", [one.losses for _, one in rows], folds=True),
            Column("memory", [_memory(one.memory_bytes) for _, one in rows], right=True, leave_out=2),
            Column("", [_said(one) for _, one in rows]),
        ]
    )


def _range(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.2f}-{interval[1]:.2f}"


def _memory(more: int | None) -> str:
    if more is None:
        return ""
    whole = round(more / 2**20) * 2**20
    return f"{'-' if whole < 0 else '+'}{format_bytes(abs(whole))}" if whole else "same"


def _said(one: TunedLever | Together) -> str:
    if one.state == RECOMMENDED and isinstance(one, TunedLever) and one.changes_training:
        return "proven, another training"
    if one.state == LEFT and isinstance(one, TunedLever) and (one.ratio or 1.0) < _PROMISING:
        return "promising"
    return {RECOMMENDED: "proven", "unproven": "not proven", "left": "one look"}.get(one.state, one.state)


def _left_over(record: Tuning) -> Iterator[Block]:
    """Levers without a value: which failed and why, which changed nothing, which were not paid for."""
    for lever in record.levers:
        if lever.state == OUT:
            yield Paragraph(f"out: {lever.why}", f"{lever.name}: ")
    why = "the budget does not pay for" if record.complete else "interrupted before"
    spoiled = [lever.name for lever in record.levers if lever.state == NOT_TRIED and lever.why == SPOILED]
    without = [lever.name for lever in record.levers if lever.state == WITHOUT_EFFECT]
    not_tried = [lever.name for lever in record.levers if lever.state == NOT_TRIED and lever.why != SPOILED]
    for names, told in (
        (without, "Without effect here"),
        (spoiled, "Beside others or a change of the machine's speed only, which says nothing of"),
        (not_tried, f"Not tried, {why}"),
    ):
        if names:
            yield Paragraph(f"{told}: {', '.join(names)}.")


def _details(record: Tuning) -> Iterator[Block]:
    yield BLANK
    unchanged = record.unchanged
    apart = "" if unchanged.apart is None else f", two of them {_range(unchanged.apart)} times each other (90 %)"
    start = format_quantity(record.start_s, "s")
    yield Paragraph(
        f"{record.runs} runs of {record.steps} steps, the first {record.warm_up} of each not timed, in "
        f"{record.spent_s:.0f} s of {record.budget_s:.0f} s; a run takes {start} to its first step. {unchanged.runs} "
        f"were unchanged{apart}."
    )
    yield from _chances([lever for lever in record.levers if lever.p_value is not None], record.together)
    for lever in record.levers:
        kept = lever.kept
        if lever.name not in record.recommended and (kept.environment or kept.diff or kept.lines or kept.note):
            yield Line(f"{lever.name}: {lever.changes}")
            for name, value in kept.environment.items():
                yield Detail(f"{name}={shlex.quote(value)}")
            yield from _code(lever)


def _chances(levers: Sequence[TunedLever], together: Together | None) -> Iterator[Block]:
    named = [(lever.name, lever.p_value) for lever in levers]
    if together is not None and together.p_value is not None:
        named.insert(0, ("all together", together.p_value))
    if named:
        told = ", ".join(f"{name} {p:.2g}" for name, p in named)
        yield Paragraph(f"Chance of such gains from levers that do not save 3 %, all held together: {told}.")
