"""Timestamps taken apart, and the Unix seconds of a log's: orders of dates, time zones, the hour that comes twice."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

from sizer.base.errors import UsageError
from sizer.meters.local_times import StampError, readings, time_zone_named
from sizer.meters.timestamps import (
    DAY_FIRST,
    MONTH_FIRST,
    YEAR_FIRST,
    Stamp,
    is_bare_clock,
    is_clock,
    is_date,
    read_stamp,
    utc_text,
)

ANY_ORDER = (DAY_FIRST, MONTH_FIRST, YEAR_FIRST)
DAY_OR_MONTH = (DAY_FIRST, MONTH_FIRST)
#: Midnight in UTC of the day on which Berlin puts its clocks back: 02:00 to 03:00 come there at 0 and again at 60 min.
AUTUMN_S = datetime(2025, 10, 26, tzinfo=timezone.utc).timestamp()


def read(*texts: str, zone: str | None = None, written: str | None = None):
    return readings([read_stamp(text) for text in texts], time_zone_named(zone), written)


def unix(*moment: int) -> float:
    return datetime(*moment, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("name", "minutes"),
    [
        ("Z", 0),
        ("utc", 0),
        ("GMT", 0),
        ("+02:00", 120),
        ("-0330", -210),
        ("+5:45", 345),
        ("UTC+1", 60),
        ("gmt-7", -420),
        ("+14", 840),
        ("-14:30", -870),
    ],
)
def test_an_offset_is_a_time_zone(name, minutes):
    assert time_zone_named(name).utcoffset(None) == timedelta(minutes=minutes)


@pytest.mark.parametrize("name", ["+15", "-15:00", "+1:2", "2:00", "CETT", "Mars/Olympus"])
def test_a_time_zone_that_is_none_is_refused_with_what_is_expected(name):
    with pytest.raises(UsageError) as caught:
        time_zone_named(name)
    assert str(caught.value) == (
        f"unknown time zone {name!r}; expected a name of the tz database such as US/Mountain or Europe/Berlin, or an "
        "offset such as +02:00 (on a system without that database: pip install tzdata)"
    )


def in_berlin(clocks: str):
    """Minutes since midnight in UTC of Berlin's clock times on the day its clocks go back, and what is left untold."""
    (times,) = read(*(f"2025-10-26 {clock}" for clock in clocks.split()), zone="Europe/Berlin")
    twice = [tuple((moment - AUTUMN_S) / 60 for moment in stretch) for stretch in times.twice]
    return [(time_s - AUTUMN_S) / 60 for time_s in times.unix_s], twice


@pytest.mark.parametrize(
    ("clocks", "minutes"),
    [
        # One sample of the hour belongs to the samples within three minutes of it.
        ("01:59 02:00", [-1, 0]),
        ("01:57 02:00", [-3, 0]),
        ("02:59 03:00", [119, 120]),
        ("02:57 03:00", [117, 120]),
        ("02:57 03:00 03:30", [117, 120, 150]),
        # Several belong to those within three of their longest steps.
        ("01:40 02:10 02:20 02:22", [-20, 10, 20, 22]),
        ("02:38 02:40 02:50 03:20", [98, 100, 110, 140]),
        ("01:20 01:40 02:00 02:20 02:40", [-40, -20, 0, 20, 40]),
        ("02:20 02:40 03:00 03:20", [80, 100, 120, 140]),
        # What follows a clock that went back is the second pass; the same time again is no such clock.
        ("02:30 02:50 02:10 02:40", [30, 50, 70, 100]),
        ("02:50 02:10 04:00", [50, 70, 180]),
        ("01:59 02:00 02:00 02:01", [-1, 0, 0, 1]),
    ],
)
def test_the_pass_of_an_hour_that_comes_twice_is_told_by_what_lies_beside_it(clocks, minutes):
    assert in_berlin(clocks) == (minutes, [])


@pytest.mark.parametrize(
    ("clocks", "stretch"),
    [
        ("02:30", (30, 90)),
        ("01:56:59 02:00", (0, 60)),
        ("02:56:59 03:00", (56 + 59 / 60, 116 + 59 / 60)),
        ("01:39 02:10 02:20 02:22", (10, 82)),
        ("02:40 02:50 03:21", (40, 110)),
        ("01:55 02:00 02:30 02:55 03:00", (0, 115)),
    ],
)
def test_a_pass_that_neither_side_or_both_tell_is_named_as_a_stretch(clocks, stretch):
    _, twice = in_berlin(clocks)
    assert twice == [pytest.approx(stretch)]


