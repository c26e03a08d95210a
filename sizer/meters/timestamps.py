"""Timestamps as power logs write them: epoch numbers, ISO-8601, dates of any order, clocks of 12 or 24 hours.

A timestamp is taken apart here; which of its numbers is the day, and whose time it is, is decided for the whole log in
`sizer.meters.local_times`.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

_NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?")
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+)|:(?P<milli>\d{3}))?)?"
    r"(?:\s*(?P<half>[AaPp])\.?\s?[Mm]\b\.?)?"
)
_ZONE = (
    r"(?:\s*(?P<zone>(?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})?|[A-Za-z]{3,14}(?:/[A-Za-z_]+){1,2}|[A-Za-z]{3,5}|[Zz]))?"
    r"(?:\[[A-Za-z_/]+\])?"
)
_NUMERIC = r"(?P<one>\d{4}|\d{1,2})(?P<mark>[-/.])\s?(?P<two>\d{1,2})(?P=mark)\s?(?P<three>\d{4}|\d{1,2})"
_DAY_MONTH = r"(?P<day>\d{1,2})[-\s./]*(?P<month>[^\W\d_]{3,9})\.?[-\s./,]*(?P<year>\d{4}|\d{2})"
_MONTH_DAY = r"(?P<month>[^\W\d_]{3,9})\.?\s+(?P<day>\d{1,2}),?\s+(?P<year>\d{4})"
_WEEKDAY = r"(?:[^\W\d_]{2,10}\.?,?\s+)?"
_BETWEEN = r"(?:\s*[T,_:]\s*|\s+-?\s*|-)"
_DATES = (_NUMERIC, _DAY_MONTH, _MONTH_DAY)
_DATE_ONLY = tuple(re.compile(_WEEKDAY + date) for date in _DATES)
_CLOCK_ONLY = re.compile(_CLOCK + _ZONE)
_FORMS = (
    *(re.compile(_WEEKDAY + date + _BETWEEN + _CLOCK + _ZONE) for date in _DATES),
    # What `date` and ctime write: Thu Mar  6 19:40:00 UTC 2025.
    re.compile(rf"{_WEEKDAY}(?P<month>[A-Za-z]{{3,9}})\s+(?P<day>\d{{1,2}})\s+{_CLOCK}{_ZONE}\s+(?P<year>\d{{4}})"),
    re.compile(rf"{_CLOCK}{_ZONE}[\s,]+{_NUMERIC}"),
    re.compile(
        r"(?P<one>(?:19|20)\d\d)-?(?P<two>[01]\d)-?(?P<three>[0-3]\d)[T _-]?"
        rf"(?P<hour>[0-2]\d):?(?P<minute>[0-5]\d):?(?P<second>[0-5]\d)(?:[.,](?P<fraction>\d+))?{_ZONE}"
    ),
)
#: (first letters, month) in English, German and French, "juil" before "jui".
_MONTHS = sorted(
    (
        (name, 1 + number // 2)
        for number, name in enumerate(
            (
                "jan",
                "jän",
                "feb",
                "fév",
                "mar",
                "mär",
                "apr",
                "avr",
                "may",
                "mai",
                "jun",
                "jui",
                "jul",
                "juil",
                "aug",
                "aoû",
                "sep",
                "sept",
                "oct",
                "okt",
                "nov",
                "nov",
                "dec",
                "dez",
            )
        )
    ),
    reverse=True,
)
# Epoch numbers above these are in milliseconds, microseconds, nanoseconds: as seconds they lie after the year 5000.
_EPOCH_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
YEAR_FIRST, DAY_FIRST, MONTH_FIRST = "year first", "day first", "month first"


class Stamp(NamedTuple):
    """A timestamp as written: an epoch number, or three numbers of a date in an order to be found, clock and zone."""

    epoch_s: float | None = None
    date: tuple[int, int, int] = (0, 0, 0)
    orders: tuple[str, ...] = ()
    clock: timedelta = timedelta()
    zone: str | None = None


def read_stamp(text: str) -> Stamp:
    """A timestamp with its date. Raises ValueError for a text that is none."""
    text = text.strip()
    is_number = _NUMBER.fullmatch(text) is not None
    forms = _FORMS[-1:] if is_number else _FORMS  # a number may be a date whose digits have no sign between them
    matched = next((found for form in forms if (found := form.fullmatch(text))), None)
    if matched is not None:
        return _dated(matched)
    if is_number and math.isfinite(number := float(text.replace(",", "."))):
        return Stamp(next((number / divisor for above, divisor in _EPOCH_UNITS if abs(number) > above), number))
    raise ValueError(f"{text!r} is neither epoch seconds nor a date with a clock time")


def _dated(matched: re.Match[str]) -> Stamp:
    found = matched.groupdict()
    if found.get("month"):
        month = next((number for name, number in _MONTHS if found["month"].lower().startswith(name)), None)
        if month is None:
            raise ValueError(f"{found['month']!r} is no month")
        date = _century(found["year"]), month, int(found["day"])
        return Stamp(None, date, (YEAR_FIRST,), _clock(found), found.get("zone"))
    date, orders = _numeric_date(found["one"], found["two"], found["three"], found.get("mark"))
    return Stamp(None, date, orders, _clock(found), found.get("zone"))


def _numeric_date(one: str, two: str, three: str, mark: str | None) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """The numbers of a date, and the orders that it may be in. Dots stand after days wherever they are used."""
    numbers = _century(one), int(two), int(three)
    if len(one) == 4:
        return numbers, (YEAR_FIRST,)
    last = int(one), int(two), _century(three)
    if len(three) == 4 or mark == ".":
        return last, (DAY_FIRST,) if mark == "." else (DAY_FIRST, MONTH_FIRST)
    return (int(one), int(two), int(three)), (DAY_FIRST, MONTH_FIRST, YEAR_FIRST)


def _century(year: str) -> int:
    return int(year) if len(year) == 4 else 2000 + int(year)


def _clock(found: dict[str, str | None]) -> timedelta:
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    half = found.get("half")
    if minute > 59 or second > 59 or not (0 < hour < 13 if half else hour < 24):
        raise ValueError(f"{hour}:{minute:02d}:{second:02d} is no time of day")
    if half:
        hour = hour % 12 + 12 * (half.lower() == "p")
    fraction = found.get("fraction") or found.get("milli") or "0"
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=round(float(f"0.{fraction}") * 1e6))


def is_date(text: str) -> bool:
    """Whether a cell is a date without a clock time."""
    return any(form.fullmatch(text) for form in _DATE_ONLY) or bool(re.fullmatch(r"20\d\d[01]\d[0-3]\d", text))


def is_clock(text: str) -> bool:
    """Whether a cell is a clock time without a date."""
    return bool(_CLOCK_ONLY.fullmatch(text))


def is_bare_clock(text: str) -> bool:
    """Whether a cell may be a clock time without colons, as in 194000."""
    return bool(re.fullmatch(r"[0-2]\d[0-5]\d[0-5]\d", text))


def utc_text(unix_s: float) -> str:
    """A time for people, in UTC to the second; as a number where no calendar holds it."""
    try:
        return datetime.fromtimestamp(unix_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{unix_s:.6g} s"
