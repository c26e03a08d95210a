"""Reading power logs: headers, delimiters, units, time stamps of all kinds, and files that are no power log."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meter_fakes import at

from sizer.base.errors import MeterError, UsageError
from sizer.meters import wattmeter_csv
from sizer.meters.local_times import readings, time_zone_named
from sizer.meters.power_log import power_log
from sizer.meters.timestamps import read_stamp, utc_text
from sizer.meters.wattmeter_csv import LogFormat, WattmeterLog, read_power_log, source_line


@pytest.fixture
def write(tmp_path):
    def written(text: str):
        path = tmp_path / "power.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def unix(*moment: int) -> float:
    return datetime(*moment, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "0,50\n60,75.5\n120,60\n",
        "time,watts\n0,50\n60,75.5\n120,60\n",
        "# a comment\n\ntimestamp;power [W]\n0;50\n60;75,5\n120;60\n",
        "Epoch\tPower (W)\n0\t50\n60\t75.5\n120\t60\n",
        "unix_time,voltage,power_mW\n0,230,50000\n60,230,75500\n120,230,60000\n",
        "0 50\n60 75.5\n120 60",
        "\ufeff0,50\n60,75.5\n120,60\n",
        "\ufefftime,watts\r\n0,50\r\n60,75.5\r\n120,60\r\n",
        "timestamp,node,watts\n1970-01-01T00:00:00Z,r1,50\n1970-01-01T00:01:00Z,r1,75.5\n1970-01-01T00:02:00Z,r1,60\n",
        "1970-01-01T00:00:00Z,r1,50\n1970-01-01T00:01:00Z,r1,75.5\n1970-01-01T00:02:00Z,r1,60\n",
        '"time","watts"\n"1970-01-01 01:00:00+01:00","50"\n'
        '"1970-01-01 01:01:00+0100","75.5"\n"1970-01-01 01:02:00+01","60"\n',
    ],
)
def test_the_same_log_in_many_dresses(write, text):
    log = read_power_log(write(text))
    assert log.times_s == (0.0, 60.0, 120.0)
    assert log.watts == (50.0, 75.5, 60.0)
    assert log.period_s == 60.0
    assert log.warnings == ()


def test_columns_can_be_named(write):
    path = write("when,a,b\n0,1,50\n60,2,75\n")
    with pytest.raises(MeterError, match=r"not clear .when, a, b.; name one with time_column"):
        read_power_log(path)
    assert read_power_log(path, LogFormat(time_column="when", watts_column="b")).watts == (50.0, 75.0)
    with pytest.raises(UsageError, match=r"watts_column is 'c', but the columns of .* are when, a, b"):
        read_power_log(path, LogFormat(time_column="when", watts_column="c"))


def test_one_node_of_several(write):
    path = write("timestamp,node,watts\n0,r1,50\n0,r2,500\n60,r1,51\n60,r2,510\n")
    with pytest.raises(UsageError, match=r"several nodes .r1, r2.; name one with node"):
        read_power_log(path)
    assert read_power_log(path, LogFormat(node="r2")).watts == (500.0, 510.0)
    with pytest.raises(MeterError, match=r"no sample of r3"):
        read_power_log(path, LogFormat(node="r3"))


def test_the_published_files_are_local_times_of_the_mountains_with_a_wrong_z(write):
    path = write("timestamp,node,watts\n2022-07-01T06:00:00Z,r1,50\n2022-07-01T06:01:00Z,r1,60\n")
    assert read_power_log(path).times_s[0] == unix(2022, 7, 1, 6)
    assert read_power_log(path, LogFormat(time_zone="US/Mountain")).times_s[0] == unix(2022, 7, 1, 12)
    winter = write("timestamp,node,watts\n2022-01-01T06:00:00Z,r1,50\n2022-01-01T06:01:00Z,r1,60\n")
    assert read_power_log(winter, LogFormat(time_zone="US/Mountain")).times_s[0] == unix(2022, 1, 1, 13)


def test_the_hour_that_comes_twice_when_clocks_are_put_back(write):
    rows = ["01:30", "01:59", "01:00", "01:30", "02:00"]
    path = write("\n".join(f"2022-11-06T{clock}:00Z,{watts}" for watts, clock in enumerate(rows, start=1)))
    log = read_power_log(path, LogFormat(time_zone="US/Mountain"))
    assert log.disorders == ()
    steps = [time_s - unix(2022, 11, 6, 7, 30) for time_s in log.times_s]
    assert steps == [0.0, 29 * 60.0, 30 * 60.0, 60 * 60.0, 90 * 60.0]


def test_a_log_without_a_zone_is_taken_as_local_and_says_so(write, monkeypatch):
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone cannot be set here")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        log = read_power_log(write("2022-07-01 09:00:00.25,50\n2022-07-01 09:00:01.25,50\n"))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert log.times_s[0] == unix(2022, 7, 1) + 0.25
    assert "have no time zone, this machine's is assumed" in log.warnings[0]


def test_a_clock_offset_moves_the_log(write):
    assert read_power_log(write("0,50\n1,50\n"), LogFormat(clock_offset_s=-2.5)).times_s == (-2.5, -1.5)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", ""])
def test_an_unknown_time_zone_is_wrong_usage(write, name):
    with pytest.raises(UsageError, match=r"unknown time zone"):
        read_power_log(write("0,50\n1,50\n"), LogFormat(time_zone=name))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no sample"),
        ("# only a comment\n", "holds no sample"),
        ("time,watts\n", "holds no sample"),
        ("time,watts\n0,50\nnoon,60\n120,70\n", "line 3 of .*'noon,60'.*neither epoch seconds"),
        ("time,watts\n0,50\n60\n120,70\n", "line 3 of .*'60'"),
        ("0,1,2,3\n", "no header and 4 columns"),
        ("PK\x03\x04,binary\nrubbish\n", "holds no sample: no line of it has a time .epoch seconds"),
        ("time,watts\n2022-13-45T00:00:00Z,50\n0,1\n", "line 2 of"),
        ("time,watts\n1e400,50\n0,1\n", "line 2 of"),
    ],
)
def test_a_file_that_is_no_power_log_is_refused_by_line(write, text, reason):
    with pytest.raises(MeterError, match=reason) as caught:
        read_power_log(write(text))
    assert "\n" not in str(caught.value)


def test_a_file_cut_in_its_last_line_loses_that_line_alone(write):
    log = read_power_log(write("time,watts\n0,50\n60,60\n120,"))
    assert log.times_s == (0.0, 60.0)
    log = read_power_log(write("time,watts\n0,50\n60,60\n12x"))
    assert log.times_s == (0.0, 60.0)
    assert "last line of" in log.warnings[0]


def test_an_empty_cell_is_a_missing_sample_and_not_zero(write):
    log = read_power_log(write("time,watts\n0,50\n60,\n120,NaN\n180,60\n"))
    assert (log.times_s, log.period_s) == ((0.0, 180.0), 60.0)
    assert [time_s for time_s, _ in log.bad] == [60.0, 120.0]


@pytest.mark.parametrize("text", ["much", "inf", "1e999", "50 bananas"])
def test_a_cell_that_is_no_power_is_a_bad_sample(write, text):
    log = read_power_log(write(f"time,watts\n0,50\n60,{text}\n120,70\n180,70\n"))
    assert log.watts == (50.0, 70.0, 70.0)
    assert log.bad == ((60.0, f"line 3 ('60,{text}')"),)


HISTORY = "entity_id,state,last_changed\n"


def history(*states: object, entity: str = "sensor.plug_power") -> str:
    """A history of Home Assistant, a state a second."""
    rows = (f"{entity},{state},1970-01-01T00:00:{second:02d}Z\n" for second, state in enumerate(states))
    return HISTORY + "".join(rows)


@pytest.mark.parametrize(
    ("text", "layout", "taken"),
    [
        ("0,50\n60,75\n", LogFormat(), "time from 'column 1' (epoch), power from 'column 2' in W"),
        ("t;W\n0;50,5\n", LogFormat(), "time from 't' (epoch), power from 'W' in W, decimal commas"),
        ("t,W\n0,50\n", LogFormat(unit="kW"), "time from 't' (epoch), power from 'W' in kW (as --log-unit says)"),
        ("t,host,kW\n0,r1,5\n", LogFormat(), "time from 't' (epoch), power from 'kW' of r1 in kW"),
        (
            "UPS\nt,W\n0,50\n",
            LogFormat(),
            "time from 't' (epoch), power from 'W' in W; 1 line above the table left out",
        ),
        (
            "UPS\n\nx\nt,W\n0,50\n",
            LogFormat(),
            "time from 't' (epoch), power from 'W' in W; 2 lines above the table left out",
        ),
        ('{"ts":0,"apower":50}\n', LogFormat(), "time from 'ts' (epoch), power from 'apower' in W; JSON objects"),
        (
            "t,W\n2025-03-06 10:00,50\n",
            LogFormat(time_zone="UTC"),
            "time from 't' (UTC, as named), power from 'W' in W",
        ),
        (
            "t,W\n03/16/2025 10:00,50\n",
            LogFormat(time_zone="UTC"),
            "time from 't' (month first, UTC, as named), power from 'W' in W",
        ),
        (
            "t,W\n06/03/2025 10:00,50\n",
            LogFormat(time_zone="UTC"),
            "time from 't' (day first or month first, whichever the run lies in; UTC, as named), power from 'W' in W",
        ),
        (
            "day,clock,tz,W\n2025-03-06,10:00:00,+01:00,50\n",
            LogFormat(),
            "time from 'day' and 'clock' with 'tz' (UTC+01:00, as written), power from 'W' in W",
        ),
        (
            history(50),
            LogFormat(),
            "time from 'last_changed' (UTC, as written), power from 'state' of sensor.plug_power in W (Home "
            "Assistant's default: the log has none)",
        ),
        (
            history(0.5),
            LogFormat(unit="kW"),
            "time from 'last_changed' (UTC, as written), power from 'state' of sensor.plug_power in kW (as --log-unit "
            "says)",
        ),
        (
            history(0.5, entity="sensor.plug_power_kw"),
            LogFormat(),
            "time from 'last_changed' (UTC, as written), power from 'state' of sensor.plug_power_kw in kW",
        ),
    ],
)
def test_what_was_taken_for_what_is_said(write, text, layout, taken):
    assert read_power_log(write(text), layout).taken == taken


def test_a_log_with_its_newest_sample_first_is_turned_round(write):
    log = read_power_log(write("time,watts\n120,60\n60,x\n0,50\n"))
    assert (log.times_s, log.watts, log.disorders) == ((0.0, 120.0), (50.0, 60.0), ())
    assert log.bad == ((60.0, "line 3 ('60,x')"),)
    assert read_power_log(write("time,watts\n60,60\n0,50\n")).disorders == ((0.0, 60.0),)
    assert read_power_log(write("time,watts\n120,60\n60,70\n60,80\n")).disorders == ((60.0, 120.0), (60.0, 120.0))


def test_newest_first_over_the_hour_that_comes_twice(write):
    clocks = ["03:00", "02:30", "02:00", "02:30", "02:00", "01:30"]
    text = "time,watts\n" + "".join(f"2025-10-26 {clock},50\n" for clock in clocks)
    log = read_power_log(write(text), LogFormat(time_zone="Europe/Berlin"))
    assert [time_s - unix(2025, 10, 25, 23, 30) for time_s in log.times_s] == [1800.0 * half for half in range(6)]
    assert (log.twice, log.disorders) == ((), ())


def test_a_clock_offset_moves_what_is_bad_and_what_came_twice_too(write):
    text = "time,watts\n2025-10-26 02:30,50\n2025-10-26 02:31,x\n2025-10-26 02:32,50\n"
    log = read_power_log(write(text), LogFormat(time_zone="Europe/Berlin", clock_offset_s=-100.0))
    first = unix(2025, 10, 26, 0, 30) - 100.0
    assert log.times_s == (first, first + 120.0)
    assert [time_s for time_s, _ in log.bad] == [first + 60.0]
    assert log.twice == ((first, first + 3600.0 + 120.0),)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"ts":0,"apower":5}\n{"ts":1,"apower":"x"}\n', """line 2 ('{"ts":1,"apower":"x"}')"""),
        ('[{"ts":0,"apower":5},{"ts":1,"apower":"x"}]', """line 2 ("{'ts': '1', 'apower': 'x'}")"""),
        ("0\nPower | 5 Watts\n1\nPower | x Watts\n", "line 4 ('Power | x Watts')"),
        (
            "0\nInstantaneous power reading: 5 Watts\n1\nInstantaneous power reading: x\n",
            "line 4 ('Instantaneous power reading: x')",
        ),
    ],
)
def test_a_bad_sample_is_shown_as_it_stands_in_the_file(write, text, line):
    assert read_power_log(write(text)).bad == ((1.0, line),)


def test_empty_cells_beyond_the_table_are_nothing(write):
    assert read_power_log(write("t,W\n0,5\n1,6,,\n2,7\n")).watts == (5.0, 6.0, 7.0)


def test_a_long_line_is_shown_by_its_beginning(write):
    log = read_power_log(write(f"time,watts\n0,50\n60,{'x' * 100}\n120,50\n"))
    assert log.bad == ((60.0, f"line 3 ('60,{'x' * 57}')"),)


@pytest.mark.parametrize(
    ("text", "layout", "watts"),
    [
        # By its form alone: no header, a named column, a format. A machine draws 1 W at least; a stated unit counts.
        ("0,1\n1,1\n", LogFormat(), (1.0, 1.0)),
        ("0,0.5\n1,1\n2,1.5\n", LogFormat(), (0.5, 1.0, 1.5)),
        ("0,0.5\n1,0.5\n", LogFormat(unit="W"), (0.5, 0.5)),
        ("t,W\n0,0.5\n1,0.5\n", LogFormat(), (0.5, 0.5)),
        ("t,a\n0,5\n1,x\n", LogFormat(watts_column="a"), (5.0,)),
        # A history of Home Assistant: 10 W.
        (history(10, 10), LogFormat(), (10.0, 10.0)),
        (history(1, 10, 11), LogFormat(), (1.0, 10.0, 11.0)),
        (history(0.5), LogFormat(unit="W"), (0.5,)),
        (history(0.5), LogFormat(unit="kW"), (500.0,)),
        (history(0.5, entity="sensor.power_w"), LogFormat(), (0.5,)),
        (history(0.5, entity="sensor.power_kw"), LogFormat(), (500.0,)),
    ],
)
def test_powers_without_a_written_unit_are_w_where_a_machine_draws_so_much(write, text, layout, watts):
    assert read_power_log(write(text), layout).watts == watts


@pytest.mark.parametrize(
    ("text", "layout", "column", "first"),
    [
        ("0,0.75\n1,0.99\n", LogFormat(), "'column 2'", "0.75"),
        ("t,a\n0,x\n1,0.125\n", LogFormat(watts_column="a"), "'a'", "0.125"),
        ("t,apower\n0,0.5\n", LogFormat(), "'apower'", "0.5"),
        (history(9.5, 9.9), LogFormat(), "'state' of sensor.plug_power", "9.5"),
    ],
)
def test_powers_that_are_little_for_a_machine_need_their_unit_named(write, text, layout, column, first):
    path = write(text)
    with pytest.raises(MeterError) as caught:
        read_power_log(path, layout)
    assert str(caught.value) == (
        f"the unit of column {column} of {path} is not known, and {first} W is little for a machine; name it with "
        "--log-unit"
    )


def test_home_assistant_s_default_unit_is_told(write):
    path = write(history(50))
    assert read_power_log(path).warnings == (
        f"column 'state' of sensor.plug_power of {path} has no unit; W, Home Assistant's default, is assumed: "
        "--log-unit names another",
    )
    assert read_power_log(write(history(50, entity="sensor.power_w"))).warnings == ()


@pytest.mark.parametrize(
    ("text", "layout", "watts"),
    [
        # A mark is told by the powers, by other columns, or by the form of the log.
        ("t;W\n0;1.234\n1;12.5\n", LogFormat(), (1.234, 12.5)),
        ("t;W;V\n0;1.234;230.5\n", LogFormat(), (1.234,)),
        ("t;W;V\n0;1.234;230,5\n", LogFormat(), (1234.0,)),
        ("t;W;V\n0;1.234;230\n", LogFormat(decimal=","), (1234.0,)),
        ("t W\n0 1.234\n", LogFormat(), (1.234,)),
        ("t,W\n0,1.234\n", LogFormat(), (1.234,)),
        ("t|W\n0|1.234\n", LogFormat(), (1.234,)),
        ('{"ts":0,"apower":"1.234"}\n', LogFormat(), (1.234,)),
        ("t;W;name\n0;1.234;3,5 and more\n1;5.678;x\n", LogFormat(decimal="."), (1.234, 5.678)),
    ],
)
def test_the_decimal_mark_is_told_by_the_whole_log(write, text, layout, watts):
    assert read_power_log(write(text), layout).watts == watts


@pytest.mark.parametrize(
    "text",
    [
        "t;W\n0;1.234\n",
        "t\tW\n0\t1.234\n",
        "t;W;V;A\n0;1.234;230,5;0.5\n",
        "t;W;V\n0;1.234;230\n",
        't,W,note\n0,1.234,"a, b"\n',
        't|W|note\n0|1.234|"a, b"\n',
    ],
)
def test_a_decimal_mark_that_nothing_tells_is_asked_for(write, text):
    with pytest.raises(MeterError, match=r"'1.234' is 1.234 or 1234; name the mark with --log-decimal$"):
        read_power_log(write(text))


@pytest.mark.parametrize(
    ("text", "layout", "error", "said"),
    [
        (
            "time,watts\n0,5 bananas\n1,6 bananas\n",
            LogFormat(),
            MeterError,
            "the power log {} holds no sample: line 2 ('0,5 bananas') is the first of 2 without a power",
        ),
        (
            "power\n",
            LogFormat(),
            MeterError,
            "the power log {} holds no sample: no line of it has a time (epoch seconds, or date and clock time) "
            "and a power",
        ),
        (
            "t,W\n0,5\n1,6,7\n",
            LogFormat(),
            MeterError,
            "the power log {} is no table: line 3 has 3 cells, the header 2: '1,6,7'; correct or remove it",
        ),
        (
            f"t,a,W\n0,{'x' * 70},5\n1,y,6\n",
            LogFormat(time_column="a"),
            MeterError,
            f"line 2 of {{}} is no sample of time and watts: '0,{'x' * 58}' ('{'x' * 70}' is neither epoch",
        ),
        ("t,host,W\n0,a,5\n", LogFormat(node="b"), MeterError, "the power log {} holds no sample of b"),
        (
            "t,W\n06/03/2025 10:00,5\n31/02/2025 10:00,6\n",
            LogFormat(time_zone="UTC"),
            MeterError,
            "line 3 of {} is no sample of time and watts: '31/02/2025 10:00,6' (",
        ),
        (
            history(50),
            LogFormat(watts_column="sensor.plug_power", node="b"),
            UsageError,
            "watts_column is 'sensor.plug_power', but the columns of {} are entity_id, state, last_changed",
        ),
        (
            history(50),
            LogFormat(watts_column="sensor.tv_power"),
            UsageError,
            "watts_column is 'sensor.tv_power', but the columns of {} are entity_id, state, last_changed",
        ),
        ("0,5\n", LogFormat(period_s=0.0), UsageError, "period_s is 0.0; expected a number of seconds above 0"),
        ("0,5\n", LogFormat(decimal="x"), UsageError, "--log-decimal is 'x'; expected . or ,"),
    ],
)
def test_a_log_that_cannot_be_read_is_refused_in_words(write, text, layout, error, said):
    path = write(text)
    with pytest.raises(error) as caught:
        read_power_log(path, layout)
    assert str(caught.value).startswith(said.format(path))


def test_a_file_of_more_than_a_gibibyte_is_refused_unread(tmp_path):
    path = tmp_path / "power.csv"
    with path.open("wb") as stream:
        stream.truncate(2**30 + 1)
    with pytest.raises(MeterError, match=r"is larger than 1024 MiB; cut out the time of the run$"):
        read_power_log(path)


def test_the_source_of_a_log_says_what_it_covers():
    log = power_log([(0.0, 50.0), (60.0, 50.0)], source="power log x")
    assert source_line(log) == "power log x, the whole machine at the wattmeter, a sample every 60 s"
    log = replace(log, taken="time from 't' (epoch), power from 'power.draw [W]' in W")
    assert source_line(log) == (
        "power log x (time from 't' (epoch), power from 'power.draw [W]' in W), the GPU's board as nvidia-smi reads "
        "it, a sample every 60 s"
    )


def test_a_log_is_read_again_when_it_has_changed_and_not_else(write, monkeypatch):
    path = write("0,100\n60,100\n120,100\n")
    read = []
    monkeypatch.setattr(wattmeter_csv, "read_power_log", lambda *given: read.append(given) or read_power_log(*given))
    layout = LogFormat(period_s=60.0)
    meter = WattmeterLog(path, layout)
    assert [meter.energy(at(0.0), at(120.0)).joules for _ in range(2)] == [12000.0, 12000.0]
    assert read == [(path, layout)]
    os.utime(path, ns=(0, 0))
    meter.energy(at(0.0), at(120.0))
    assert len(read) == 2
    assert (meter.name, meter.quantities, meter.maximum_window_s, meter.minimum_window_s) == (
        "wattmeter-log",
        ("wall",),
        None,
        600.0,
    )


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(MeterError, match=r"cannot be read: No such file"):
        read_power_log(tmp_path / "none.csv")
    with pytest.raises(MeterError, match=r"cannot be read"):
        read_power_log(tmp_path)


def test_a_period_may_be_named(write):
    path = write("0,50\n60,50\n")
    log = read_power_log(path, LogFormat(period_s=0.5))
    assert (log.period_s, log.source) == (0.5, f"power log {path}")


@pytest.mark.parametrize("period", [0.0, -1.0, float("nan"), float("inf")])
def test_a_period_is_above_zero(write, period):
    with pytest.raises(UsageError, match=r"period_s is"):
        read_power_log(write("0,50\n1,50\n"), LogFormat(period_s=period))


def seconds_of(text: str, zone: str | None = None) -> float:
    (times, *_) = readings([read_stamp(text)], time_zone_named(zone))
    return times.unix_s[0]


@given(st.integers(0, 4_000_000_000))
def test_epoch_and_iso_say_the_same_in_every_unit(second):
    assert seconds_of(str(second)) == second
    assert seconds_of(utc_text(second)) == second
    if second > 200_000_000:
        assert seconds_of(str(second * 1000)) == second
        assert seconds_of(str(second * 10**6)) == second
        assert seconds_of(str(second * 10**9)) == second


@given(st.integers(0, 4_000_000_000), st.sampled_from(["US/Mountain", "Europe/Berlin", "Asia/Kolkata", "UTC"]))
def test_local_times_of_a_zone_come_back(second, zone):
    """Not in the hour that comes twice: there the first is meant when nothing came before."""
    local = datetime.fromtimestamp(second, time_zone_named(zone))
    expected = local.replace(fold=0).timestamp()
    assert seconds_of(local.strftime("%Y-%m-%dT%H:%M:%SZ"), zone) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200))
def test_any_text_is_a_log_or_a_clear_refusal(tmp_path, text):
    path = tmp_path / "power.csv"
    path.write_text(text, encoding="utf-8", errors="replace")
    with suppress(MeterError, UsageError):
        assert read_power_log(path).times_s


def test_the_meter_reads_what_was_logged_during_the_run(write):
    path = write("time,watts\n" + "".join(f"{second},100\n" for second in range(10)))
    meter = WattmeterLog(path)
    assert meter.minimum_window_s == 10.0
    assert meter.label == "measured"
    start, end = at(5.0), at(15.0)
    assert "the log ends" in meter.energy(start, end).warnings[0]
    with path.open("a") as stream:
        stream.writelines(f"{second},300\n" for second in range(10, 20))
    assert meter.energy(start, end).joules == 100.0 * 5 + 300.0 * 5
    assert abs(meter.snapshot().unix_s - time.time()) < 5.0
    assert abs(meter.snapshot().time_s - time.perf_counter()) < 5.0
    path.unlink()
    with pytest.raises(MeterError, match=r"cannot be read"):
        meter.energy(start, end)


@pytest.mark.skipif(os.name != "posix", reason="needs a file that changes under the reader")
def test_a_log_that_does_not_exist_yet_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(MeterError, match=r"none.csv cannot be read"):
        WattmeterLog(tmp_path / "none.csv")
