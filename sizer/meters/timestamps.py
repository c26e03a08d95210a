"""Timestamps of power logs as Unix seconds: epoch numbers, or ISO-8601 with an offset, with Z, or of a named zone."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone, tzinfo

from sizer.base.errors import UsageError

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
# Before Python 3.11 fromisoformat knows neither Z nor fractions of other than 3 or 6 digits, nor bare offsets.
_ISO = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})[T ](?P<clock>\d{2}:\d{2}(:\d{2})?)([.,](?P<fraction>\d+))?"
    r"\s*(?P<offset>Z|z|UTC|[+-]\d{2}(:?\d{2})?)?"
)
# Epoch numbers above these are in milliseconds, microseconds, nanoseconds: as seconds they lie after the year 5000.
_EPOCH_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))


def time_zone_named(name: str | None) -> tzinfo | None:
    """The time zone of that name, such as ``US/Mountain``. Raises UsageError for a name the system does not know."""
    if name is None:
        return None
    if name.upper() in ("UTC", "Z"):
        return timezone.utc
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise UsageError(
            f"unknown time zone {name!r}; expected a name of the tz database such as US/Mountain or Europe/Berlin "
            "(on a system without that database: pip install tzdata)"
        ) from error


class TimeReader:
    """Reads the timestamps of one log in order.

    ``zone`` replaces whatever offset the text carries, since loggers write a Z after local times (the published
    BUTTER-E files do). Without it an offset is believed, and a time without one is taken as this machine's local time,
    which ``assumed_local`` records. Where clocks are put back an hour comes twice: the order tells the second time.
    """

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._previous_s: float | None = None
        self.assumed_local = False

    def read(self, text: str) -> float:
        """Unix seconds of a timestamp. Raises ValueError for a text that is none."""
        text = text.strip()
        time_s = _epoch(float(text)) if _NUMBER.fullmatch(text) else self._iso(text)
        if not math.isfinite(time_s):
            raise ValueError(f"{text!r} is no time")
        self._previous_s = time_s
        return time_s

    def _iso(self, text: str) -> float:
        matched = _ISO.fullmatch(text)
        if matched is None:
            raise ValueError(f"{text!r} is neither epoch seconds nor an ISO-8601 time")
        moment = datetime.fromisoformat(f"{matched['date']}T{matched['clock']}")
        fraction = float(f"0.{matched['fraction']}") if matched["fraction"] else 0.0
        offset = matched["offset"]
        if self._zone is None and offset is not None:
            return moment.replace(tzinfo=_offset(offset)).timestamp() + fraction
        self.assumed_local = self.assumed_local or self._zone is None
        return self._local(moment) + fraction

    def _local(self, moment: datetime) -> float:
        """A local time, the second one of its name if the first is not after the sample before."""
        first = moment.replace(tzinfo=self._zone).timestamp()
        second = moment.replace(tzinfo=self._zone, fold=1).timestamp()
        previous = self._previous_s
        return second if previous is not None and first <= previous < second else first


def _epoch(number: float) -> float:
    return next((number / divisor for above, divisor in _EPOCH_UNITS if abs(number) > above), number)


def _offset(text: str) -> tzinfo:
    if text in ("Z", "z", "UTC"):
        return timezone.utc
    digits = text[1:].replace(":", "").ljust(4, "0")
    return datetime.strptime(f"{text[0]}{digits}", "%z").tzinfo or timezone.utc


def utc_text(unix_s: float) -> str:
    """A time for people, in UTC to the second; as a number where no calendar holds it."""
    try:
        return datetime.fromtimestamp(unix_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{unix_s:.6g} s"
