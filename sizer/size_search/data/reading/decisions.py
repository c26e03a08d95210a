"""Deciding how each column is read, from what its cells are by themselves and from the other columns.

Where a column fits two readings, the rest of the table decides, since one hand writes one way; where it does not, a
feature gets the likelier one, which is said, and a target is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

from sizer.base.errors import DataError
from sizer.base.units import counted
from sizer.size_search.data.reading.cells import Cells
from sizer.size_search.data.reading.columns import Column, examined
from sizer.size_search.data.reading.dates import ORDER_NAMES, ORDERS, read_date
from sizer.size_search.data.reading.numbers import MARKS, NumberForm, as_value, normalise, take_apart
from sizer.size_search.data.reading.rows import WORDS, is_marker
from sizer.size_search.data.reading.rules import CLOCK, DATE, NUMBER, TEXT, ColumnRule, ReadingOptions


class Decided(NamedTuple):
    """The rules of all columns, and sentences on them."""

    rules: tuple[ColumnRule, ...]
    remarks: tuple[str, ...]


def decide(cells: Cells, options: ReadingOptions, targets: Collection[str] = ()) -> Decided:
    """How every column is read. Raises DataError for a column that mixes readings, and for an ambiguous target."""
    columns = [
        examined(cells, position, options, cells.names[position] in targets) for position in range(len(cells.names))
    ]
    remarks: list[str] = []
    marks = {column.evidence for column in columns if column.kind == NUMBER and column.evidence}
    orders = {column.evidence for column in columns if column.kind == DATE and column.evidence}
    mark = options.decimal or (next(iter(marks)) if len(marks) == 1 else None)
    order = next(iter(orders)) if len(orders) == 1 else None
    rules = [_rule(column, options, mark, order, remarks) for column in columns]
    return Decided(tuple(rules), (*_said_of_numbers(columns, rules), *_said_of_clocks(columns), *remarks))


#: A word for a missing value that this share of the rows has is a category of its own.
_OWN_CLASS = 0.05


_LISTED = 4


def _rule(
    column: Column, options: ReadingOptions, mark: str | None, order: str | None, remarks: list[str]
) -> ColumnRule:
    """A column's rule, with what is to be said of it."""
    missing = tuple(dict.fromkeys((*options.missing, *column.words)))
    rule = ColumnRule(column.name, column.kind, None, None, missing)
    if column.words:
        cell, count = column.words[0], sum(column.counts[word] for word in column.words)
        kinds = {NUMBER: "numbers", DATE: "dates"}.get(column.kind, "times of day")
        remarks.append(
            f"{column.name!r} holds {count} values that are no {kinds}, such as {cell[:40]!r} ({column.where(cell)}): "
            f"taken as missing"
        )
    if column.kind == TEXT:
        return rule._replace(missing=tuple(dict.fromkeys((*missing, *_missing_words(column, options, remarks)))))
    if column.is_target:
        _say_without_target(column, remarks)
    if column.kind == NUMBER:
        return rule._replace(form=_form(column, mark))
    return rule._replace(order=_order(column, order, remarks)) if column.kind == DATE else rule


def _say_without_target(column: Column, remarks: list[str]) -> None:
    marked = {cell: count for cell, count in column.counts.items() if cell and is_marker(cell)}
    for cell, count in marked.items():
        remarks.append(
            f"target {column.name!r} is {cell!r} in {counted(count, 'row')} (first in {column.where(cell)}): left out"
        )


def _missing_words(column: Column, options: ReadingOptions, remarks: list[str]) -> list[str]:
    """The cells of a text that mean that it is missing; a word that many rows have is a category, which is said."""
    marked = {
        cell: count for cell, count in column.counts.items() if cell and is_marker(cell) and cell not in options.missing
    }
    others = [count for cell, count in column.counts.items() if not is_marker(cell)]
    rows = sum(column.counts.values())
    missing = []
    for cell, count in marked.items():
        is_common = count >= _OWN_CLASS * rows or (column.is_target and others and count >= min(others))
        if is_common and (column.is_target or cell in WORDS):
            what = "class" if column.is_target else "category"
            remarks.append(
                f"{column.title} is {cell!r} in {counted(count, 'row')}: kept as a {what} of its own; --missing {cell} "
                "says that it is none"
            )
        else:
            missing.append(cell)
            if column.is_target:
                remarks.append(
                    f"target {column.name!r} is {cell!r} in {counted(count, 'row')} ({column.where(cell)}): left out"
                )
    return missing


def _form(column: Column, mark: str | None) -> NumberForm:
    """The form of a column's numbers. Raises DataError for a target that fits two."""
    fitting = column.fitting
    if column.example is not None:
        agreeing = tuple(form for form in fitting if MARKS[form][0] == mark)
        if column.is_target and not agreeing:
            _refuse_ambiguous(column)
        column.is_guessed = not agreeing
        fitting = column.chosen = agreeing or _likelier(column)
    elif mark is not None:
        fitting = tuple(form for form in fitting if MARKS[form][0] == mark) or fitting
    decimals = {MARKS[form][0] for form in fitting}
    grouping = MARKS[fitting[0]][1] if column.shown and MARKS[fitting[0]][1] in normalise(column.shown) else ""
    return NumberForm(decimals.pop() if len(decimals) == 1 else "", grouping, column.affix)


