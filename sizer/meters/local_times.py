"""Unix seconds of a log's timestamps: the order of their dates, their time zone, the hour that comes twice. Pure.

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
from sizer.meters.timestamps import DAY_FIRST, MONTH_FIRST, YEAR_FIRST, Stamp

_UTC_NAMES = ("Z", "UTC", "GMT")


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
            self._said[f"{self._zone}, as named"] = None
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
