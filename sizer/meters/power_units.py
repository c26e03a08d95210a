"""Units of power in a log's header or cells, and numbers with the decimal mark that every cell of a column fits. Pure.

A unit is used where it is written, never guessed: energy (kWh), apparent power (VA) and per cents are told apart from
power, so that a column of them is refused by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from sizer.base.errors import MeterError, UsageError

POWER = "power"
ENERGY = "energy"
APPARENT = "apparent power"
REACTIVE = "reactive power"
OTHER = "another quantity"


class Unit(NamedTuple):
    """A unit, what it measures, and how many W one of it is (0 where it is none of power)."""

    name: str
    kind: str
    watts: float = 0.0


WATT = Unit("W", POWER, 1.0)
_POWERS = (
    WATT,
    Unit("kW", POWER, 1e3),
    Unit("MW", POWER, 1e6),
    Unit("mW", POWER, 1e-3),
    Unit("uW", POWER, 1e-6),
)
_LONG = (("", ""), ("kilo", "k"), ("mega", "M"), ("milli", "m"), ("micro", "u"))
_OTHERS = (
    "A",
    "mA",
    "kA",
    "V",
    "mV",
    "kV",
    "Hz",
    "%",
    "C",
    "F",
    "K",
    "°C",
    "°F",
    "s",
    "ms",
    "min",
    "h",
    "rpm",
    "RPM",
    "dBm",
    "lx",
    "ppm",
)
#: Exact spelling -> unit. In small letters ``mw`` is milliwatts, as loggers write it; ``MW`` alone is megawatts.
_UNITS: dict[str, Unit] = {
    **{unit.name: unit for unit in _POWERS},
    "w": WATT,
    "kw": _POWERS[1],
    "KW": _POWERS[1],
    "mw": _POWERS[3],
    "µW": _POWERS[4],
    "μW": _POWERS[4],
    **{f"{p}Wh": Unit(f"{p}Wh", ENERGY) for p in ("", "k", "m", "M", "G")},
    **{name: Unit("Wh", ENERGY) for name in ("wh", "WH")},
    **{name: Unit("kWh", ENERGY) for name in ("kwh", "KWH", "KWh", "kWH")},
    **{name: Unit(name, ENERGY) for name in ("J", "kJ", "MJ", "mJ", "uJ", "µJ", "Ws", "kWs", "BTU")},
    **{name: Unit("VA", APPARENT) for name in ("VA", "va")},
    **{name: Unit("kVA", APPARENT) for name in ("kVA", "KVA", "kva")},
    **{name: Unit("var", REACTIVE) for name in ("var", "VAr", "VAR", "Var", "kvar", "kVAr", "kVAR")},
    **{name: Unit(name, OTHER) for name in _OTHERS},
}
_WORDS: dict[str, Unit] = {
    **{
        f"{word}{stem}{end}": _UNITS[f"{prefix}W"]
        for word, prefix in _LONG
        for stem in ("watt", "vatio", "vatt")
        for end in ("", "s")
    },
    **{f"{word}watthour{end}": Unit(f"{prefix}Wh", ENERGY) for word, prefix in _LONG for end in ("", "s")},
    **{f"{word}joule{end}": Unit(f"{prefix}J", ENERGY) for word, prefix in _LONG for end in ("", "s")},
    **dict.fromkeys(("voltampere", "voltamperes", "voltamps", "voltamp"), Unit("VA", APPARENT)),
    **dict.fromkeys(("percent", "percents", "pct", "prozent"), Unit("%", OTHER)),
}
#: Units that a name may end in without brackets ("power_w", "Pwr.kW"); other single letters are words of their own.
_SUFFIXES = {name for name, unit in _UNITS.items() if unit.kind != OTHER and name not in ("J",)} | {"%"}
#: What loggers write for a sample that they do not have.
MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "-", "--", "?"))
POWER_UNIT_NAMES = tuple(unit.name for unit in _POWERS)


def unit_named(text: str) -> Unit | None:
    """The unit that a text is, as in ``[kW]`` or ``Watts.``; None where it is none."""
    bare = text.strip().strip("[](){}").strip().removesuffix(".")
    word = re.sub(r"[\s_-]+", "", bare.lower())
    return _UNITS.get(bare) or _WORDS.get(word)


def stated_unit(text: str | None) -> Unit | None:
    """The unit of power that a user states. Raises UsageError for any other text."""
    if text is None:
        return None
    unit = unit_named(text)
    if unit is None or unit.kind != POWER:
        raise UsageError(f"--log-unit {text!r} is no unit of power; expected one of {', '.join(POWER_UNIT_NAMES)}")
    return unit


def units_in(header: str) -> tuple[Unit, ...]:
    """The different units that a column's name states: in brackets, as its last word, or as words such as watts."""
    bracketed = [unit_named(text) for text in re.findall(r"[\[({]([^\])}]*)[\])}]", header)]
    bare = re.sub(r"[\[({][^\])}]*[\])}]", " ", header)
    words = [word for word in re.split(r"[^\w%°]+|_", bare) if word]
    found = [unit for unit in bracketed if unit is not None]
    found += [unit for one, two in pairwise(words) if (unit := _WORDS.get(f"{one}{two}".lower()))]
    hours = bool(re.search(r"watt[\s_-]*hours?|W\s*[/*.·-]?\s*h\b|W\s*/\s*\w", bare, re.IGNORECASE))
    if re.search(r"(?:\d[.,]\d+|[x×*]\s*\d+)\s*[kmMuµ]?W(?:atts?)?\b", bare):
        found.append(Unit("a multiple of W", OTHER))
    for word in words:
        unit = _UNITS.get(word) if word in _SUFFIXES else _WORDS.get(word.lower())
        if unit is not None and not (hours and unit.kind == POWER):
            found.append(_unless_shouted(unit, word, header))
    return tuple(dict.fromkeys(found))


