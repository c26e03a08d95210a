"""Dates and times of day in cells: in every order that fits, with names, zones and clocks; and what is none."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from sizer.size_search.data.reading.dates import read_clock, read_date


@pytest.fixture(autouse=True)
def no_cell_is_known():
    """Every test reads its cells, and takes none from the cache of another."""
    read_date.cache_clear()
    read_clock.cache_clear()


def at(*parts: int) -> float:
    """Seconds since 1970 of a moment in UTC."""
    return datetime(*parts, tzinfo=timezone.utc).timestamp()


#: A cell and the day that it is with the year, the day and the month first.
ORDERS = {
    "2021-03-04": ((2021, 3, 4), None, None),
    "2021/3/4": ((2021, 3, 4), None, None),
    "2021. 3. 4": ((2021, 3, 4), None, None),
    "04.03.2021": (None, (2021, 3, 4), (2021, 4, 3)),
    "31.12.2021": (None, (2021, 12, 31), None),
    "12/31/2021": (None, None, (2021, 12, 31)),
    "04/03/21": ((2004, 3, 21), (2021, 3, 4), (2021, 4, 3)),
    "1.1.68": (None, (2068, 1, 1), (2068, 1, 1)),
    "1.1.69": (None, (1969, 1, 1), (1969, 1, 1)),
    "2021-03": ((2021, 3, 1), None, None),
    "20210314T15": ((2021, 3, 14, 15), None, None),
    "20210304T1530": ((2021, 3, 4, 15, 30), None, None),
    "20210304T153012": ((2021, 3, 4, 15, 30, 12), None, None),
}


@pytest.mark.parametrize("cell", ORDERS)
def test_a_date_of_numbers_has_a_day_in_every_order_that_fits(cell):
    right = tuple(None if day is None else at(*day) for day in ORDERS[cell])
    assert read_date(cell).seconds == right


@pytest.mark.parametrize(
    "cell",
    [
        "4 March 2021", "4. März 2021", "4th Mar 2021", "4-Mar-21", "4mar2021", "March 4, 2021", "MAR. 4th, 2021",
        "2021-Mar-04", "2021 mars 4", "Thu, 4 Mar 2021", "Thursday 4 marzo 2021", "Do., 4. März 2021", "4  Mar  2021",
    ],
)  # fmt: skip
def test_a_date_with_a_name_is_the_same_in_every_order(cell):
    assert read_date(cell).seconds == (at(2021, 3, 4),) * 3


@pytest.mark.parametrize("cell", ["Dec 2021", "décembre 2021", "dez./2021", "December-2021"])
def test_a_month_is_its_first_day(cell):
    assert read_date(cell).seconds == (at(2021, 12, 1),) * 3


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("00:00", 0), ("15:30", 55800), ("15:30:12", 55812), ("15:30:12.25", 55812.25), ("15:30:12,5", 55812.5),
        ("15h30", 55800), ("3:30 pm", 55800), ("3:30 P.M.", 55800), ("12:05 am", 300), ("12:05 pm", 43500),
        ("3 pm", 54000), ("12 am", 0), ("12 pm", 43200), ("24:00", 86400), ("23:59:60", 86400), ("7:05:09", 25509),
        ("15:30Z", 55800), ("15:30 UTC", 55800), ("15:30+01:00", 52200), ("15:30 -0530", 75600), ("15:30+02", 48600),
        ("15:59", 57540), ("1 am", 3600),
    ],
)  # fmt: skip
def test_a_time_is_seconds_since_midnight_in_utc(time, seconds):
    assert read_clock(time) == seconds
    assert read_date(f"2021-03-04 {time}").seconds[0] == at(2021, 3, 4) + seconds
    assert read_date(f"2021-03-04T{time}").seconds[0] == at(2021, 3, 4) + seconds


def test_points_between_hours_and_minutes_need_seconds_or_a_half():
    assert read_clock("18.30") is None  # (a number)
    assert read_clock("18.30.15") == 66615
    assert read_clock("6.30 pm") == 66600
    assert read_date("2021-03-04 18.30").seconds[0] == at(2021, 3, 4, 18, 30)
    assert read_clock("15") is None
    assert read_date("2021-03-04 15").seconds[0] == at(2021, 3, 4, 15)


@pytest.mark.parametrize("time", ["25:00", "24:01", "24:00:01", "15:60", "15:30:61", "13 pm", "0 am", "15:3", "x"])
def test_what_no_clock_shows_is_no_time(time):
    assert read_clock(time) is None
    assert read_date(f"2021-03-04 {time}") is None


@pytest.mark.parametrize(
    "cell",
    [
        "", "x", "2021", "2021-02-30", "2021-13-01", "00.00.2021", "4 Foo 2021", "30 Feb 2021", "Foo 2021", "2021-13",
        "2021-3", "123-1-1", "1.1.123", "04.03/2021", "2021-03-04 at noon", "20211304T10", "111.1.2021",
    ],
)  # fmt: skip
def test_what_is_no_day_is_no_date(cell):
    assert read_date(cell) is None
