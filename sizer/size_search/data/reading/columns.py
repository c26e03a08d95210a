"""What the cells of one column are, by themselves: the readings that fit every one, or a refusal by name and line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from sizer.base.errors import DataError
from sizer.size_search.data.reading.cells import Cells
from sizer.size_search.data.reading.dates import ORDER_NAMES, ORDERS, read_clock, read_date
from sizer.size_search.data.reading.numbers import MARKS, TakenApart, as_value, normalise, unit_kind
from sizer.size_search.data.reading.rows import is_marker, number_in
from sizer.size_search.data.reading.rules import (
    BOOLEAN,
    BOOLEANS,
    CLOCK,
    DATE,
    NUMBER,
    TEXT,
    ReadingOptions,
    blanks,
    plain_pattern,
)

if TYPE_CHECKING:
    pass


#: A column is numbers or dates when at least this share of its cells is; words among them count as missing.
MOSTLY = 0.95
#: Or at least this one, where all others are one or two words, which many rows have: someone's mark for missing.
MOSTLY_BUT_FOR_WORDS = 0.5
_WORDS = 2
#: A target of words and so few whole numbers is one of classes.
_FEW = 20


@dataclass
class Column:
    """A column on its way to a rule: its different cells with their counts, and what is open.

    ``fitting`` are positions in `MARKS` (numbers) or `ORDERS` (dates) that fit every cell; ``example`` is a cell that
    they read differently, None where they all read alike. ``evidence`` is the decimal mark or order that only this
    column's own cells leave. ``consistent`` are those of ``fitting`` that group the digits of all long
    numbers or of none. ``shown`` is a cell that shows how the column is written. ``chosen`` are the forms left of
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
    consistent: tuple[int, ...] = ()
    chosen: tuple[int, ...] = ()
    is_guessed: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.cells.names[self.position]

    def where(self, cell: str) -> str:
        """The place of a cell's first row: "line 7"."""
        return self.cells.where(self.position, cell)

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{'target' if self.is_target else 'column'} {self.name!r}"

    def refuse(self, usual: str, other: str, why: str) -> NoReturn:
        """Raise for a column in which a second cell is not read as the first is."""
        raise DataError(
            f"{self.cells.name}: {self.title} holds {usual[:40]!r} ({self.where(usual)}) and {other[:40]!r} "
            f"({self.where(other)}): {why}; write all its cells alike"
        )


def examined(cells: Cells, position: int, options: ReadingOptions, is_target: bool) -> Column:
    """What a column's cells are, by themselves."""
    column = Column(cells, position, is_target, {})
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


def _is_plain(column: Column, options: ReadingOptions) -> bool:
    """Fill in a column that is numbers without marks but a decimal one, at Arrow's speed; whether it is that."""
    import pyarrow.compute as pc

    array = column.cells.columns[column.position]
    is_blank = blanks(array)
    known = array.filter(pc.invert(is_blank))
    if options.missing or not len(known):
        return False
    for decimal in (".", ",") if options.decimal is None else (options.decimal,):
        if pc.all(pc.match_substring_regex(known, plain_pattern(decimal))).as_py():
            column.counts = _counts(array.filter(is_blank))
            return _fill_in_plain(column, known, decimal)
    return False


def _fill_in_plain(column: Column, known: Any, decimal: str) -> bool:
    """Fill in a column whose known cells are plain numbers; False where their fractions may be groups of digits."""
    import pyarrow.compute as pc

    has_mark = pc.match_substring(known, decimal)
    if not pc.any(has_mark).as_py():
        column.kind, column.fitting = NUMBER, tuple(range(len(MARKS)))
        return True
    mark = re.escape(decimal)
    telling = rf"^-?(0[0-9]*|[0-9]{{4,}}){mark}|{mark}[0-9]{{1,2}}$|{mark}[0-9]{{4,}}|{mark}.*[eE]"
    if not pc.any(pc.match_substring_regex(known, telling)).as_py():
        return False  # (every fraction has three digits)
    column.kind, column.evidence = NUMBER, decimal
    column.fitting = tuple(form for form, marks in enumerate(MARKS) if marks[0] == decimal)
    column.shown = known[pc.index(has_mark, True).as_py()].as_py()
    return True


def _share(column: Column, cells: Iterable[str], known: Iterable[str]) -> float:
    return sum(column.counts[cell] for cell in cells) / sum(column.counts[cell] for cell in known)