def _unless_shouted(unit: Unit, word: str, header: str) -> Unit:
    """MW in a name all of capitals may be mW: no unit that can be used."""
    return Unit("MW or mW", OTHER) if word == "MW" and header.upper() == header else unit


_SPACES = r"'’\s\u00a0\u2009\u202f"
_CELL = re.compile(rf"(?P<number>[+-]?[\d.,{_SPACES}]*\d[.,]?(?:[eE][+-]?\d+)?)\s*(?P<unit>[A-Za-z%µμ°][\w%/° -]*\.?)?")


class Cell(NamedTuple):
    """A cell's number as written, and the text of the unit behind it."""

    number: str
    unit: str | None


def split_cell(text: str) -> Cell | None:
    """A number and its unit; None for any other text, a missing sample among them."""
    matched = _CELL.fullmatch(text.strip())
    return None if matched is None else Cell(matched["number"].strip(), matched["unit"])


_GROUPED = {
    mark: re.compile(rf"[+-]?(?:\d+|\d{{1,3}}(?:[{other}{_SPACES}]\d{{3}})+)?(?:[{mark}]\d*)?(?:[eE][+-]?\d+)?")
    for mark, other in ((".", ","), (",", "."))
}
_DIGIT = re.compile(r"\d")
_GROUPS = re.compile(rf"[{_SPACES}]")


def number(text: str, mark: str) -> float | None:
    """A number with this decimal mark and any grouping; None where it does not fit."""
    if not _GROUPED[mark].fullmatch(text) or not _DIGIT.search(text):
        return None
    other = "," if mark == "." else "."
    if text.lstrip("+-").startswith("0") and mark not in text and other in text:
        return None  # no group follows a leading 0
    return float(_GROUPS.sub("", text).replace(other, "").replace(mark, "."))


def decimal_marks(texts: Iterable[str]) -> tuple[str, ...]:
    """The decimal marks that all of these numbers fit: one that decides, both where they are read alike, or none.

    Two marks that read some number differently are both named, the dot first: `differing` finds the number.
    """
    seen = list(dict.fromkeys(texts))
    return tuple(mark for mark in ".," if all(number(text, mark) is not None for text in seen))


def differing(texts: Sequence[str]) -> str | None:
    """The first number that a decimal dot and a decimal comma read differently."""
    return next((text for text in texts if number(text, ".") != number(text, ",")), None)


class Powers(NamedTuple):
    """W of each cell, None for one that holds no power; the unit and the decimal mark that they were read with."""

    watts: tuple[float | None, ...]
    unit: str
    mark: str | None