def test_two_autumns_are_told_apart_each_by_itself():
    log = [f"2024-10-27 {clock}" for clock in ("01:30", "02:00", "02:30")]
    log += ["2025-06-01 12:00", *(f"2025-10-26 {clock}" for clock in ("02:00", "02:30", "03:00"))]
    (times,) = read(*log, zone="Europe/Berlin")
    earlier = datetime(2024, 10, 27, tzinfo=timezone.utc).timestamp()
    assert times.twice == ()
    assert [time_s - earlier for time_s in times.unix_s[:3]] == [-1800, 0, 1800]
    assert [time_s - AUTUMN_S for time_s in times.unix_s[4:]] == [3600, 5400, 7200]


@pytest.mark.parametrize(
    ("texts", "zone", "written", "first", "said"),
    [
        (["1741290000"], None, None, 1741290000.0, "epoch"),
        (["2025-03-06T19:40:00Z"], None, None, unix(2025, 3, 6, 19, 40), "UTC, as written"),
        (["2025-03-06T19:40:00+01:00"], None, None, unix(2025, 3, 6, 18, 40), "UTC+01:00, as written"),
        (["2025-03-06 19:40"], None, "-03:30", unix(2025, 3, 6, 23, 10), "UTC-03:30, as written"),
        (["2025-07-06 19:40"], None, "Europe/Berlin", unix(2025, 7, 6, 17, 40), "Europe/Berlin, as written"),
        (["2025-07-06 19:40Z"], None, "Europe/Berlin", unix(2025, 7, 6, 19, 40), "UTC, as written"),
        (["2025-07-06 19:40Z"], "Europe/Berlin", "-03:30", unix(2025, 7, 6, 17, 40), "Europe/Berlin, as named"),
        (["2025-03-06 19:40Z"], "+01:00", None, unix(2025, 3, 6, 18, 40), "UTC+01:00, as named"),
        (
            ["2025-10-26 00:30+02:00", "2025-10-26 01:30+02:00", "2025-10-26 01:30+01:00"],
            None,
            None,
            unix(2025, 10, 25, 22, 30),
            "UTC+02:00, as written and UTC+01:00, as written",
        ),
        (["1741290000", "2025-03-06T19:40:01Z"], None, None, 1741290000.0, "UTC, as written"),
    ],
)
def test_whose_zone_the_times_are_of_is_said(texts, zone, written, first, said):
    (times,) = read(*texts, zone=zone, written=written)
    assert (times.unix_s[0], times.zone) == (first, said)


@pytest.mark.parametrize("zone", ["CET", "Mars/Olympus"])
def test_a_written_zone_that_says_no_offset_is_refused_with_the_way_out(zone):
    with pytest.raises(StampError) as caught:
        read("2025-03-06 19:40Z", f"2025-03-06 19:41 {zone}")
    assert str(caught.value) == (
        f"the time zone {zone!r} does not say its offset surely; name it with --log-time-zone, such as Europe/Berlin "
        "or +01:00"
    )
    assert caught.value.index == 1


def test_a_time_that_its_zone_skips_is_refused_with_the_way_out():
    with pytest.raises(StampError) as caught:
        read("2025-03-30 01:59", "2025-03-30 02:00", zone="Europe/Berlin")
    assert str(caught.value) == (
        "2025-03-30 02:00:00 does not exist in Europe/Berlin, as named, where clocks are put forward then; name the "
        "log's own zone with --log-time-zone"
    )
    assert caught.value.index == 1


def orders(*texts: str) -> list[str | None]:
    return [times.order for times in read(*texts, zone="UTC")]


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["1741290000", "1741290001"], [None]),
        (["2025-03-06 10:00", "2025-03-06 10:01"], [YEAR_FIRST]),
        (["06/03/2025 10:00", "06/03/2025 10:01"], [DAY_FIRST, MONTH_FIRST]),
        (["13/03/2025 10:00", "13/03/2025 10:01"], [DAY_FIRST]),
        (["03/13/2025 10:00", "03/13/2025 10:01"], [MONTH_FIRST]),
        # The third of the third is the same day in both orders: one reading, not two.
        (["03/03/2025 10:00", "03/03/2025 10:01"], [DAY_FIRST]),
        # Over midnight a day passes in one order and a month in the other.
        (["06/03/2025 23:59", "07/03/2025 00:00"], [DAY_FIRST]),
        (["03/06/2025 23:59", "03/07/2025 00:00"], [MONTH_FIRST]),
        (["25/03/06 23:59", "25/03/07 00:00"], [YEAR_FIRST]),
        (["06.03.25 23:59"], [DAY_FIRST]),
        # Newest first is as long as oldest first.
        (["07/03/2025 00:00", "06/03/2025 23:59"], [DAY_FIRST]),
    ],
)
def test_dates_are_read_in_the_orders_that_fit_all_and_make_the_log_shortest(texts, found):
    assert orders(*texts) == found


