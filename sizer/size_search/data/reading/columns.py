"""Deciding how each column is read: the one reading that fits every cell, or a refusal by name and line.

Where a column fits two readings, the rest of the table decides, since one hand writes one way; where it does not, a
feature gets the likelier one, which is said, and a target is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from sizer.base.errors import DataError
from sizer.size_search.data.reading.cells import Cells
from sizer.size_search.data.reading.dates import ORDER_NAMES, ORDERS, read_clock, read_date
from sizer.size_search.data.reading.dialect import WORDS, is_marker
from sizer.size_search.data.reading.numbers import (
    MARKS,
    NumberForm,
    TakenApart,
    as_value,
    normalise,
    take_apart,
    unit_kind,
)
from sizer.size_search.data.reading.rules import (
    BOOLEAN,
    BOOLEANS,
    CLOCK,
    DATE,
    NUMBER,
    TEXT,
    ColumnRule,
    Reading,
    ReadingOptions,
    ReadingRules,
    apply_rules,
    as_number,
    strange_words,
)
from sizer.size_search.data.table import Table

if TYPE_CHECKING:
    import pandas as pd


#: A column is numbers or dates when at least this share of its cells is; words among them count as missing.
MOSTLY = 0.95
#: A word for a missing value that this share of the rows has is a category of its own.
_OWN_CLASS = 0.05
#: A target of words and so few whole numbers is one of classes.
_FEW = 20
_LISTED = 4


class Decided(NamedTuple):
    """The rules of all columns, and sentences on them."""

    rules: tuple[ColumnRule, ...]
    remarks: tuple[str, ...]


@dataclass
class _Column:
    """A column on its way to a rule: its different cells with their counts, and what is open.

    ``fitting`` are positions in `MARKS` (numbers) or `ORDERS` (dates) that fit every cell; ``example`` is a cell that
    they read differently, None where they all read alike. ``evidence`` is the decimal mark or order that only this
    column's own cells leave. ``shown`` is a cell that shows how the column is written. ``chosen`` are the forms left of
    several, ``is_guessed`` where nothing but likelihood decided.
    """

    cells: Cells
    position: int
    is_target: bool
    counts: dict[str, int]
    kind: str = TEXT
    fitting: tuple[int, ...] = ()
    example: str | None = None
    evidence: str | None = None
    affix: str = ""
    words: list[str] = field(default_factory=list)
    shown: str = ""
    chosen: tuple[int, ...] = ()
    is_guessed: bool = False

    @property
    def name(self) -> str:
        return self.cells.names[self.position]

    def where(self, cell: str) -> str:
        return self.cells.where(self.position, cell)

    @property
    def title(self) -> str:
        return f"{'target' if self.is_target else 'column'} {self.name!r}"

    def refuse(self, usual: str, other: str, why: str) -> NoReturn:
        raise DataError(
            f"{self.cells.name}: {self.title} holds {usual[:40]!r} ({self.where(usual)}) and {other[:40]!r} "
            f"({self.where(other)}): {why}; write all its cells alike"
        )


def decide(cells: Cells, options: ReadingOptions, targets: Collection[str] = ()) -> Decided:
    """How every column is read. Raises DataError for a column that mixes readings, and for an ambiguous target."""
    columns = [
        _examined(cells, position, options, cells.names[position] in targets) for position in range(len(cells.names))
    ]
    remarks: list[str] = []
    marks = {column.evidence for column in columns if column.kind == NUMBER and column.evidence}
    orders = {column.evidence for column in columns if column.kind == DATE and column.evidence}
    mark = options.decimal or (next(iter(marks)) if len(marks) == 1 else None)
    order = next(iter(orders)) if len(orders) == 1 else None
    rules = [_rule(column, options, mark, order, remarks) for column in columns]
    return Decided(tuple(rules), (*_said_of_numbers(columns, rules), *_said_of_clocks(columns), *remarks))


def _examined(cells: Cells, position: int, options: ReadingOptions, is_target: bool) -> _Column:
    """What a column's cells are, by themselves."""
    column = _Column(cells, position, is_target, {})
    if _is_plain(column, options):
        return column
    column.counts = _counts(cells.columns[position])
    known = [cell for cell in column.counts if not is_marker(cell) and cell not in options.missing]
    if known and all(cell in BOOLEANS for cell in known):
        column.kind = BOOLEAN
    elif known:
        for examine in (_examine_numbers, _examine_dates, _examine_clocks):
            if examine(column, known, options):
                break
        else:
            _check_one_kind(column, known)
    return column


