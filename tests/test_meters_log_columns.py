"""Which columns of a power log are time, power, unit, machine and zone: by what they say and hold, or a refusal."""

from __future__ import annotations

import pytest

from sizer.base.errors import MeterError, UsageError
from sizer.meters.log_columns import columns_of
from sizer.meters.log_roles import roles
from sizer.meters.log_table import read_table


def log(rows: str) -> str:
    """The text of rows apart by `` / ``; each row's @ is a second later than that of the row before."""
    lines = [line.replace("@", f"2025-03-06 10:00:{second:02d}") for second, line in enumerate(rows.split(" / "))]
    return "".join(f"{line}\n" for line in lines)


def found(rows: str, time_column: str | None = None, watts_column: str | None = None) -> str:
    """What each column is taken for, as a line."""
    table = read_table(log(rows))
    names = [one.name for one in columns_of(table)]
    taken = roles("log.csv", table, time_column, watts_column)
    unit = taken.unit_problem or (taken.unit.name if taken.unit else "as its cells say")
    others = {"unit in": taken.unit_column, "node": taken.node, "zone": taken.zone}
    said = [f"{what} {names[column]}" for what, column in others.items() if column is not None]
    return ", ".join([" and ".join(names[one] for one in taken.time), f"{names[taken.power]} ({unit})", *said])


@pytest.mark.parametrize(
    ("rows", "taken"),
    [
        # By its unit: in the name, below it, in the cells.
        ("t,x,y (kW) / @,1,2 / @,1,2", "t, y (kW) (kW)"),
        ("t,x,y / ,V,kW / @,1,2 / @,1,2", "t, y (kW)"),
        ("t,x,y / @,1,2 W / @,1,2 W", "t, y (as its cells say)"),
        ("t,power,Watts / @,1,2 / @,1,2", "t, Watts (W)"),
        ("t,y (W) (kW) / @,1 / @,2", "t, y (W) (kW) (names its unit twice (W and kW))"),
        # By its name, which is no limit, share or extreme.
        ("t,x,power / @,1,2 / @,1,2", "t, power (as its cells say)"),
        ("t,x,activePower / @,1,2 / @,1,2", "t, activePower (as its cells say)"),
        ("t,x,P / @,1,2 / @,1,2", "t, P (as its cells say)"),
        ("t,w,power_limit,power % / @,1,2,3 / @,1,2,3", "t, w (W)"),
        ("t,ApparentPower,Power / @,3,2 / @,3,2", "t, Power (as its cells say)"),
        ("t,apparentpower,Power / @,3,2 / @,3,2", "t, Power (as its cells say)"),
        ("t,max power [W],W / @,3,2 / @,3,2", "t, W (W)"),
        ("t,Power (°C) / @,3 / @,2", "t, Power (°C) (°C)"),
        # Formats that have no unit in the name fix it.
        ("t,x,apower / @,1,2 / @,1,2", "t, apower (W)"),
        ("t,a_aprt_power,a_act_power / @,3,2 / @,3,2", "t, a_act_power (W)"),
        ("t,ENERGY.Power,x / @,1,2 / @,1,2", "t, ENERGY.Power (W)"),
        ("t,meters.0.power / @,1 / @,2", "t, meters.0.power (W)"),
        # The total of the phases and of nothing else; no mean beside what it is of.
        ("t,L1 W,L2 W,Total W / @,1,2,3 / @,1,2,3", "t, Total W (W)"),
        ("t,Power W,Power avg W / @,1,2 / @,1,2", "t, Power W (W)"),
        ("t,Power avg W / @,1 / @,2", "t, Power avg W (W)"),
        # Tables of many entities and sensors.
        ("t,entity_id,state / @,sensor.a,5 / @,sensor.a,6", "t, state (as its cells say), node entity_id"),
        ("t,entity_id,state / @,a,unavailable / @,a,unknown / @,a,6", "t, state (as its cells say), node entity_id"),
        ("t,value / @,5 / @,6", "t, value (as its cells say)"),
        ("t,_value,unit / @,5,W / @,6,W", "t, _value (as its cells say), unit in unit"),
        ("t,x,_value,u / @,1,5,W / @,1,6,W", "t, _value (as its cells say), unit in u, node x"),
        ("t,sensor,x,W,u / @,a,1,2,W / @,a,1,2,V", "t, W (W), unit in u, node sensor"),
        # Machines: names, and numbers that come again.
        ("t,W,host,uuid / @,1,a,x / @,1,b,x", "t, W (W), node host"),
        ("t,gpu,W / @,0,5 / @,1,5 / @,0,6 / @,1,6", "t, W (W), node gpu"),
        ("t,gpu,W / @,0,5 / @,1,5 / @,2,6", "t, W (W)"),
        ("t,device,W / @,0,5 / @,1,5 / @,2,6", "t, W (W), node device"),
        # Zones of each row.
        ("t,utcOffset,W / @,1,5 / @,1,6", "t, W (W), zone utcOffset"),
        ("t,utcoffset,W / @,1,5 / @,1,6", "t, W (W), zone utcoffset"),
        ("t,TIMEZONE,W / @,+01:00,5 / @,+01:00,6", "t, W (W), zone TIMEZONE"),
        ("t,Time Zone,W / @,+01:00,5 / @,+01:00,6", "t, W (W), zone Time Zone"),
        ("t,tz,W / @,+01:00,5 / @,+01:00,6", "t, W (W), zone tz"),
        ("t,time,W / @,1,5 / @,1,6", "t, W (W)"),
        ("t,power offset / @,5 / @,6", "t, power offset (as its cells say)"),
        ("t,offset watts / @,5 / @,6", "t, offset watts (W)"),
    ],
)
def test_the_power_and_what_stands_beside_it(rows, taken):
    assert found(rows) == taken