def test_a_year_of_two_digits_is_of_this_century_in_every_order():
    in_each = {times.order: times.unix_s[0] for times in read("01/02/03 00:00", zone="UTC")}
    assert in_each == {
        DAY_FIRST: unix(2003, 2, 1),
        MONTH_FIRST: unix(2003, 1, 2),
        YEAR_FIRST: unix(2001, 2, 3),
    }
    (last,) = read("31/12/99 00:00", zone="UTC")
    assert last.unix_s == (unix(2099, 12, 31),)


@pytest.mark.parametrize(
    ("texts", "index", "said"),
    [
        (["2025-03-06 10:00", "06/03/2025 10:01"], 1, "its date is not year first, as those before it are"),
        # Day first gets further than month first: its first date that does not fit is the one to look at.
        (["13/02/2025 10:00", "14/02/2025 10:00", "02/15/2025 10:00"], 2, "month must be in 1..12"),
        (["30/02/2025 10:00"], 0, "day is out of range for month|day 30 must be in range"),
    ],
)
def test_the_first_date_that_no_order_fits_is_named_by_its_place(texts, index, said):
    with pytest.raises(StampError, match=said) as caught:
        read(*texts, zone="UTC")
    assert caught.value.index == index


CLOCK = timedelta(hours=19, minutes=40, seconds=5)
YEAR = Stamp(None, (2025, 3, 6), (YEAR_FIRST,), CLOCK)
DOTTED = YEAR._replace(date=(6, 3, 2025), orders=(DAY_FIRST,))


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("2025-03-06T19:40:05", YEAR),
        (" 2025/3/6 19:40:05 ", YEAR),
        ("2025-03-06, 19:40:05", YEAR),
        ("2025-03-06_19:40:05", YEAR),
        ("2025-03-06 - 19:40:05", YEAR),
        ("2025-03-06-19:40:05", YEAR),
        ("20250306194005", YEAR),
        ("20250306T194005Z", YEAR._replace(zone="Z")),
        ("2025-03-06T19:40:05.25+01:00", YEAR._replace(clock=CLOCK + timedelta(milliseconds=250), zone="+01:00")),
        ("2025-03-06 19:40:05,125 UTC+1", YEAR._replace(clock=CLOCK + timedelta(milliseconds=125), zone="UTC+1")),
        ("2025-03-06 19:40:05:007", YEAR._replace(clock=CLOCK + timedelta(milliseconds=7))),
        ("2025-03-06 19:40:05 Europe/Berlin", YEAR._replace(zone="Europe/Berlin")),
        ("2025-03-06 19:40:05 Z[Etc/UTC]", YEAR._replace(zone="Z")),
        ("2025-03-06 19:40", YEAR._replace(clock=timedelta(hours=19, minutes=40))),
        ("2025-03-06 7:40:05 PM", YEAR),
        ("2025-03-06 07:40:05 p. m.", YEAR),
        ("2025-03-06 1:40 AM", YEAR._replace(clock=timedelta(hours=1, minutes=40))),
        ("2025-03-06 19:40:05.999999", YEAR._replace(clock=CLOCK + timedelta(microseconds=999999))),
        ("2025-03-06 12:40:05 am", YEAR._replace(clock=timedelta(minutes=40, seconds=5))),
        ("2025-03-06 12:40:05 pm", YEAR._replace(clock=timedelta(hours=12, minutes=40, seconds=5))),
        ("06.03.2025 19:40:05", DOTTED),
        ("06.03.25 19:40:05", DOTTED),
        ("Do., 06.03.2025 19:40:05", DOTTED),
        ("06/03/2025 19:40:05", DOTTED._replace(orders=DAY_OR_MONTH)),
        ("06-03-2025 19:40:05", DOTTED._replace(orders=DAY_OR_MONTH)),
        ("06/03/25 19:40:05", DOTTED._replace(date=(6, 3, 25), orders=ANY_ORDER)),
        ("19:40:05 06/03/2025", DOTTED._replace(orders=DAY_OR_MONTH)),
        ("06-Mar-2025 19:40:05", YEAR),
        ("Thursday, 6 March 25 19:40:05", YEAR),
        ("6. März 2025 19:40:05", YEAR),
        ("Mar 6, 2025 19:40:05", YEAR),
        ("Thu Mar  6 19:40:05 UTC 2025", YEAR._replace(zone="UTC")),
        ("1741290005", Stamp(1741290005.0)),
        ("1741290005,5", Stamp(1741290005.5)),
        ("-5.5e1", Stamp(-55.0)),
        # Up to 10^11 seconds; above milliseconds, above 10^14 microseconds, above 10^17 nanoseconds.
        ("1e11", Stamp(1e11)),
        ("1741290005250", Stamp(1741290005.25)),
        ("1e14", Stamp(1e11)),
        ("1741290005250000", Stamp(1741290005.25)),
        ("1e17", Stamp(1e11)),
        ("1741290005500000000", Stamp(1741290005.5)),
    ],
)
def test_a_timestamp_is_taken_apart(text, stamp):
    assert read_stamp(text) == stamp


