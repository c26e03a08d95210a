"""Reading power logs: headers, delimiters, units, time stamps of all kinds, and files that are no power log."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import datetime, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meter_fakes import at

from sizer.base.errors import MeterError, UsageError
from sizer.meters.local_times import readings, time_zone_named
from sizer.meters.timestamps import read_stamp, utc_text
from sizer.meters.wattmeter_csv import LogFormat, WattmeterLog, read_power_log


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


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(MeterError, match=r"cannot be read: No such file"):
        read_power_log(tmp_path / "none.csv")
    with pytest.raises(MeterError, match=r"cannot be read"):
        read_power_log(tmp_path)


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
    path.unlink()
    with pytest.raises(MeterError, match=r"cannot be read"):
        meter.energy(start, end)


@pytest.mark.skipif(os.name != "posix", reason="needs a file that changes under the reader")
def test_a_log_that_does_not_exist_yet_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(MeterError, match=r"none.csv cannot be read"):
        WattmeterLog(tmp_path / "none.csv")