@pytest.mark.parametrize(
    ("rows", "taken"),
    [
        ("begin,end,W / 2025-01-01 00:00:00,@,5 / 2025-01-01 00:00:00,@,6", "end, W (W)"),
        ("local,in UTC,W / 2025-03-06 11:00:00,@,5 / 2025-03-06 11:00:01,@,6", "in UTC, W (W)"),
        ("local,in GMT,W / 2025-03-06 11:00:00,@,5 / 2025-03-06 11:00:01,@,6", "in GMT, W (W)"),
        ("made,timestamp,W / 2025-03-06 11:00:00,@,5 / 2025-03-06 11:00:01,@,6", "timestamp, W (W)"),
        ("last_updated,last_changed,W / 2025-03-06 11:00:00,@,5 / 2025-03-06 11:00:01,@,6", "last_changed, W (W)"),
        # Two columns that hold the same times are one; two of one time each are as good as each other.
        ("a,b,W / @,@,5 / @,@,6", "a, W (W)"),
        ("a,b,W / @,@,5", "a, W (W)"),
        ("day,clock,W / 2025-03-06,10:00:00,5 / 2025-03-06,10:00:01,6", "day and clock, W (W)"),
        ("clock,day,W / 10:00:00,2025-03-06,5 / 10:00:01,2025-03-06,6", "day and clock, W (W)"),
        ("date,time,W / 20250306,100000,5 / 20250306,100001,6", "date and time, W (W)"),
        ("n,unix_s,W / 7,1000,5 / 8,1001,6", "unix_s, W (W)"),
        # The name that says more decides, wherever it stands.
        ("time_s,unix,W / 7,1000,5 / 8,1001,6", "unix, W (W)"),
        ("date,time_s,W / 7,1000,5 / 8,1001,6", "time_s, W (W)"),
        ("epoch_utc,time,W / 1000,7,5 / 1001,8,6", "time, W (W)"),
        ("n,epoch_seconds,W / 7,1000,5 / 8,1001,6", "epoch_seconds, W (W)"),
        ("n,time_ns,W / 7,1000,5 / 8,1001,6", "time_ns, W (W)"),
    ],
)
def test_the_time(rows, taken):
    assert found(rows) == taken


