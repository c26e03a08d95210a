"""Dates and times of day as people write them: one order of day, month and year for a whole column. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

#: The orders that are told apart: year first, day first, month first.
ORDERS = ("ymd", "dmy", "mdy")
ORDER_NAMES = {"ymd": "year first", "dmy": "day first", "mdy": "month first"}

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier enero gennaio",
            "feb february februar février fevrier febrero febbraio",
            "mar march märz maerz mrz mär mars marzo",
            "apr april avril abril aprile avr",
            "may mai mayo maggio",
            "jun june juni juin junio giugno",
            "jul july juli juillet julio luglio juil",
            "aug august août aout agosto",
            "sep sept september septembre septiembre settembre",
            "oct october oktober okt octobre octubre ottobre",
            "nov november novembre noviembre",
            "dec december dezember dez décembre decembre diciembre dicembre déc",
        ),
        start=1,
    )
    for name in names.split()
}
_WEEKDAY = r"(?:(?:mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun|mo|di|mi|do|fr|sa|so)[a-z]{0,6}\.?,? +)?"
_NUMBERS = r"(?P<a>[0-9]{1,4})(?P<mark>[-/. ]) ?(?P<b>[0-9]{1,2})(?P=mark) ?(?P<c>[0-9]{1,4})"
_NAMED = (
    r"(?P<day1>[0-9]{1,2})(?:st|nd|rd|th)?\.?[-/ ]?(?P<month1>[^\W\d_]{3,10})\.?,?[-/ ]?(?P<year1>[0-9]{4}|[0-9]{2})"
    r"|(?P<month2>[^\W\d_]{3,10})\.? ?(?P<day2>[0-9]{1,2})(?:st|nd|rd|th)?,? (?P<year2>[0-9]{4})"
    r"|(?P<year3>[0-9]{4})[-/ ](?P<month3>[^\W\d_]{3,10})[-/ ](?P<day3>[0-9]{1,2})"
)
_SHORT = r"(?P<year4>[0-9]{4})-(?P<month4>[0-9]{2})|(?P<packed>[0-9]{8})(?=T)"
_MONTH = r"(?P<month5>[^\W\d_]{3,10})\.?[-/ ](?P<year5>[0-9]{4})"
_TIME = (
    r"(?P<hour>[0-9]{1,2})(?:(?P<colon>[:.h])(?P<minute>[0-9]{2})(?:[:.](?P<second>[0-9]{2})(?:[.,](?P<part>[0-9]{1,9}))?)?"
    r"|(?P<packed_time>[0-9]{2}(?:[0-9]{2})?)(?<=T[0-9]{4})|(?P<packed_time6>[0-9]{4})(?<=T[0-9]{6}))?"
    r"(?: ?(?P<half>[ap]\.?m\.?))?(?: ?(?P<zone>z|utc|gmt|[+-][0-9]{2}(?::?[0-9]{2})?))?"
)
_STAMP = re.compile(rf"{_WEEKDAY}(?:{_NUMBERS}|{_NAMED}|{_MONTH}|{_SHORT})(?:(?: *T *|,? +){_TIME})?", re.IGNORECASE)
_CLOCK = re.compile(_TIME, re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
#: Two-digit years from here on are of the last century (POSIX).
_PIVOT = 69


class Stamp(NamedTuple):
    """A cell read as a date: seconds since 1970 (UTC) under each of `ORDERS`, None where it is none in that order."""

    seconds: tuple[float | None, ...]


@lru_cache(maxsize=1 << 16)
def read_date(cell: str) -> Stamp | None:
    """The date that a cell holds in every order that fits it; None for a cell that is no date in any."""
    found = _STAMP.fullmatch(" ".join(cell.split()))
    if found is None:
        return None
    time_s = _time_s(found) if found["hour"] else 0.0
    if time_s is None:
        return None
    seconds = tuple(None if day is None else (day - _EPOCH).total_seconds() + time_s for day in _days(found))
    return Stamp(seconds) if any(value is not None for value in seconds) else None


def _days(found: re.Match[str]) -> tuple[datetime | None, ...]:
    """The day under each order."""
    if found["a"]:
        return tuple(_of_numbers(found["a"], found["b"], found["c"], order) for order in ORDERS)
    if found["packed"]:
        packed = found["packed"]
        return (_day(packed[:4], packed[4:6], packed[6:]), None, None)
    for number in "1235":
        if found[f"month{number}"]:
            month = _MONTHS.get(found[f"month{number}"].lower())
            named = "1" if number == "5" else found[f"day{number}"]
            day = None if month is None else _day(found[f"year{number}"], str(month), named)
            return (day, day, day)
    return (_day(found["year4"], found["month4"], "1"), None, None)


def _of_numbers(first: str, second: str, third: str, order: str) -> datetime | None:
    parts = dict(zip(order, (first, second, third), strict=True))
    is_plain = len(parts["y"]) in (2, 4) and len(parts["m"]) <= 2 and len(parts["d"]) <= 2
    return _day(parts["y"], parts["m"], parts["d"]) if is_plain else None


def _day(year: str, month: str, day: str) -> datetime | None:
    century = 0 if len(year) == 4 else 1900 if int(year) >= _PIVOT else 2000
    try:
        return datetime(century + int(year), int(month), int(day), tzinfo=timezone.utc)
    except ValueError:
        return None


@lru_cache(maxsize=1 << 16)
def read_clock(cell: str) -> float | None:
    """The time of day that a cell holds, in s since midnight; None for a cell that is none."""
    found = _CLOCK.fullmatch(" ".join(cell.split()))
    if found is None or not (found["minute"] or found["half"]):
        return None
    if found["colon"] == "." and not found["second"] and not found["half"]:
        return None  # (18.30 is a number)
    return _time_s(found)


def _time_s(found: re.Match[str]) -> float | None:
    """Seconds since midnight, less the zone's offset; None for an hour or minute that no clock shows."""
    packed = found["packed_time"] or found["packed_time6"] or ""
    hour, minute, second = (
        int(found["hour"]),
        int(found["minute"] or packed[:2] or 0),
        int(found["second"] or packed[2:] or 0),
    )
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["half"][0].lower() == "p" else 0)
    if minute > 59 or second > 60 or hour > 24 or (hour == 24 and (minute or second)):
        return None
    part = float(f"0.{found['part']}") if found["part"] else 0.0
    return hour * 3600 + minute * 60 + second + part - _offset(found["zone"] or "").total_seconds()


def _offset(zone: str) -> timedelta:
    if zone[:1] not in ("+", "-"):
        return timedelta(0)
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return offset if zone[0] == "+" else -offset