def powers(
    what: str,
    texts: Sequence[tuple[str, str | None]],
    column_unit: Unit | str | None,
    stated: Unit | None,
    marks: str,
) -> Powers:
    """The powers in a column of (cell, unit in the row's own column).

    ``column_unit`` is the unit that its name states, or what is wrong with that; ``stated`` the user's, which decides;
    ``marks`` the decimal marks that the log may use where the cells alone do not tell. Raises MeterError, naming
    ``what``, where the unit or the mark is not sure.
    """
    split = [split_cell(text) for text, _ in texts]
    in_cells = [_unit_of(one, beside) for one, (_, beside) in zip(split, texts, strict=True)]
    unit, unit_text = _column_unit(
        what, column_unit, stated, [u for u, one in zip(in_cells, split, strict=True) if one]
    )
    fitting = [one.number for one in split if one is not None and _fits(one.number)]
    mark = _mark(what, fitting, marks)
    watts = []
    for one, own in zip(split, in_cells, strict=True):
        used = own if own is _UNKNOWN else stated or own or unit
        watts.append(None if one is None or used is None else _watts(one.number, mark or ".", used))
    return Powers(tuple(watts), unit_text, mark)


def _watts(text: str, mark: str, unit: Unit) -> float | None:
    """W; divided where the unit is a part of a W, so that 1234 mW are 1.234 W to the last digit."""
    value = number(text, mark)
    if unit.kind != POWER or value is None or math.isinf(value):
        return None
    return value * unit.watts if unit.watts >= 1 else value / round(1 / unit.watts)


def _fits(text: str) -> bool:
    return any(number(text, mark) is not None for mark in ".,")


#: A cell whose unit is no known one: it is no sample, whatever the column's unit.
_UNKNOWN = Unit("an unknown unit", OTHER)


def _unit_of(cell: Cell | None, beside: str | None) -> Unit | None:
    """The unit in a cell, else the one in the row's unit column; None where neither says one."""
    text = None if cell is None else cell.unit or beside
    return None if text is None else unit_named(text) or _UNKNOWN


def _column_unit(
    what: str, column: Unit | str | None, stated: Unit | None, in_cells: Sequence[Unit | None]
) -> tuple[Unit | None, str]:
    """(the unit of cells without one, its name); (None, names) where each says its own. Raises MeterError otherwise."""
    own = [unit for unit in dict.fromkeys(in_cells) if unit is not None and unit.kind == POWER]
    if stated is not None:
        return stated, f"{stated.name} (as --log-unit says)"
    ask = f"name it with --log-unit ({', '.join(POWER_UNIT_NAMES)})"
    if isinstance(column, str):
        raise MeterError(f"{what} {column}; {ask}")
    if column is not None and column.kind != POWER:
        if column.kind == OTHER:
            raise MeterError(f"the unit of {what} is {column.name}, which is none of power; {ask}")
        raise MeterError(f"{what} is {column.kind} ({column.name}), and power is expected; log watts, or {ask}")
    if column is not None:
        if any(unit != column for unit in own):
            said = ", ".join(unit.name for unit in own)
            raise MeterError(f"{what} names its unit twice: {column.name} for all, {said} in its cells; {ask}")
        return column, column.name
    if not own:
        _refuse_others(what, in_cells, ask)
        raise MeterError(f"the unit of {what} is not known; {ask}")
    if None in in_cells:
        raise MeterError(f"some cells of {what} say {own[0].name} and others no unit; {ask}")
    return None, " and ".join(unit.name for unit in own)


def _refuse_others(what: str, in_cells: Sequence[Unit | None], ask: str) -> None:
    other = next((unit for unit in in_cells if unit is not None and unit is not _UNKNOWN), None)
    if other is not None:
        raise MeterError(f"{what} is {other.kind} ({other.name}), and power is expected; log watts, or {ask}")


def _mark(what: str, numbers: Sequence[str], allowed: str) -> str | None:
    """The decimal mark that fits all numbers, None where they have none. Raises MeterError where that is not sure."""
    marks = decimal_marks(numbers)
    if not marks:
        with_dot = next(text for text in numbers if number(text, ",") is None)
        with_comma = next(text for text in numbers if number(text, ".") is None)
        raise MeterError(f"{what} mixes decimal marks: {with_dot!r} and {with_comma!r}; write them in one way")
    if len(marks) == 1:
        return marks[0]
    unsure = differing(numbers)
    if unsure is None:
        return None
    if len(allowed) != 1:
        raise MeterError(
            f"{what} may have decimal points or commas: {unsure!r} is {number(unsure, '.'):g} or "
            f"{number(unsure, ','):g}; name the mark with --log-decimal"
        )
    return allowed