@pytest.mark.parametrize(
    ("name", "month"),
    [
        *(("Januar", 1), ("Jän", 1), ("février", 2), ("Fév", 2), ("mars", 3), ("März", 3), ("avril", 4), ("Apr", 4)),
        *(("Mai", 5), ("May", 5), ("juin", 6), ("June", 6), ("Juli", 7), ("juil", 7), ("août", 8), ("Aug", 8)),
        *(("Sept", 9), ("sep", 9), ("Oktober", 10), ("oct", 10), ("Nov", 11), ("Dezember", 12), ("Dec", 12)),
    ],
)
def test_months_in_english_german_and_french(name, month):
    assert read_stamp(f"6 {name} 2025 19:40:05") == YEAR._replace(date=(2025, month, 6))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("noon", "'noon' is neither epoch seconds nor a date with a clock time"),
        ("2025-03-06", "'2025-03-06' is neither epoch seconds nor"),
        ("1e999", "'1e999' is neither"),
        ("6 Foo 2025 19:40:05", "'Foo' is no month"),
        ("2025-03-06 24:00:00", "24:00:00 is no time of day"),
        ("2025-03-06 19:60:00", "19:60:00 is no time of day"),
        ("2025-03-06 19:05:60", "19:05:60 is no time of day"),
        ("2025-03-06 13:05:00 PM", "13:05:00 is no time of day"),
        ("2025-03-06 0:05 AM", "0:05:00 is no time of day"),
    ],
)
def test_a_text_that_is_no_timestamp_is_refused(text, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        read_stamp(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2025-03-06", is_date),
        ("06.03.25", is_date),
        ("Thu, 6 March 2025", is_date),
        ("March 6, 2025", is_date),
        ("20250306", is_date),
        ("19:40", is_clock),
        ("7:40:05 PM", is_clock),
        ("19:40:05.25+01:00", is_clock),
        ("194005", is_bare_clock),
        ("2025-03-06 19:40", None),
        ("1741290005", None),
        ("20251306", is_date),
        ("20253306", None),
        ("304005", None),
        ("19400", None),
        ("100", None),
    ],
)
def test_a_cell_is_a_date_a_clock_time_or_neither(text, kind):
    assert [test for test in (is_date, is_clock, is_bare_clock) if test(text)] == ([] if kind is None else [kind])


@pytest.fixture
def tokyo(monkeypatch):
    """A machine whose clock shows Tokyo's time, nine hours ahead of UTC."""
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone cannot be set here")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_a_time_without_a_zone_is_this_machine_s():
    (times,) = read("2025-03-06 19:40")
    assert (times.unix_s[0], times.zone) == (unix(2025, 3, 6, 10, 40), "this machine's zone")


@pytest.mark.usefixtures("tokyo")
def test_a_time_for_people_is_a_date_in_utc_where_a_calendar_has_it():
    assert utc_text(1741290005.75) == "2025-03-06T19:40:05Z"
    assert utc_text(-0.5) == "1969-12-31T23:59:59Z"
    assert utc_text(1e20) == "1e+20 s"