def _refuse_ambiguous(column: Column) -> NoReturn:
    assert column.example is not None
    read = " or ".join(sorted({_read_as(column, form) for form in column.fitting}, key=float))
    raise DataError(
        f"{column.cells.name}: {column.title} can be read in two ways: {column.example[:40]!r} "
        f"({column.where(column.example)}) is {read}; say which mark starts the fraction: --decimal . or --decimal ,"
    )


def _read_as(column: Column, form: int) -> str:
    taken = take_apart(column.example or "")
    return _plainly((taken and taken.values[form]) or "nan")


def _likelier(column: Column) -> tuple[int, ...]:
    """Forms of a feature that nothing decides: consistent ones; a decimal point, decimal commas between semicolons."""
    prefers = "," if column.cells.delimiter == ";" and "." not in (column.example or "") else "."
    return tuple(form for form in column.consistent if MARKS[form][0] == prefers) or column.consistent[:1]


def _order(column: Column, order: str | None, remarks: list[str]) -> str:
    """The order of a column's dates; of several that of the other columns, of ascending rows, or the likelier."""
    fitting = [ORDERS[position] for position in column.fitting]
    if column.example is None:
        if fitting[0] != "ymd":
            day = _day_of(column.shown, fitting[0])
            remarks.append(f"{column.title}: {column.shown!r} is read as {day}: {ORDER_NAMES[fitting[0]]}")
        return fitting[0]
    sorted_ones = [candidate for candidate in fitting if _ascends(column, ORDERS.index(candidate))]
    if order in fitting:
        chosen, why = order, "as in the other columns"
    elif len(sorted_ones) == 1:
        chosen, why = sorted_ones[0], "since the rows are in order then"
    else:
        is_american = "m" in column.example.lower() and "/" in column.example and "mdy" in fitting
        chosen = "mdy" if is_american else next(one for one in ("dmy", "mdy", "ymd") if one in fitting)
        why = "the likelier"
    other = next(one for one in fitting if _day_of(column.example, one) != _day_of(column.example, chosen))
    read = f"{_day_of(column.example, chosen)}, {ORDER_NAMES[chosen]}, {why}"
    remarks.append(
        f"{column.title}: {column.example!r} is read as {read}, and could be {_day_of(column.example, other)}; write "
        f"dates year first where that is wrong"
    )
    return chosen


def _day_of(cell: str, order: str) -> str:
    stamp = read_date(cell)
    seconds = None if stamp is None else stamp.seconds[ORDERS.index(order)]
    return (
        "none"
        if seconds is None
        else f"{datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds):%Y-%m-%d}"
    )


def _ascends(column: Column, order: int) -> bool:
    """Whether the rows are in order of time, forwards or backwards, when dates are read so."""
    stamps = (read_date(cell) for cell in column.cells.columns[column.position].to_pylist())
    known = [stamp.seconds[order] or 0.0 for stamp in stamps if stamp is not None]
    pairs = list(pairwise(known))
    return all(before <= after for before, after in pairs) or all(before >= after for before, after in pairs)


def _said_of_numbers(columns: Sequence[Column], rules: Sequence[ColumnRule]) -> list[str]:
    """A sentence for each way of writing numbers that is not the plain one, with a cell as an example."""
    alike: dict[tuple[Any, ...], list[Column]] = {}
    for column, rule in zip(columns, rules, strict=True):
        form = rule.form
        if form is not None and column.shown and (form.decimal == "," or form.grouping or form.affix or column.chosen):
            alike.setdefault((form, bool(column.chosen), column.is_guessed), []).append(column)
    return [_said_of_alike(form, members) for (form, *_), members in alike.items()]


def _said_of_alike(form: NumberForm, members: Sequence[Column]) -> str:
    first = members[0]
    names = ", ".join(repr(column.name) for column in members[:_LISTED])
    more = f" and {len(members) - _LISTED} more" if len(members) > _LISTED else ""
    cell = first.example or first.shown
    said = f"{names}{more}: {cell!r} ({first.where(cell)}) is read as {_value_of(cell, form)}{_spaced(form.affix)}"
    if not first.chosen:
        return said
    own = _read_as(first, first.chosen[0])
    other = next(form for form in first.fitting if _read_as(first, form) != own)
    why = (
        f"the likelier; --decimal {MARKS[other][0]} says the other" if first.is_guessed else "as other columns have it"
    )
    return f"{said}, {why} ({_read_as(first, other)} would fit as well)"


def _spaced(affix: str) -> str:
    return f" {affix}" if affix else ""


def _value_of(cell: str, form: NumberForm) -> str:
    """A cell's value under a form, as text."""
    taken = take_apart(cell)
    assert taken is not None  # (it is one of the column's numbers)
    values = [
        value
        for (decimal, grouping), value in zip(MARKS, taken.values, strict=True)
        if value is not None and form.decimal in ("", decimal) and form.grouping in ("", grouping)
    ]
    return _plainly(values[0])


def _plainly(value: str) -> str:
    """A number without a fraction of nought."""
    number = as_value(value)
    return f"{number:.0f}" if isinstance(number, float) and number.is_integer() and abs(number) < 1e15 else str(number)


def _said_of_clocks(columns: Sequence[Column]) -> list[str]:
    clocks = [column for column in columns if column.kind == CLOCK]
    return [f"{column.title}: {column.shown!r} is read as a time of day, in s since midnight" for column in clocks]
