"""Power logs as people have them: each gives the exact joules of the same known samples, or a refusal that says why."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sizer.base.errors import MeterError, UsageError
from sizer.meters.power_log import energy_between
from sizer.meters.wattmeter_csv import LogFormat, WattmeterLog, read_power_log

LOGS = Path(__file__).parent / "data" / "cases" / "logs"
TRUTH = [
    (int(time_s), float(watts)) for time_s, watts in list(csv.reader((LOGS / "truth.csv").read_text().splitlines()))[1:]
]
#: 100 s from the tenth second on; summed by hand from truth.csv, where every sample is held for 1 s.
RUN = (1741290010.0, 1741290110.0)
JOULES = 12305.86
UTC = LogFormat(time_zone="UTC")


def table(row, head: str = "", above: str = "") -> str:
    """A log: ``row`` writes the line(s) of (time in UTC, Unix seconds, watts, number)."""
    lines = [row(datetime.fromtimestamp(time_s, timezone.utc), time_s, w, i) for i, (time_s, w) in enumerate(TRUTH)]
    return above + (f"{head}\n" if head else "") + "".join(f"{line}\n" for line in lines)


def comma(number: float, digits: int = 2) -> str:
    return f"{number:.{digits}f}".replace(".", ",")


def iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"


def dcmi(at: datetime, watts: float, dated: bool) -> str:
    stamp = "Thu Jan  1 00:00:00 1970" if dated else f"{at:%a %b %d %H:%M:%S %Y}"
    before = f"{at:%a %b %e %H:%M:%S} UTC {at:%Y}\n" if dated else "\n"
    return (
        f"{before}    Instantaneous power reading:                   {watts} Watts\n"
        "    Minimum during sampling period:                 17 Watts\n"
        "    Maximum during sampling period:                317 Watts\n"
        "    Average power reading over sample period:      143 Watts\n"
        f"    IPMI timestamp:                           {stamp}\n"
        "    Sampling period:                          00000001 Seconds.\n"
        "    Power reading state is:                   activated\n"
    )


def tasmota(at: datetime, watts: float) -> str:
    energy = {"TotalStartTime": "2024-01-01T00:00:00", "Total": 1.234, "Power": watts, "ApparentPower": watts + 5}
    return "tele/plug/SENSOR " + json.dumps({"Time": f"{at:%Y-%m-%dT%H:%M:%S}", "ENERGY": energy})


def berlin(at: datetime) -> datetime:
    return at.astimezone(ZoneInfo("Europe/Berlin"))


HA = "entity_id,state,last_changed"
GPU = "%Y/%m/%d %H:%M:%S.000"
EXACT = {
    "nvidia-smi": (table(lambda at, t, w, i: f"{at:{GPU}}, {w:.2f} W", "timestamp, power.draw [W]"), UTC),
    "nvidia-smi without units": (table(lambda at, t, w, i: f"{at:{GPU}}, {w:.2f}", "timestamp, power.draw [W]"), UTC),
    "nvidia-smi without header": (table(lambda at, t, w, i: f"{at:{GPU}}, {w:.2f} W"), UTC),
    "nvidia-smi with more columns": (
        table(
            lambda at, t, w, i: f"{at:{GPU}}, 0, GPU-aa, 35 %, {w:.2f} W, 700.00 W, P0",
            "timestamp, index, uuid, utilization.gpu [%], power.draw [W], power.limit [W], pstate",
        ),
        UTC,
    ),
    "nvidia-smi, one GPU of two": (
        table(lambda at, t, w, i: f"{at:{GPU}}, 0, {w} W\n{at:{GPU}}, 1, 55.00 W", "timestamp, index, power.draw [W]"),
        LogFormat(time_zone="UTC", node="0"),
    ),
    "ipmitool dcmi by its own clock": (table(lambda at, t, w, i: dcmi(at, w, False)), UTC),
    "ipmitool dcmi below date": (table(lambda at, t, w, i: dcmi(at, w, True)), LogFormat()),
    "ipmitool sensor lines": (
        table(lambda at, t, w, i: f"{iso(at)} | Pwr Consumption  | {w:.3f}    | Watts      | ok    | na  | na"),
        LogFormat(),
    ),
    "ipmitool sdr below epoch seconds": (
        table(lambda at, t, w, i: f"{t}\nPwr Consumption  | {w} Watts | ok\nInlet Temp | 45 degrees C | ok"),
        LogFormat(),
    ),
    "Home Assistant, bad sample before the run": (
        table(lambda at, t, w, i: f"sensor.plug_power,{'unavailable' if i == 5 else w},{iso(at)}", HA),
        LogFormat(),
    ),
    "Home Assistant, power and energy": (
        table(lambda at, t, w, i: f"sensor.plug_power,{w},{iso(at)}\nsensor.plug_energy,1.2,{iso(at)}", HA),
        LogFormat(),
    ),
    "Home Assistant, one entity of two": (
        table(lambda at, t, w, i: f"sensor.plug_power,{w},{iso(at)}\nsensor.tv_power,80,{iso(at)}", HA),
        LogFormat(watts_column="sensor.plug_power"),
    ),
    "Home Assistant, kW in its own column": (
        table(
            lambda at, t, w, i: f"sensor.x,{w / 1000:.5f},kW,{iso(at)}\nsensor.x_v,230.1,V,{iso(at)}",
            "entity_id,state,unit_of_measurement,last_changed",
        ),
        LogFormat(node="sensor.x"),
    ),
    "Home Assistant's interface": (
        json.dumps([[{"entity_id": "sensor.plug_power", "state": str(w), "last_changed": f"{t}"} for t, w in TRUTH]]),
        LogFormat(),
    ),
    "Shelly": (
        table(lambda at, t, w, i: f"{t},{w},230.1,0.4,12.5", "ts,apower,voltage,current,aenergy.total"),
        LogFormat(),
    ),
    "Shelly, three phases": (
        table(lambda at, t, w, i: f"{t},{w / 2},{w / 4},{w}", "ts,a_act_power,b_act_power,total_act_power"),
        LogFormat(),
    ),
    "Shelly, JSON lines": (
        table(lambda at, t, w, i: json.dumps({"ts": t, "switch:0": {"apower": w, "aenergy": {"total": 12.5}}})),
        LogFormat(),
    ),
    "Tasmota table": (
        table(
            lambda at, t, w, i: f"{at:%Y-%m-%dT%H:%M:%S},1.234,0.2,{w},{w + 5},10,0.98,230,0.5",
            "Time,ENERGY.Total,ENERGY.Today,ENERGY.Power,ENERGY.ApparentPower,ENERGY.ReactivePower,ENERGY.Factor,"
            "ENERGY.Voltage,ENERGY.Current",
        ),
        UTC,
    ),
    "Tasmota, what mosquitto_sub writes": (table(lambda at, t, w, i: tasmota(at, w)), UTC),
    "UPS with a preamble, US dates, kW": (
        table(
            lambda at, t, w, i: f"{at:%m/%d/%Y}\t{at:%H:%M:%S}\t230.1\t{w / 1000:.5f}\t12.4",
            "Date\tTime\tVmin\tPwr.kW\tEnergy.kWh",
            "Management Card AOS\tv6.5.6\nName\tLocation\tContact\nUPS1\tRack 4\tUnknown\n03/06/2025\t19:40:00\n\n",
        ),
        UTC,
    ),
    "PDU with a preamble, German": (
        table(
            lambda at, t, w, i: f"{at:%d.%m.%Y};{at:%H:%M:%S};{comma(w)};0,98",
            "Datum;Uhrzeit;Wirkleistung [W];cos phi",
            "PDU Rack 3;Firmware 2.1\nExport vom;06.03.2025\n\n",
        ),
        UTC,
    ),
    "a row of units": (
        table(lambda at, t, w, i: f"{iso(at)};{w * 1000:.0f};230", "time;power;voltage\n;mW;V"),
        LogFormat(),
    ),
    "AM and PM": (table(lambda at, t, w, i: f"{at:%m/%d/%Y %I:%M:%S %p},{w}", "Time,Watts"), UTC),
    "day first": (table(lambda at, t, w, i: f"{at:%d/%m/%Y %H:%M:%S},{w}", "Time,Watts"), UTC),
    "names of months": (table(lambda at, t, w, i: f"{at:%d-%b-%Y %H:%M:%S} UTC,{w}", "when,watts"), LogFormat()),
    "milliseconds": (table(lambda at, t, w, i: f"{t * 1000},{w}", "time_ms,watts"), LogFormat()),
    "microseconds": (table(lambda at, t, w, i: f"{t * 10**6},{w}", "t,watts"), LogFormat()),
    "digits alone": (table(lambda at, t, w, i: f"{at:%Y%m%d%H%M%S},{w}", "time,watts"), UTC),
    "digits alone in two columns": (table(lambda at, t, w, i: f"{at:%Y%m%d %H%M%S} {w}", "date time watts"), UTC),
    "a unit in each cell": (
        table(lambda at, t, w, i: f"{t},{w} W" if i % 2 else f"{t},{w / 1000:.5f} kW", "time,power"),
        LogFormat(),
    ),
    "watts beside volt-amperes": (
        table(lambda at, t, w, i: f"{t},{w + 9},{w}", "time,Power (VA),Power (W)"),
        LogFormat(),
    ),
    "mean beside extremes": (
        table(lambda at, t, w, i: f"{iso(at)},{w - 9},{w + 9},{w}", "Time,Power Min (W),Power Max (W),Power Avg (W)"),
        LogFormat(),
    ),
    "the unit stated": (table(lambda at, t, w, i: f"{t},{w / 1000:.5f}", "time,power"), LogFormat(unit="kW")),
    "the unit stated against two": (table(lambda at, t, w, i: f"{t},{w}", "time,power W [kW]"), LogFormat(unit="W")),
    "decimal commas in quotes": (table(lambda at, t, w, i: f'{t},"{comma(w)}"', "time,watts"), LogFormat()),
    "groups of digits": (
        table(lambda at, t, w, i: f"{t};{w * 1000:,.0f}".replace(",", "'"), "time;power_mW"),
        LogFormat(),
    ),
    "the decimal mark stated": (table(lambda at, t, w, i: f"{t};{w:.3f}", "time;watts"), LogFormat(decimal=".")),
    "Berlin, named": (
        table(lambda at, t, w, i: f"{berlin(at):%d.%m.%Y %H:%M:%S};{comma(w)}", "Zeitstempel;Leistung (W)"),
        LogFormat(time_zone="Europe/Berlin"),
    ),
    "an offset, named": (
        table(lambda at, t, w, i: f"{berlin(at):%d.%m.%Y %H:%M:%S};{comma(w)}", "Zeitstempel;Leistung (W)"),
        LogFormat(time_zone="+01:00"),
    ),
    "offsets as written": (table(lambda at, t, w, i: f"{berlin(at).isoformat()},{w}", "ts,W"), LogFormat()),
    "an offset in minutes beside local times": (
        table(
            lambda at, t, w, i: f"60,{berlin(at):%Y-%m-%d %H:%M:%S},{w}", "UTC Offset (Minutes),Local Time,Power (W)"
        ),
        LogFormat(),
    ),
    "UTC in the name": (table(lambda at, t, w, i: f"{at:%Y-%m-%d %H:%M:%S},{w}", "Date/time UTC,watts"), LogFormat()),
    "the zone in the preamble": (
        table(lambda at, t, w, i: f"{berlin(at):%Y-%m-%d %H:%M:%S},{w}", "Time,watts", "# Time zone: Europe/Berlin\n"),
        LogFormat(),
    ),
    "newest first": (
        "Time,Watts\n" + "\n".join(table(lambda at, t, w, i: f"{iso(at)},{w}").splitlines()[::-1]) + "\n",
        LogFormat(),
    ),
    "a header in comments, as nvidia-smi dmon writes": (
        table(
            lambda at, t, w, i: f" {at:%Y%m%d}   {at:%H:%M:%S}      0   {w}    45     -",
            "#Date       Time        gpu   pwr gtemp mtemp\n#YYYYMMDD   HH:MM:SS    Idx     W     C     C",
        ),
        UTC,
    ),
    "epoch seconds with decimal commas": (table(lambda at, t, w, i: f"{t},0;{comma(w)}", "time;W"), LogFormat()),
    "a unit in a column of its own": (table(lambda at, t, w, i: f"{t} {w * 1000:.0f} mW"), LogFormat()),
    "Grafana": (
        table(
            lambda at, t, w, i: (
                f'"{at:%Y-%m-%d %H:%M:%S}","{w} W"' if w < 110 else f'"{at:%Y-%m-%d %H:%M:%S}","{w / 1000:.5f} kW"'
            ),
            '"Time","Rack"',
        ),
        UTC,
    ),
    "objects with a unit": (
        table(lambda at, t, w, i: json.dumps({"ts": t * 1000, "value": w / 1000, "unit": "kW"})),
        LogFormat(),
    ),
    "bad samples before any good one, in epoch seconds": (
        table(lambda at, t, w, i: f"{t},{'N/A' if i < 7 else w}", "time,watts"),
        LogFormat(),
    ),
    "R's table with numbered rows": (table(lambda at, t, w, i: f"{i + 1} {t} {w}", "time watts"), LogFormat()),
    "per cents beside watts": (table(lambda at, t, w, i: f"{t},{w},{w / 9:.1f}", "time,watts,watts %"), LogFormat()),
    "a sum below the table": (
        table(lambda at, t, w, i: f"{iso(at)},{w}", "Time,Watts") + "Total,12.3\nEnd of export\n",
        LogFormat(),
    ),
    "a header that comes again": (
        table(lambda at, t, w, i: ("Time,Watts\n" if i == 60 else "") + f"{iso(at)},{w}", "Time,Watts"),
        LogFormat(),
    ),
    "InfluxDB": (
        table(lambda at, t, w, i: f",,0,{iso(at)},{w},power,W", ",result,table,_time,_value,_field,unit"),
        LogFormat(),
    ),
    "bad samples of many kinds before and after the run": (
        table(
            lambda at, t, w, i: (
                f"{iso(at)},{('N/A', '[N/A]', 'ERR!', '', 'overload')[i % 5] if i < 9 or i > 112 else w}"
            ),
            "Time,Watts",
        ),
        LogFormat(),
    ),
}


def joules(tmp_path, text: str, layout: LogFormat):
    path = tmp_path / "power.csv"
    path.write_text(text, encoding="utf-8")
    return energy_between(read_power_log(path, layout), *RUN)


@pytest.mark.parametrize("kind", EXACT)
def test_every_kind_of_log_gives_the_exact_joules(tmp_path, kind):
    energy = joules(tmp_path, *EXACT[kind])
    assert energy.joules == pytest.approx(JOULES, abs=1e-6), energy.warnings


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
def test_encodings_of_spreadsheets(tmp_path, encoding):
    path = tmp_path / "power.csv"
    path.write_text(table(lambda at, t, w, i: f"{iso(at)};{w};20 °C", "Zeit;Leistung [W];Wärme"), encoding=encoding)
    assert energy_between(read_power_log(path), *RUN).joules == pytest.approx(JOULES, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("truth.csv", LogFormat()),
        ("kw_column.csv", LogFormat()),
        ("mw_column.csv", LogFormat()),
        ("kw_column.csv", LogFormat(watts_column="Active Power (kW)")),
    ],
)
def test_the_logs_that_went_wrong(name, layout):
    log = read_power_log(LOGS / name, layout)
    assert energy_between(log, *RUN).joules == pytest.approx(JOULES, abs=1e-6)


@pytest.mark.parametrize(
    "layout", [LogFormat(), LogFormat(watts_column="state", time_column="last_changed"), LogFormat(unit="W")]
)
def test_home_assistant_s_history_is_read_around_what_was_unavailable(layout):
    """The fifth second (unavailable) lies outside the run; the sixtieth (unknown) would be inside a longer one."""
    log = read_power_log(LOGS / "ha_history.csv", layout)
    run = (RUN[0], RUN[0] + 50.0)
    expected = sum(watts for _, watts in TRUTH[10:60])
    assert energy_between(log, *run).joules == pytest.approx(expected, abs=1e-6)
    assert "line 62 ('sensor.plug_power,unknown," in energy_between(log, *RUN).warnings[0]
    assert "line 7 ('sensor.plug_power,unavailable," in energy_between(log, RUN[0] - 5, RUN[0]).warnings[0]


REFUSED = {
    "no unit": (
        table(lambda at, t, w, i: f"{t},{w}", "time,power"),
        LogFormat(),
        "'power' of .* is not known.*--log-unit",
    ),
    "two units in the name": (
        table(lambda at, t, w, i: f"{t},{w}", "time,power W [kW]"),
        LogFormat(),
        "names its unit twice .kW and W.*--log-unit",
    ),
    "a unit in the name, another in the cells": (
        table(lambda at, t, w, i: f"{t},{w} W", "time,power (kW)"),
        LogFormat(),
        "names its unit twice: kW for all, W in its cells; name it with --log-unit",
    ),
    "some cells without their unit": (
        table(lambda at, t, w, i: f"{t},{w}{' W' if i % 3 else ''}", "time,power"),
        LogFormat(),
        "some cells of .* say W and others no unit.*--log-unit",
    ),
    "capitals that may be milli or mega": (
        table(lambda at, t, w, i: f"{t},{w * 1000:.0f}", "TIME,POWER_MW"),
        LogFormat(),
        "the unit of column 'POWER_MW' .* is MW or mW.*--log-unit",
    ),
    "an energy counter": (
        table(lambda at, t, w, i: f"{t},{100 + i / 1000:.3f}", "time,Energy (kWh)"),
        LogFormat(),
        "column 'Energy .kWh.' of .* counts energy, and a log of power is expected",
    ),
    "an energy counter, named": (
        table(lambda at, t, w, i: f"{t},{100 + i / 1000:.3f}", "time,Energy (kWh)"),
        LogFormat(watts_column="Energy (kWh)"),
        "is energy .kWh., and power is expected",
    ),
    "Shelly's energies": (
        table(lambda at, t, w, i: f"{t},{i},{i}", "timestamp,a_total_act_energy,a_fund_act_energy"),
        LogFormat(),
        "counts energy",
    ),
    "apparent power": (table(lambda at, t, w, i: f"{t},{w}", "time,Power (VA)"), LogFormat(), "is apparent power"),
    "apparent power in cells": (table(lambda at, t, w, i: f"{t},{w} VA", "time,Power"), LogFormat(), "apparent power"),
    "per cents of a load": (table(lambda at, t, w, i: f"{iso(at)},{w / 9:.1f}", "Time,Load (%)"), LogFormat(), "Load"),
    "two powers": (
        table(lambda at, t, w, i: f"{t},{w},{w}", "time,PSU 1 (W),PSU 2 (W)"),
        LogFormat(),
        "not clear .PSU 1 .W., PSU 2 .W..; name one with watts_column",
    ),
    "a PDU's outlets and their total": (
        table(lambda at, t, w, i: f"{t},{w},{w},{2 * w}", "time,Outlet 1 (W),Outlet 2 (W),Total (W)"),
        LogFormat(),
        "not clear .Outlet 1 .W., Outlet 2 .W., Total .W..; name one with watts_column",
    ),
    "a unit with a factor": (
        table(lambda at, t, w, i: f"{t},{w * 10:.0f}", "time,Power in 0.1 W"),
        LogFormat(),
        "names its unit twice .W and a multiple of W|a multiple of W and W.*--log-unit",
    ),
    "irradiance": (table(lambda at, t, w, i: f"{t},{w}", "time,Sun W/m2"), LogFormat(), "not clear"),
    "decimal commas between commas": (
        table(lambda at, t, w, i: f"{t},{comma(w)}", "time,watts"),
        LogFormat(),
        "line 2 has 3 cells .* the header 2 .time, watts.: decimal commas",
    ),
    "decimal commas between commas, no header": (
        table(lambda at, t, w, i: f"{iso(at)},{comma(w)}"),
        LogFormat(),
        "a decimal comma between commas",
    ),
    "decimal commas with units between commas, no header": (
        table(lambda at, t, w, i: f"{iso(at)},{comma(w)} W"),
        LogFormat(),
        "no header and 3 columns",
    ),
    "three digits behind a dot or a group": (
        table(lambda at, t, w, i: f"{t};{w:.3f}", "time;watts"),
        LogFormat(),
        "'100.240' is 100.24 or 100240; name the mark with --log-decimal",
    ),
    "mixed decimal marks": (
        table(lambda at, t, w, i: f"{t};{comma(w) if i % 2 else w}", "time;watts"),
        LogFormat(),
        "mixes decimal marks: '100.24' and '105,54'",
    ),
    "an abbreviated zone": (
        table(lambda at, t, w, i: f"{at:%Y-%m-%d %H:%M:%S},{w}", "Time (CET),watts"),
        LogFormat(),
        "the time zone 'CET' does not say its offset surely; name it with --log-time-zone",
    ),
    "a spreadsheet's days": (
        table(lambda at, t, w, i: f"{t / 86400 + 25569:.8f},{w}", "Date,watts"),
        LogFormat(),
        "spreadsheet's days",
    ),
    "Home Assistant's energy": (
        table(lambda at, t, w, i: f"sensor.plug_energy,{w},{iso(at)}", HA),
        LogFormat(),
        "sensor.plug_energy .* named after another quantity",
    ),
    "Home Assistant's kW without a unit": (
        table(lambda at, t, w, i: f"sensor.plug_power,{w / 1000:.5f},{iso(at)}", HA),
        LogFormat(),
        "is not known, and 0.10024 W is little for a machine; name it with --log-unit",
    ),
    "kW without a header": (
        table(lambda at, t, w, i: f"{t},{w / 1000:.5f}"),
        LogFormat(),
        "is not known, and 0.10024 W is little for a machine",
    ),
    "a row with too many cells": (
        table(lambda at, t, w, i: f"{iso(at)},{w}{',7' if i == 50 else ''}", "Time,Watts"),
        LogFormat(),
        "line 52 has 3 cells, the header 2",
    ),
    "a time that its zone skips": (
        "Time,Watts\n" + "".join(f"2025-03-30 02:{minute:02d}:00,100\n" for minute in range(60)),
        LogFormat(time_zone="Europe/Berlin"),
        "line 2 .* does not exist in Europe/Berlin.*--log-time-zone",
    ),
    "a date that is none": ("Time,Watts\n30/02/2025 10:00:00,5\n31/02/2025 10:00:01,5\n", LogFormat(), "line 2 of"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_sure_is_refused_in_one_line_with_the_way_out(tmp_path, kind):
    text, layout, said = REFUSED[kind]
    with pytest.raises(MeterError, match=said) as caught:
        joules(tmp_path, text, layout)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("unit", ["VA", "kWh", "horses", ""])
def test_a_stated_unit_is_one_of_power(tmp_path, unit):
    with pytest.raises(UsageError, match=r"--log-unit .* is no unit of power; expected one of W, kW"):
        joules(tmp_path, table(lambda at, t, w, i: f"{t},{w}", "time,power"), LogFormat(unit=unit))


def test_a_stated_decimal_mark_is_one_of_two(tmp_path):
    with pytest.raises(UsageError, match=r"--log-decimal is ';'; expected . or ,"):
        joules(tmp_path, "time,watts\n0,1\n", LogFormat(decimal=";"))


def test_several_entities_of_power_are_named(tmp_path):
    text = table(lambda at, t, w, i: f"sensor.a_power,{w},{iso(at)}\nsensor.b_power,80,{iso(at)}", HA)
    with pytest.raises(UsageError, match=r"several nodes .sensor.a_power, sensor.b_power.; name one with node"):
        joules(tmp_path, text, LogFormat())


@pytest.mark.parametrize("bad", ["unavailable", "N/A", "", "ERR!", "12.3.4"])
def test_a_bad_sample_in_the_run_is_named_and_the_run_refused(tmp_path, bad):
    text = table(lambda at, t, w, i: f"{iso(at)},{bad if i == 50 else w}", "Time,Watts")
    energy = joules(tmp_path, text, LogFormat())
    assert energy.joules is None
    assert "the sample of 2025-03-06T19:40:50Z is no power: line 52 ('2025-03-06T19:40:50Z," in energy.warnings[0]
    assert bad in energy.warnings[0]


@pytest.mark.parametrize(
    ("first", "last", "is_known"), [(9, 9, False), (8, 8, True), (110, 110, True), (109, 109, False)]
)
def test_a_bad_sample_counts_as_long_as_it_would_be_held(tmp_path, first, last, is_known):
    """The run lasts from the 10th second to the 110th. A sample right before it is held into it, at 10 it is not."""
    run = (RUN[0] - 0.5, RUN[1])
    text = table(lambda at, t, w, i: f"{iso(at)},{'unavailable' if first <= i <= last else w}", "Time,Watts")
    path = tmp_path / "power.csv"
    path.write_text(text)
    assert (energy_between(read_power_log(path), *run).joules is not None) == is_known


def test_a_gap_of_more_than_three_periods_is_named(tmp_path):
    text = table(lambda at, t, w, i: "" if 50 <= i < 53 else f"{iso(at)},{w}", "Time,Watts")
    assert "a gap of 4 s after 2025-03-06T19:40:49Z" in joules(tmp_path, text, LogFormat()).warnings[0]
    text = table(lambda at, t, w, i: "" if 50 <= i < 52 else f"{iso(at)},{w}", "Time,Watts")
    assert joules(tmp_path, text, LogFormat()).joules is None, "the study's count of samples"


def test_zero_watts_stay_bad(tmp_path):
    text = table(lambda at, t, w, i: f"{iso(at)},{0 if i == 50 else w}", "Time,Watts")
    assert "is 0 W; check the wattmeter" in joules(tmp_path, text, LogFormat()).warnings[0]


def test_dates_of_two_orders_are_those_of_the_run_and_that_is_said(tmp_path):
    for form, order in (("%d/%m/%Y", "day first"), ("%m/%d/%Y", "month first")):
        energy = joules(tmp_path, table(lambda at, t, w, i, f=form: f"{at:{f} %H:%M:%S},{w}", "Time,Watts"), UTC)
        assert energy.joules == pytest.approx(JOULES)
        assert f"fit more than one order; they are read as those of the run ({order})" in energy.warnings[0]


def test_dates_that_pass_midnight_tell_their_order(tmp_path):
    begin = datetime(2025, 3, 6, 23, 59, 0, tzinfo=timezone.utc)
    moments = [begin + timedelta(seconds=second) for second in range(120)]
    path = tmp_path / "power.csv"
    path.write_text("Time,Watts\n" + "".join(f"{at:%d/%m/%Y %H:%M:%S},50\n" for at in moments))
    log = read_power_log(path, UTC)
    assert log.times_s[0] == begin.timestamp()
    assert log.others == ()
    assert "day first" in log.taken


def fall(path, minutes: range, zone: str | None = "Europe/Berlin"):
    """A log in minutes since 01:00 summer time on the day on which Berlin puts its clocks back at 03:00."""
    begin = datetime(2025, 10, 25, 23, tzinfo=timezone.utc)
    local = [(begin + timedelta(minutes=minute)).astimezone(ZoneInfo("Europe/Berlin")) for minute in minutes]
    path.write_text("Time,Watts\n" + "".join(f"{at:%Y-%m-%d %H:%M:%S},50\n" for at in local))
    return read_power_log(path, LogFormat(time_zone=zone)), begin.timestamp()


@pytest.mark.parametrize("minutes", [range(240), range(90), range(100, 240), range(70, 170)])
def test_the_hour_that_comes_twice_is_told_by_what_comes_before_or_after_it(tmp_path, minutes):
    log, begin = fall(tmp_path / "power.csv", minutes)
    assert log.twice == ()
    assert [time_s - begin for time_s in log.times_s] == [60.0 * minute for minute in minutes]


def test_an_hour_that_comes_twice_and_that_nothing_tells_is_refused_with_the_way_out(tmp_path):
    log, begin = fall(tmp_path / "power.csv", range(130, 170))
    energy = energy_between(log, log.times_s[0], log.times_s[-1])
    assert energy.joules is None
    assert "come twice, as clocks are put back" in energy.warnings[0]
    assert "--log-time-zone (+02:00)" in energy.warnings[0]
    log, begin = fall(tmp_path / "power.csv", range(130, 170), "+01:00")
    assert energy_between(log, begin + 7860, begin + 9600).joules == 50.0 * 1740


def test_one_line_says_what_was_taken_for_what(tmp_path):
    path = LOGS / "kw_column.csv"
    source = WattmeterLog(path).source
    assert source == (
        f"power log {path} (time from 'Local Time Stamp' with 'UTC Offset (Minutes)' (UTC, as written), power from "
        "'Active Power (kW)' in kW), the whole machine at the wattmeter, a sample every 1 s"
    )
    path = tmp_path / "gpu.csv"
    path.write_text(EXACT["nvidia-smi"][0])
    assert "the GPU's board as nvidia-smi reads it" in WattmeterLog(path, UTC).source
    path.write_text(EXACT["PDU with a preamble, German"][0])
    assert WattmeterLog(path, UTC).source == (
        f"power log {path} (time from 'Datum' and 'Uhrzeit' (day first, UTC, as named), power from 'Wirkleistung "
        "[W]' in W, decimal commas; 2 lines above the table left out), the whole machine at the wattmeter, a sample "
        "every 1 s"
    )


def test_no_log_of_the_benchmark_is_read_wrong():
    program = Path(__file__).parents[1] / "benchmarks" / "power_logs.py"
    done = subprocess.run([sys.executable, program, "--logs", "55", "--seed", "3"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^4\d exact  1\d refused  0 WRONG  of 55 logs$", done.stdout, re.MULTILINE)