@pytest.mark.parametrize(
    ("rows", "taken"),
    [
        ("1000,5 / 1001,6", "column 1, column 2 (W)"),
        ("@,5 / @,6", "column 1, column 2 (W)"),
        ("1000,n,5 / 1001,n,6", "column 1, column 3 (W), node column 2"),
        ("1000 5 mW / 1001 6 mW", "column 1, column 2 (as its cells say), unit in column 3"),
        (
            "1000,7,n,5,W / 1001,7,n,6,W",
            "column 1, column 4 (as its cells say), unit in column 5, node column 3",
        ),
        ("1000,n,5,W / 1001,n,6,W", "column 1, column 3 (as its cells say), unit in column 4, node column 2"),
        ("@,7,35 %,5 W,3 / @,8,35 %,6 W,3", "column 1, column 4 (as its cells say)"),
        ("W,@,5 / W,@,6", "column 2, column 3 (as its cells say), unit in column 1"),
        ("@,5 W,3 / @,6 W,3", "column 1, column 2 (as its cells say), node column 3"),
        ("@,7,5.5 W / @,8,6.5 W", "column 1, column 3 (as its cells say), node column 2"),
        ("@,n7,5 W / @,n8,6 W", "column 1, column 3 (as its cells say), node column 2"),
    ],
)
def test_columns_without_names(rows, taken):
    assert found(rows) == taken


@pytest.mark.parametrize(
    ("rows", "names", "taken"),
    [
        ("t,a,b / @,1,5 / @,1,6", {"watts_column": "a"}, "t, a (W)"),
        ("t,a,b / @,1 kW,5 / @,1 kW,6", {"watts_column": "a"}, "t, a (as its cells say)"),
        ("t,a,gpu / @,1,0 / @,1,0 / @,1,0", {"watts_column": "gpu"}, "t, gpu (W)"),
        ("n,a,W / 7,1000,5 / 8,1001,6", {"time_column": "a"}, "a, W (W)"),
        ("day,clock,W / 2025-03-06,10:00:00,5 / 2025-03-06,10:00:01,6", {"time_column": "day"}, "day and clock, W (W)"),
        ("date,time,W / 20250306,10:00,5 / 20250306,10:01,6", {"time_column": "date"}, "date and time, W (W)"),
        (
            "day,in,out,W / 2025-03-06,10:00:00,11:00:00,5 / 2025-03-06,10:00:01,11:00:01,6",
            {"time_column": "day"},
            "day, W (W)",
        ),
        ("t,clock,W / @,10:00:00,5 / @,10:00:01,6", {"time_column": "t"}, "t, W (W)"),
        ("n,clock,W,t / 7,10:00:00,5,@ / 8,10:00:01,6,@", {"time_column": "n"}, "n, W (W)"),
    ],
)
def test_columns_that_the_user_names(rows, names, taken):
    assert found(rows, **names) == taken