def _is_mostly(column: Column, read: Collection[str], known: Collection[str]) -> bool:
    """Whether a column is what these of its cells are: nearly all, or most of many but for a word or two."""
    others = [cell for cell in known if cell not in set(read)] if len(known) <= len(read) + _WORDS else []
    are_words = bool(others) and len(read) > _FEW and not any(c.isdigit() for cell in others for c in cell)
    return bool(read) and _share(column, read, known) >= (MOSTLY_BUT_FOR_WORDS if are_words else MOSTLY)


def _examine_numbers(column: Column, known: Sequence[str], options: ReadingOptions) -> bool:
    """Fill in what the column is as numbers; False where it is none. Raises DataError for a mixture."""
    taken = {cell: number for cell in known if (number := number_in(cell)) is not None}
    if not _is_mostly(column, taken, known):
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
    column.fitting, column.consistent = fitting, _consistent(taken, fitting)
    column.example = _read_differently(taken, column.fitting)
    decimals = {MARKS[form][0] for form in column.fitting}
    column.evidence = next(iter(decimals)) if len(decimals) == 1 else None
    column.shown = _telling(taken)
    _take_words(column, known, taken, "number")
    return True


def _one_affix(column: Column, taken: dict[str, TakenApart]) -> str | None:
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


def _are_classes(column: Column, taken: dict[str, TakenApart], known: Sequence[str]) -> bool:
    """Whether a target of numbers and words is one of classes: its numbers are few and whole."""
    is_mixed = column.is_target and len(taken) < len(known)
    return is_mixed and len(taken) <= _FEW and all(cell.isdecimal() for cell in taken)


def _refuse_marks(column: Column, taken: dict[str, TakenApart], options: ReadingOptions) -> NoReturn:
    """Raise for numbers that no one form fits: name a cell of the usual one and one that is written otherwise."""
    forms = [form for form in range(len(MARKS)) if options.decimal in (None, MARKS[form][0])]
    fits = {form: [cell for cell, number in taken.items() if number.values[form] is not None] for form in forms}
    best = max(forms, key=lambda form: sum(column.counts[cell] for cell in fits[form]))
    other = next(cell for cell in taken if cell not in set(fits[best]))
    decimal, _ = MARKS[best]
    named = "decimal commas" if decimal == "," else "decimal points"
    if not fits[best]:
        raise DataError(
            f"{column.cells.name}: {column.title} holds {other[:40]!r} ({column.where(other)}), which has no {named}, "
            f"as --decimal {decimal} says; leave that out or name the other mark"
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


def _telling(taken: dict[str, TakenApart]) -> str:
    """The cell that shows most of how the column is written."""
    return max(taken, key=lambda cell: (sum(mark in normalise(cell) for mark in ".,' _"), len(cell) < 24, len(cell)))


def _take_words(column: Column, known: Sequence[str], read: Collection[str], what: str) -> None:
    """Cells that are no numbers or dates: words count as missing, in a feature; others are a mixture."""
    for cell in known:
        if cell in read:
            continue
        usual = next(iter(read))
        is_word = not any(c.isdigit() for c in cell)
        if column.is_target or not is_word:
            way = f" (--missing {cell} says that it is none)" if is_word else ""
            column.refuse(usual, cell, f"the second is no {what}{way}")
        column.words.append(cell)


def _examine_dates(column: Column, known: Sequence[str], options: ReadingOptions) -> bool:  # noqa: ARG001
    """Fill in what the column is as dates; False where it is none. Raises DataError for a mixture of orders."""
    stamps = {cell: stamp.seconds for cell in known if (stamp := read_date(cell)) is not None}
    if not _is_mostly(column, stamps, known):
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


def _examine_clocks(column: Column, known: Sequence[str], options: ReadingOptions) -> bool:  # noqa: ARG001
    """Fill in what the column is as times of day; False where it is none."""
    clocks = [cell for cell in known if read_clock(cell) is not None]
    if not _is_mostly(column, clocks, known):
        return False
    column.kind, column.shown = CLOCK, clocks[0]
    _take_words(column, known, clocks, "time of day")
    return True


def _check_one_kind(column: Column, known: Sequence[str]) -> None:
    """Raise for a column that is numbers in some rows and dates in others."""
    readers: tuple[Callable[[str], object], ...] = (number_in, read_date, read_clock)
    read = [[cell for cell in known if reader(cell) is not None] for reader in readers]
    present = [cells for cells in read if cells]
    if len(present) > 1 and _share(column, {cell for cells in present for cell in cells}, known) >= MOSTLY:
        first, second = sorted(present, key=lambda cells: -_share(column, cells, known))[:2]
        column.refuse(first[0], second[0], "numbers and dates in one column")