def _counts(array: Any) -> dict[str, int]:
    import pyarrow.compute as pc

    counted = pc.value_counts(array)
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _is_plain(column: _Column, options: ReadingOptions) -> bool:
    """Fill in a column that is numbers with a decimal point, at Arrow's speed; whether it is that."""
    import pyarrow.compute as pc

    array = column.cells.columns[column.position]

    def some(pattern: str) -> bool:
        return bool(pc.any(pc.match_substring_regex(array, pattern)).as_py())

    is_plain = pc.all(
        pc.or_(pc.equal(array, ""), pc.match_substring_regex(array, r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"))
    )
    if options.missing or options.decimal == "," or not is_plain.as_py() or not some("[0-9]"):
        return False
    if not some(r"\."):
        column.kind, column.fitting = NUMBER, tuple(range(len(MARKS)))
        return True
    if not some(r"^-?(0[0-9]*|[0-9]{4,})\.|\.[0-9]{1,2}$|\.[0-9]{4,}|\..*[eE]|^-?[0-9]{4,}$"):
        return False  # (every fraction has three digits)
    column.kind, column.fitting, column.evidence = NUMBER, (0, 1, 2, 3), "."
    return True


def _share(column: _Column, cells: Iterable[str], known: Iterable[str]) -> float:
    return sum(column.counts[cell] for cell in cells) / sum(column.counts[cell] for cell in known)


def _examine_numbers(column: _Column, known: Sequence[str], options: ReadingOptions) -> bool:
    """Fill in what the column is as numbers; False where it is none. Raises DataError for a mixture."""
    taken = {cell: number for cell in known if (number := take_apart(cell)) is not None}
    if not taken or _share(column, taken, known) < MOSTLY:
        return False
    affix = _one_affix(column, taken)
    if affix is None or _are_classes(column, taken, known):
        return False
    fitting = tuple(
        form for form in range(len(MARKS)) if all(number.values[form] is not None for number in taken.values())
    )
    if options.decimal is not None:
        fitting = tuple(form for form in fitting if MARKS[form][0] == options.decimal)
    if not fitting:
        _refuse_marks(column, taken, options)
    column.kind, column.affix = NUMBER, affix
    column.fitting = _consistent(taken, fitting)
    column.example = _read_differently(taken, column.fitting)
    decimals = {MARKS[form][0] for form in column.fitting}
    column.evidence = next(iter(decimals)) if len(decimals) == 1 else None
    column.shown = _telling(taken, column.fitting)
    _take_words(column, known, taken, "number")
    return True


def _one_affix(column: _Column, taken: dict[str, TakenApart]) -> str | None:
    """The affix that every number has; None where they differ as codes do. Raises DataError where they are mixed."""
    counts: Counter[str] = Counter()
    for cell, number in taken.items():
        counts[number.affix] += column.counts[cell]
    (usual, most), *others = counts.most_common()
    if not others:
        return usual
    kinds = {unit_kind(affix) for affix in counts if affix}
    first, other = (
        next(cell for cell, number in taken.items() if number.affix == affix) for affix in (usual, others[0][0])
    )
    if (None not in kinds and len(kinds) == 1) or most / counts.total() >= MOSTLY:
        column.refuse(first, other, f"{usual or 'no unit'} and {others[0][0] or 'no unit'} in one column")
    return None


def _are_classes(column: _Column, taken: dict[str, TakenApart], known: Sequence[str]) -> bool:
    """Whether a target of numbers and words is one of classes: its numbers are few and whole."""
    is_mixed = column.is_target and len(taken) < len(known)
    return is_mixed and len(taken) <= _FEW and all(cell.isdecimal() for cell in taken)


def _refuse_marks(column: _Column, taken: dict[str, TakenApart], options: ReadingOptions) -> NoReturn:
    """Raise for numbers that no one form fits: name a cell of the usual one and one that is written otherwise."""
    forms = [form for form in range(len(MARKS)) if options.decimal in (None, MARKS[form][0])]
    fits = {form: [cell for cell, number in taken.items() if number.values[form] is not None] for form in forms}
    best = max(forms, key=lambda form: sum(column.counts[cell] for cell in fits[form]))
    other = next(cell for cell in taken if cell not in set(fits[best]))
    decimal, _ = MARKS[best]
    named = "decimal commas" if decimal == "," else "decimal points"
    if not fits[best]:
        raise DataError(
            f"{column.cells.name}: {column.title} holds {other[:40]!r} ({column.where(other)}), which has no {named}, as "
            f"--decimal {decimal} says; leave that out or name the other mark"
        )
    usual = next((cell for cell in fits[best] if _is_marked(cell)), fits[best][0])
    column.refuse(usual, other, f"no one decimal and grouping mark fits both (most have {named})")


def _is_marked(cell: str) -> bool:
    return any(mark in normalise(cell) for mark in ".,' _")


def _consistent(taken: dict[str, TakenApart], fitting: tuple[int, ...]) -> tuple[int, ...]:
    """The forms that fit, without those that group the digits of some numbers and not of others as long."""
    kept = []
    for form in fitting:
        grouping = MARKS[form][1]
        long = [grouping in normalise(cell) for cell, number in taken.items() if _whole_digits(number.values[form]) > 3]
        if all(long) or not any(long):
            kept.append(form)
    return tuple(kept) or fitting


def _whole_digits(value: str | None) -> int:
    return len((value or "").lstrip("-").partition("e")[0].partition(".")[0])


def _read_differently(taken: dict[str, TakenApart], fitting: tuple[int, ...]) -> str | None:
    """A cell that the forms read as different numbers, None where all read alike."""
    if len(fitting) == 1:
        return None
    return next(
        (cell for cell, number in taken.items() if len({as_value(number.values[form] or "") for form in fitting}) > 1),
        None,
    )


def _telling(taken: dict[str, TakenApart], fitting: tuple[int, ...]) -> str:
    """The cell that shows most of how the column is written."""
    return max(taken, key=lambda cell: (sum(mark in normalise(cell) for mark in ".,' _"), len(cell) < 24, len(cell)))


def _take_words(column: _Column, known: Sequence[str], read: Collection[str], what: str) -> None:
    """Cells that are no numbers or dates: words count as missing, in a feature; others are a mixture."""
    for cell in known:
        if cell in read:
            continue
        usual = next(iter(read))
        if column.is_target or any(c.isdigit() for c in cell):
            column.refuse(usual, cell, f"the second is no {what}")
        column.words.append(cell)


def _examine_dates(column: _Column, known: Sequence[str], options: ReadingOptions) -> bool:  # noqa: ARG001
    """Fill in what the column is as dates; False where it is none. Raises DataError for a mixture of orders."""
    stamps = {cell: stamp.seconds for cell in known if (stamp := read_date(cell)) is not None}
    if not stamps or _share(column, stamps, known) < MOSTLY:
        return False
    fits = {
        order: [cell for cell, seconds in stamps.items() if seconds[order] is not None] for order in range(len(ORDERS))
    }
    column.fitting = tuple(order for order, cells in fits.items() if len(cells) == len(stamps))
    if not column.fitting:
        best = max(fits, key=lambda order: sum(column.counts[cell] for cell in fits[order]))
        other = next(cell for cell in stamps if cell not in set(fits[best]))
        column.refuse(
            fits[best][0],
            other,
            f"no one order of day, month and year fits both (most are {ORDER_NAMES[ORDERS[best]]})",
        )
    column.kind = DATE
    column.example = next((c for c, s in stamps.items() if len({s[order] for order in column.fitting}) > 1), None)
    is_told = len(column.fitting) == 1
    column.evidence = ORDERS[column.fitting[0]] if is_told and ORDERS[column.fitting[0]] != "ymd" else None
    column.shown = next((c for c, s in stamps.items() if len({v for v in s if v is not None}) == 1), next(iter(stamps)))
    _take_words(column, known, stamps, "date")
    return True


def _examine_clocks(column: _Column, known: Sequence[str], options: ReadingOptions) -> bool:  # noqa: ARG001
    """Fill in what the column is as times of day; False where it is none."""
    clocks = [cell for cell in known if read_clock(cell) is not None]
    if not clocks or _share(column, clocks, known) < MOSTLY:
        return False
    column.kind, column.shown = CLOCK, clocks[0]
    _take_words(column, known, clocks, "time of day")
    return True


def _check_one_kind(column: _Column, known: Sequence[str]) -> None:
    """Raise for a column that is numbers in some rows and dates in others."""
    readers: tuple[Callable[[str], object], ...] = (take_apart, read_date, read_clock)
    read = [[cell for cell in known if reader(cell) is not None] for reader in readers]
    present = [cells for cells in read if cells]
    if len(present) > 1 and _share(column, {cell for cells in present for cell in cells}, known) >= MOSTLY:
        first, second = sorted(present, key=lambda cells: -_share(column, cells, known))[:2]
        column.refuse(first[0], second[0], "numbers and dates in one column")


def _rule(
    column: _Column, options: ReadingOptions, mark: str | None, order: str | None, remarks: list[str]
) -> ColumnRule:
    """A column's rule, with what is to be said of it."""
    missing = tuple(dict.fromkeys((*options.missing, *column.words)))
    rule = ColumnRule(column.name, column.kind, None, None, missing)
    if column.words:
        cell, count = column.words[0], sum(column.counts[word] for word in column.words)
        kinds = {NUMBER: "numbers", DATE: "dates"}.get(column.kind, "times of day")
        remarks.append(
            f"{column.name!r} holds {count} values that are no {kinds}, such as {cell[:40]!r} ({column.where(cell)}): taken "
            f"as missing"
        )
    if column.kind == TEXT:
        return rule._replace(missing=tuple(dict.fromkeys((*missing, *_missing_words(column, options, remarks)))))
    if column.is_target:
        _say_without_target(column, remarks)
    if column.kind == NUMBER:
        return rule._replace(form=_form(column, mark))
    return rule._replace(order=_order(column, order, remarks)) if column.kind == DATE else rule


def _say_without_target(column: _Column, remarks: list[str]) -> None:
    marked = {cell: count for cell, count in column.counts.items() if cell and is_marker(cell)}
    for cell, count in marked.items():
        remarks.append(
            f"target {column.name!r} is {cell!r} in {count:,} rows (first in {column.where(cell)}): left out"
        )


def _missing_words(column: _Column, options: ReadingOptions, remarks: list[str]) -> list[str]:
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
                f"{column.title} is {cell!r} in {count:,} rows: kept as a {what} of its own; --missing {cell} says that it "
                f"is none"
            )
        else:
            missing.append(cell)
            if column.is_target:
                remarks.append(f"target {column.name!r} is {cell!r} in {count:,} rows ({column.where(cell)}): left out")
    return missing


def _form(column: _Column, mark: str | None) -> NumberForm:
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


def _refuse_ambiguous(column: _Column) -> NoReturn:
    assert column.example is not None
    read = {_read_as(column, form) for form in column.fitting}
    raise DataError(
        f"{column.cells.name}: {column.title} can be read in two ways: {column.example[:40]!r} ({column.where(column.example)}) "
        f"is {' or '.join(sorted(read, key=float))}; say which mark starts the fraction: --decimal . or --decimal ,"
    )


def _read_as(column: _Column, form: int) -> str:
    taken = take_apart(column.example or "")
    return _plainly((taken and taken.values[form]) or "nan")


def _likelier(column: _Column) -> tuple[int, ...]:
    """Forms of a feature that nothing decides: a decimal point; of commas, decimal ones between semicolons."""
    prefers = "," if column.cells.delimiter == ";" and "." not in (column.example or "") else "."
    return tuple(form for form in column.fitting if MARKS[form][0] == prefers) or column.fitting[:1]


def _order(column: _Column, order: str | None, remarks: list[str]) -> str:
    """The order of a column's dates; where several fit, that of the other columns, of ascending rows, or the likelier."""
    fitting = [ORDERS[position] for position in column.fitting]
    if column.example is None:
        if fitting[0] != "ymd":
            remarks.append(
                f"{column.title}: {column.shown!r} is read as {_day_of(column.shown, fitting[0])}: {ORDER_NAMES[fitting[0]]}"
            )
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
    remarks.append(
        f"{column.title}: {column.example!r} is read as {_day_of(column.example, chosen)}, {ORDER_NAMES[chosen]}, {why}, and "
        f"could be {_day_of(column.example, other)}; write dates year first where that is wrong"
    )
    return chosen


def _day_of(cell: str, order: str) -> str:
    from datetime import datetime, timedelta, timezone

    stamp = read_date(cell)
    seconds = None if stamp is None else stamp.seconds[ORDERS.index(order)]
    return (
        "none"
        if seconds is None
        else f"{datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds):%Y-%m-%d}"
    )


def _ascends(column: _Column, order: int) -> bool:
    """Whether the rows are in order of time, forwards or backwards, when dates are read so."""
    stamps = (read_date(cell) for cell in column.cells.columns[column.position].to_pylist())
    known = [stamp.seconds[order] or 0.0 for stamp in stamps if stamp is not None]
    pairs = list(zip(known, known[1:], strict=False))
    return all(before <= after for before, after in pairs) or all(before >= after for before, after in pairs)


def _said_of_numbers(columns: Sequence[_Column], rules: Sequence[ColumnRule]) -> list[str]:
    """A sentence for each way of writing numbers that is not the plain one, with a cell as an example."""
    alike: dict[tuple[Any, ...], list[_Column]] = {}
    for column, rule in zip(columns, rules, strict=True):
        form = rule.form
        if form is not None and column.shown and (form.decimal == "," or form.grouping or form.affix or column.chosen):
            alike.setdefault((form, bool(column.chosen), column.is_guessed), []).append(column)
    return [_said_of_alike(form, members) for (form, *_), members in alike.items()]


def _said_of_alike(form: NumberForm, members: Sequence[_Column]) -> str:
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


def _said_of_clocks(columns: Sequence[_Column]) -> list[str]:
    clocks = [column for column in columns if column.kind == CLOCK]
    return [f"{column.title}: {column.shown!r} is read as a time of day, in s since midnight" for column in clocks]


def read_by(cells: Cells, reading: Reading, notation: dict[str, Any]) -> tuple[pd.DataFrame, ReadingRules, list[str]]:
    """The table of the cells: by the rules of another one, or by its own, which are decided first."""
    if reading.wanted is not None:
        cells = cells.only([name for name in cells.names if name in reading.wanted])
    if reading.rules is not None:
        known = reading.rules.columns
        named = {rule.name for rule in known}
        decided = decide(cells.only([name for name in cells.names if name not in named]), reading.options)
        frame = apply_rules(cells, (*known, *decided.rules))
        rules = replace(reading.rules, columns=(*known, *decided.rules))
        return frame, rules, [*decided.remarks, *strange_words(cells, known)]
    decided = decide(cells, reading.options, _targets(cells, reading.targets))
    rules = ReadingRules(decided.rules, notation)
    return apply_rules(cells, decided.rules), rules, list(decided.remarks)


def _targets(cells: Cells, asked: Collection[str]) -> set[str]:
    """The names of the targets, of which some may be asked for by their position from the end (-1)."""
    count = len(cells.names)
    positions = [int(name) for name in asked if re.fullmatch("-[0-9]{1,6}", name) and name not in cells.names]
    return {*asked, *(cells.names[position] for position in positions if -count <= position < 0)}


def with_text_read(table: Table, reading: Reading) -> Table:
    """A table with its columns of text read as those of a file are; columns of other types stay as they are."""
    import numpy as np

    frame, typed = _without_missing(table.frame, reading)
    wanted = frame.columns if reading.wanted is None else reading.wanted
    texts = [name for name in frame.columns if name in wanted and _is_text(frame[name])]
    if (not texts and not typed) or not len(frame):
        return replace(table, frame=frame)
    lines = np.arange(1, len(frame) + 1)
    cells = Cells(table.name, tuple(texts), tuple(_as_cells(frame[name]) for name in texts), lines, place="row")
    read, rules, remarks = read_by(cells, reading, {})
    for name in texts:
        frame[name] = read[name].array
    kept = rules if table.rules is None else replace(table.rules, columns=rules.columns)
    if reading.rules is None:
        kept = replace(kept, columns=(*kept.columns, *typed))
    aside = (
        None if table.validation is None else with_text_read(Table(table.name, table.validation), Reading(rules=kept))
    )
    validation = None if aside is None else aside.frame
    return replace(table, frame=frame, rules=kept, validation=validation, remarks=(*table.remarks, *remarks))


def _as_cells(values: pd.Series[Any]) -> Any:
    import pyarrow as pa

    texts = ["" if is_missing else str(value).strip() for value, is_missing in zip(values, values.isna(), strict=True)]
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def _is_text(values: pd.Series[Any]) -> bool:
    import pandas as pd

    is_categorical = isinstance(values.dtype, pd.CategoricalDtype)
    if is_categorical or not (values.dtype == object or isinstance(values.dtype, pd.StringDtype)):
        return False
    known = values.dropna()
    return len(known) > 0 and bool(known.map(lambda value: isinstance(value, str)).all())


def _without_missing(frame: pd.DataFrame, reading: Reading) -> tuple[pd.DataFrame, list[ColumnRule]]:
    """A copy of a frame in which the numbers that stand for missing are, and rules that say so."""
    import pandas as pd

    copy: pd.DataFrame = frame.copy(deep=False)
    rules = []
    for name in copy.columns:
        words = _missing_in(name, reading)
        if not words or not pd.api.types.is_numeric_dtype(copy[name]) or pd.api.types.is_bool_dtype(copy[name]):
            continue
        values = copy[name].astype("Int64") if pd.api.types.is_integer_dtype(copy[name]) else copy[name]
        numbers = [number for number in map(as_number, words) if number is not None]
        copy[name] = values.mask(values.isin(numbers)) if values.isin(numbers).any() else copy[name]
        rules.append(ColumnRule(name, NUMBER, NumberForm(".", ""), None, words))
    return copy, rules


def _missing_in(name: str, reading: Reading) -> tuple[str, ...]:
    if reading.rules is None:
        return reading.options.missing
    rule = reading.rules.of(name)
    return () if rule is None else rule.missing