NOT_CLEAR = "which column of log.csv is which is not clear"
NO_HEADER = "columns; expected time, watts or time, node, watts$"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        # The power.
        ("t,x,y / @,1,2 / @,1,2", rf"^{NOT_CLEAR} \(x, y\); name one with watts_column$"),
        ("t,x W,y W / @,1,2 / @,1,2", rf"^{NOT_CLEAR} \(x W, y W\); name one with watts_column$"),
        ("t,value,reading / @,1,2 / @,1,2", rf"^{NOT_CLEAR} \(value, reading\); name one with watts_column$"),
        ("t,Out W,L2 W,Total W / @,1,2,3 / @,1,2,3", rf"^{NOT_CLEAR} \(Out W, L2 W, Total W\)"),
        ("t,speed (rpm) / @,1 / @,2", rf"^{NOT_CLEAR} \(speed \(rpm\)\)"),
        ("t,Power (VA) / @,1 / @,2", r"^column 'Power \(VA\)' of log.csv is apparent power \(VA\), which is more than"),
        ("t,a_aprt_power / @,1 / @,2", "^column 'a_aprt_power' of log.csv is apparent power"),
        ("t,apparent / @,1 / @,2", "^column 'apparent' of log.csv is apparent power"),
        ("t,ApparentPower / @,1 / @,2", "^column 'ApparentPower' of log.csv is apparent power"),
        ("t,x (var) / @,1 / @,2", r"^column 'x \(var\)' of log.csv is reactive power, none that is drawn; log watts"),
        ("t,load (%) / @,1 / @,2", r"^column 'load \(%\)' of log.csv is no power by its unit; log watts"),
        ("t,Last (%) / @,1 / @,2", r"^column 'Last \(%\)' of log.csv is no power by its unit; log watts"),
        ("t,power (%) / @,1 / @,2", r"^column 'power \(%\)' of log.csv is no power by its unit; log watts"),
        (
            "t,x / @,3 kWh / @,4 kWh",
            "^column 'x' of log.csv counts energy, and a log of power is expected; log watts b",
        ),
        (
            "t,x,energy / @,1,2 / @,1,2",
            "^column 'energy' of log.csv counts energy, and a log of power is expected; log watts beside it "
            r"\(or name a column with watts_column\)$",
        ),
        # The time.
        ("a,b,W / @,2025-03-06 11:00:00,5 / @,2025-03-06 11:00:01,6", rf"^{NOT_CLEAR} \(a, b\); name one with time_c"),
        (
            "day,in,out,W / 2025-03-06,10:00:00,11:00:00,5",
            rf"^{NOT_CLEAR} \(day, in, out, W\); name one with time_column",
        ),
        ("n,elapsed_ms,W / 1,1000,5 / 2,1001,6", rf"^{NOT_CLEAR} \(n, elapsed_ms, W\); name one with time_column"),
        # No header.
        ("n,1000,5 / n,1001,6", rf"^{NOT_CLEAR} \(column 1, column 2, column 3\); name one with time_column"),
        ("@,7,5 W / @,8,6 W", f"^log.csv has no header and 3 {NO_HEADER}"),
        ("@,n,5 W,6 W / @,n,5 W,6 W", f"^log.csv has no header and 4 {NO_HEADER}"),
        ("@,1,2,3 / @,1,2,3", f"^log.csv has no header and 4 {NO_HEADER}"),
        (
            "@,100,24 / @,101,25",
            "^log.csv has no header, and '100', '24' in its first row are not clearly a node and watts "
            r"\(a decimal comma between commas\?\); write a header, or quote the numbers$",
        ),
    ],
)
def test_columns_that_are_not_clear_are_refused_by_name(rows, said):
    with pytest.raises(MeterError, match=said):
        found(rows)


@pytest.mark.parametrize(
    ("rows", "names", "error", "said"),
    [
        ("t,a / @,5", {"watts_column": "b"}, UsageError, "watts_column is 'b', but the columns of log.csv are t, a"),
        ("t,a / @,5", {"time_column": "b"}, UsageError, "time_column is 'b', but the columns of log.csv are t, a"),
        (
            "t,a,a / @,5,6",
            {"watts_column": "a"},
            UsageError,
            "watts_column is 'a', and 2 columns of log.csv are called so; rename one",
        ),
        (
            "@,5 / @,6",
            {"watts_column": "a"},
            MeterError,
            "log.csv has no header and 2 columns; expected time, watts or time, node, watts",
        ),
        (
            "@,5 / @,6",
            {"time_column": "a"},
            MeterError,
            "log.csv has no header and 2 columns; expected time, watts or time, node, watts",
        ),
    ],
)
def test_names_of_columns_that_do_not_exist_are_refused(rows, names, error, said):
    with pytest.raises(error) as caught:
        found(rows, **names)
    assert str(caught.value) == said


@pytest.mark.parametrize(("bad", "is_clock"), [(2, True), (3, False)])
def test_a_column_is_what_nine_of_ten_of_its_cells_are(bad, is_clock):
    """Cells that say that there is no sample do not count: of twenty others, two may be odd."""
    cells = ["10:00:00"] * (20 - bad) + ["N/A"] * 5 + ["x"] * bad
    rows = "day,clock,W / " + " / ".join(f"2025-03-06,{cell},5" for cell in cells)
    if is_clock:
        assert found(rows) == "day and clock, W (W)"
    else:
        with pytest.raises(MeterError, match=r"name one with time_column"):
            found(rows)


@pytest.mark.parametrize(("bad", "is_power"), [(2, True), (3, False)])
def test_a_column_of_power_holds_numbers_in_half_of_its_cells(bad, is_power):
    rows = "t,power,x / " + " / ".join(f"@,{cell},1" for cell in ["N/A", "", *["off"] * bad, "5", "6"])
    if is_power:
        assert found(rows) == "t, power (as its cells say)"
    else:
        with pytest.raises(MeterError, match=r"not clear \(power, x\)"):
            found(rows)
