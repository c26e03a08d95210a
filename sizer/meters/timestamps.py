"""Timestamps of power logs as Unix seconds: epoch numbers, ISO-8601, dates of any order, clocks of 12 or 24 hours.

A log's dates are read in the one order (day, month or year first) that fits all of them. Where clocks are put back an
hour comes twice: the order of the log tells the second pass, and where it does not, the stretch is named, not guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from typing import NamedTuple

from sizer.base.errors import UsageError

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
#: Digits of a date and a clock time without a sign between them: numbers with fewer are no dates.
_BARE_DIGITS = 14
# Epoch numbers above these are in milliseconds, microseconds, nanoseconds: as seconds they lie after the year 5000.
_EPOCH_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
_UTC_NAMES = ("Z", "UTC", "GMT")
YEAR_FIRST, DAY_FIRST, MONTH_FIRST = "year first", "day first", "month first"


class Stamp(NamedTuple):
    """A timestamp as written: an epoch number, or three numbers of a date in an order to be found, clock and zone."""

    epoch_s: float | None = None
    date: tuple[int, int, int] = (0, 0, 0)
    orders: tuple[str, ...] = ()
    clock: timedelta = timedelta()
    zone: str | None = None


class StampError(ValueError):
    """A timestamp that is none in any order of dates, or that its time zone does not have; ``index`` is its place."""

    def __init__(self, index: int, problem: str) -> None:
        super().__init__(problem)
        self.index = index


class Times(NamedTuple):
    """Unix seconds of a log's timestamps under one order of their dates.

    ``zone`` says whose zone they are of; ``twice`` are the stretches of an hour that comes twice of which the log does
    not tell which pass it is.
    """

    unix_s: tuple[float, ...]
    order: str | None
    zone: str
    twice: tuple[tuple[float, float], ...] = ()


def time_zone_named(name: str | None) -> tzinfo | None:
    """The time zone of that name (``US/Mountain``) or offset (``+02:00``). Raises UsageError for one not known."""
    if name is None:
        return None
    fixed = _offset(name)
    if fixed is not None:
        return fixed
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise UsageError(
            f"unknown time zone {name!r}; expected a name of the tz database such as US/Mountain or Europe/Berlin, or "
            "an offset such as +02:00 (on a system without that database: pip install tzdata)"
        ) from error


def _offset(text: str) -> tzinfo | None:
    """UTC, Z, or an offset from UTC; None for any other text."""
    if text.upper() in _UTC_NAMES:
        return timezone.utc
    matched = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", text, re.IGNORECASE)
    if matched is None or int(matched[2]) > 14:
        return None
    minutes = 60 * int(matched[2]) + int(matched[3] or 0)
    return timezone(timedelta(minutes=-minutes if matched[1] == "-" else minutes))


def read_stamp(text: str) -> Stamp:
    """A timestamp with its date. Raises ValueError for a text that is none."""
    text = text.strip()
    is_number = _NUMBER.fullmatch(text) is not None
    forms = _FORMS if not is_number else _FORMS[-1:] if len(text) >= _BARE_DIGITS else ()
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


def readings(stamps: Sequence[Stamp], zone: tzinfo | None, written_zone: str | None = None) -> list[Times]:
    """The timestamps of a log, in its order, under each order of dates that fits all of them, the likeliest first.

    ``zone`` replaces whatever offset the stamps carry, since loggers write a Z after local times (the published
    BUTTER-E files do); ``written_zone`` is one that the log states for all. A time without any is taken as this
    machine's local time. Of several orders those that make the log longer than need be are left out.

    Raises StampError for the first date that no order fits, a time that its zone skips, a zone that is not known.
    """
    dated = [stamp for stamp in stamps if stamp.epoch_s is None]
    if not dated:
        return [Times(tuple(stamp.epoch_s for stamp in stamps if stamp.epoch_s is not None), None, "epoch")]
    found, problems = [], []
    for order in dated[0].orders:
        try:
            found.append(_Zoned(zone, written_zone).times(stamps, order))
        except StampError as error:  # noqa: PERF203 (three orders at most)
            problems.append(error)
    if not found:
        raise max(problems, key=lambda error: error.index)
    lengths = [math.fsum(abs(later - earlier) for earlier, later in pairwise(times.unix_s)) for times in found]
    likely = [times for times, length in zip(found, lengths, strict=True) if length <= min(lengths) + 1.0]
    different = {times.unix_s: times for times in reversed(likely)}
    return [times for times in likely if different.get(times.unix_s) is times]


_POSITIONS = {YEAR_FIRST: (0, 1, 2), DAY_FIRST: (2, 1, 0), MONTH_FIRST: (2, 0, 1)}


class _Zoned:
    """Turns the stamps of one log into Unix seconds, and remembers the hour that comes twice."""

    def __init__(self, zone: tzinfo | None, written: str | None) -> None:
        self._zone = zone
        self._written = written
        self._known: dict[str, tzinfo] = {}
        self._said: dict[str, None] = {}

    def times(self, stamps: Sequence[Stamp], order: str) -> Times:
        pairs: list[tuple[float, float]] = []
        try:
            pairs.extend(self._passes(stamp, order) for stamp in stamps)
        except (ValueError, OverflowError, OSError) as error:
            raise StampError(len(pairs), str(error)) from None
        unix_s, twice = _told_apart(pairs)
        return Times(tuple(unix_s), order, " and ".join(self._said), tuple(twice))

    def _passes(self, stamp: Stamp, order: str) -> tuple[float, float]:
        """Unix seconds of the first and of the second time of that name, nearly always the same."""
        if stamp.epoch_s is not None:
            return stamp.epoch_s, stamp.epoch_s
        if order not in stamp.orders:
            raise ValueError(f"its date is not {order}, as those before it are")
        year, month, day = (stamp.date[position] for position in _POSITIONS[order])
        moment = datetime(year if year > 99 else 2000 + year, month, day) + stamp.clock
        zone = self._zone_of(stamp.zone or self._written)
        if isinstance(zone, timezone):
            only = moment.replace(tzinfo=zone).timestamp()
            return only, only
        first, second = (moment.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
        if first > second:
            raise ValueError(
                f"{moment} does not exist in {next(reversed(self._said))}, where clocks are put forward then; name the "
                "log's own zone with --log-time-zone"
            )
        return first, second

    def _zone_of(self, text: str | None) -> tzinfo | None:
        if self._zone is not None:
            self._said[f"{getattr(self._zone, 'key', self._zone)}, as named"] = None
            return self._zone
        if text is None:
            self._said["this machine's zone"] = None
            return None
        if text not in self._known:
            try:
                fixed = _offset(text) or (time_zone_named(text) if "/" in text else None)
            except UsageError:
                fixed = None
            if fixed is None:
                raise ValueError(
                    f"the time zone {text!r} does not say its offset surely; name it with --log-time-zone, such as "
                    "Europe/Berlin or +01:00"
                )
            self._known[text] = fixed
        self._said[f"{self._known[text]}, as written"] = None
        return self._known[text]


def _told_apart(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[tuple[float, float]]]:
    """Which pass of an hour that comes twice each sample is of, and the stretches of which the log does not tell.

    Where the clock goes back within such an hour, all after it is the second pass. Else the pass is the one that joins
    the samples before or after without a gap; where it joins both or neither, nothing tells.
    """
    unix_s, twice = [first for first, _ in pairs], []
    start = 0
    while start < len(pairs):
        first, second = pairs[start]
        end = start + 1
        if first != second:
            while end < len(pairs) and pairs[end][0] != pairs[end][1]:
                end += 1
            back = next((i for i in range(start + 1, end) if unix_s[i] < unix_s[i - 1]), None)
            if back is None:
                back = _pass_begins(pairs, start, end)
            if back is None:
                twice.append((unix_s[start], pairs[end - 1][1]))
            for index in range(end if back is None else back, end):
                unix_s[index] = pairs[index][1]
        start = end
    return unix_s, twice


def _pass_begins(pairs: Sequence[tuple[float, float]], start: int, end: int) -> int | None:
    """``end`` if samples ``start`` to ``end`` are of the first pass, ``start`` if of the second, None if unknown."""
    inner = [later[0] - earlier[0] for earlier, later in pairwise(pairs[start:end])]
    usual = 3 * max(inner, default=60.0)
    joins_before = start > 0 and pairs[start][0] - pairs[start - 1][1] <= usual
    joins_after = end < len(pairs) and pairs[end][0] - pairs[end - 1][1] <= usual
    if joins_before == joins_after:
        return None
    return end if joins_before else start


def utc_text(unix_s: float) -> str:
    """A time for people, in UTC to the second; as a number where no calendar holds it."""
    try:
        return datetime.fromtimestamp(unix_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{unix_s:.6g} s"
