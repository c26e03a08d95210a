"""The table in a log's text and its rows: header, units, what is left out; times, machines and zones of the rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizer.base.errors import MeterError, UsageError
from sizer.meters.log_roles import roles
from sizer.meters.log_rows import entity_unit, names_power, read_rows, zone_written
from sizer.meters.log_table import cells, is_missing, is_moment, is_time, read_table
from sizer.meters.power_units import WATT, Unit

DAY = "2025-03-06 10:00:"
LOG = Path("log.csv")


def lines(rows: str) -> str:
    """The text of rows apart by `` / ``; each @ is a second later than that of the row before."""
    texts = [row.replace("@", f"{DAY}{second:02d}") for second, row in enumerate(rows.split(" / "))]
    return "".join(f"{text}\n" for text in texts)


def shape(rows: str) -> tuple[str, str, list[int], str]:
    """(names, units, numbers of the rows, what stands above) of the table in a text."""
    table = read_table(lines(rows))
    assert table is not None
    return " ".join(table.header), " ".join(table.units), [row.number for row in table.rows], " ".join(table.above)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("0,5 / 1,6", ("", "", [1, 2], "")),
        ("t,W / 0,5 / 1,6", ("t W", "", [2, 3], "")),
        ("t,p / s,W / 0,5 / 1,6", ("t p", "s W", [3, 4], "")),
        ("t,p / ,W / 0,5 / 1,6", ("t p", " W", [3, 4], "")),
        ("Date,p / YYYY-MM-DD,W / @,5", ("Date p", "YYYY-MM-DD W", [3], "")),
        ("A / t,p / s,W / 0,5 / 1,6", ("t p", "s W", [4, 5], "A")),
        # Names stand right above the rows, not a row of units alone, a line of one cell or of far more.
        ("s,W / 0,5 / 1,6", ("s W", "", [2, 3], "")),
        ("Report / 0,5 / 1,6", ("", "", [2, 3], "Report")),
        ("t,W,a,b,c,d / 0,5 / 1,6", ("", "", [2, 3], "t,W,a,b,c,d")),
        ("@,from / @,5 / @,6", ("", "", [1, 2, 3], "")),
        # A name is missing beyond the last, or cells are.
        ("t,W, / 0,5 / 1,6", ("t W", "", [2, 3], "")),
        ("t,W / 0,5, / 1,6,", ("t W", "", [2, 3], "")),
        ("t W / 1 0 5 / 2 1 6", (" t W", "", [2, 3], "")),
        # A preamble and comments.
        ("UPS,7 / Rack / t,W / 0,5 / 1,6", ("t W", "", [4, 5], "UPS,7 Rack")),
        ("# a / x / t,W / # b / 0,5 / 1,6", ("t W", "", [5, 6], "# a # b x")),
        ("# Date,W / 0,5 / 1,6", ("Date W", "", [2, 3], "")),
        ("  # Date,W / 0,5 / 1,6", ("Date W", "", [2, 3], "")),
        ("# x / # Date,p / # s,W / 0,5", ("Date p", "s W", [4], "# x")),
        ("# Date,p / # x / # y / 0,5", ("", "", [4], "# Date,p # x # y")),
        ("# one,two / 0,5", ("", "", [2], "# one,two")),
        ("# Date,p,q / 0,5", ("", "", [2], "# Date,p,q")),
        ("x,p / # Date,q / 0,5", ("x p", "", [3], "# Date,q")),
        # Rows whose power is missing are rows; the header may come again.
        ("t,W / @,N/A / @,5 / @,6", ("t W", "", [2, 3, 4], "")),
        ("0,N/A / 1,N/A / 2,5 / 3,6", ("", "", [1, 2, 3, 4], "")),
        ("a,N/A / 1,N/A / 2,5 / 3,6", ("a N/A", "", [2, 3, 4], "")),
        ("t,W / 0,5 / t,W / 1,6", ("t W", "", [2, 4], "")),
        # Lines of numbers above rows of dates are no rows.
        ("1,2 / t,W / @,5 / @,6", ("t W", "", [3, 4], "1,2")),
    ],
)
def test_header_units_and_rows(rows, expected):
    assert shape(rows) == expected


@pytest.mark.parametrize(
    ("text", "delimiter", "form"),
    [
        ("0;5\n", ";", ";"),
        ("0\t5\n", "\t", "tabs"),
        ("0,5\n", ",", ","),
        ("0|5\n", "|", "|"),
        ("0  5\n", " ", "spaces"),
        # The sign that makes the most lines rows; commas are decimal where semicolons stand between cells.
        ("0,5;1,5\n1,5;2,5\n", ";", ";"),
        ("0,1;2\n1,2\n2,3\n", ",", ","),
        # Text in UTF-16 that does not say so.
        ("0\0,\0005\0\n\0", ",", ","),
    ],
)
def test_what_stands_between_cells(text, delimiter, form):
    table = read_table(text)
    assert (table.delimiter, table.form) == (delimiter, form)


@pytest.mark.parametrize(
    "text", ["", "power\n", "one,two\nthree,four\n", "5\n6\n", "12:00:00,5\n", "[1, 2]", "[{", "{}"]
)
def test_a_text_without_a_time_and_a_number_is_no_table(text):
    assert read_table(text) is None


@pytest.mark.parametrize(
    ("line", "delimiter", "expected"),
    [
        ("a  b\tc", " ", ("a", "b", "c")),
        ('"a,b", " c ",d', ",", ("a,b", "c", "d")),
        ("a;;b\r\n", ";", ("a", "", "b")),
        ("\ta\t", "\t", ("", "a", "")),
        ("", ",", ()),
    ],
)
def test_cells_of_a_line(line, delimiter, expected):
    assert cells(line, delimiter) == expected


def test_a_cell_that_the_csv_reader_refuses_is_split_at_the_sign():
    assert cells("x" * 200_000 + ", 5", ",") == ("x" * 200_000, "5")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            "t,W / 0,5,7 / 1,6,8",
            "line 2 has 3 cells ('0,5,7'), the header 2 (t, W): decimal commas between commas, or a name is "
            "missing; quote the numbers or write semicolons",
        ),
        (
            "t W / 1 0 5 / 3 1 6",
            "line 2 has 3 cells ('1 0 5'), the header 2 (t, W): decimal commas between commas, or a name is "
            "missing; quote the numbers or write semicolons",
        ),
        (
            "t,W,a,b,c / 0,5",
            "line 2 has 2 cells ('0,5'), the header 5 (t, W, a, b, c): decimal commas between commas, or a name is "
            "missing; quote the numbers or write semicolons",
        ),
        ("t,W / 0,5 / 1,6,7", "line 3 has 3 cells, the header 2: '1,6,7'; correct or remove it"),
        ("0,5 / 1,6,7 / 2,6", "line 2 has 3 cells, most lines 2: '1,6,7'; correct or remove it"),
    ],
)
def test_rows_of_other_widths_are_refused_by_line(rows, said):
    with pytest.raises(ValueError, match=r"^line") as caught:
        read_table(lines(rows))
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        ('{"ts":1,"a":{"b":2}}\n{"ts":2,"c":[1]}\n', ("ts", "a.b"), [(1, "1", "2"), (2, "2", "")]),
        ('[{"ts":1.50,"p":null},\n[{"ts":2,"p":true}]]', ("ts", "p"), [(1, "1.50", ""), (2, "2", "True")]),
        ('\n[{"ts":1}]', ("ts",), [(1, "1")]),
        ('tele/x {"ts":1,"p":5} \n', ("ts", "p"), [(1, "1", "5")]),
        ('@ = {"p":5}\n\n@, {"p":6}\n', ("time", "p"), [(1, f"{DAY}00", "5"), (3, f"{DAY}00", "6")]),
        ('x\n{"ts":1}\n{"ts":2}\n', ("ts",), [(2, "1"), (3, "2")]),
        ('{"ts":1}\n{"ts":}\n', ("ts",), [(1, "1")]),
    ],
)
def test_json_objects_are_a_table(text, names, found):
    table = read_table(text.replace("@", f"{DAY}00"))
    assert (table.header, table.form, table.delimiter) == (names, "JSON objects", ",")
    assert [(row.number, *row.cells) for row in table.rows] == found


@pytest.mark.parametrize("text", ['{"ts":1,"p":5}\nx\n', '{"ts":1}\nx\ny\n', '{"ts":[]}\n', "[]"])
def test_lines_of_which_half_are_no_objects_are_none(text):
    assert read_table(text) is None


DCMI = "    Instantaneous power reading:   {} Watts \n    IPMI timestamp:   {}\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (DCMI.format(5, f"{DAY}00"), [(1, f"{DAY}00", "", "5 Watts", "")]),
        (
            DCMI.format(5, f"{DAY}00") + "\n" + DCMI.format(6, f"{DAY}01"),
            [(1, f"{DAY}00", "", "5 Watts", ""), (4, f"{DAY}01", "", "6 Watts", "")],
        ),
        # Below a date the board's own clock, which may not be set, does not count.
        (f"{DAY}07\n" + DCMI.format(5, "Thu Jan  1 00:00:00 1970"), [(2, f"{DAY}07", "", "5 Watts", "")]),
        (DCMI.format(5, f"{DAY}00") + "    IPMI timestamp: 7\n", [(1, f"{DAY}00", "", "5 Watts", "")]),
        ("    IPMI timestamp: 7\n" + DCMI.format(5, "8"), [(2, "8", "", "5 Watts", "")]),
        (
            "7\nPower | 5 Watts | ok\nTemp | 45 degrees C | ok\n",
            [(2, "7", "Power", "5 Watts", ""), (3, "7", "Temp", "45 degrees C", "")],
        ),
        (
            "7\nPower | 5 | Watts | ok\n8\nPower | 6 | W\n",
            [(2, "7", "Power", "5", "Watts"), (4, "8", "Power", "6", "W")],
        ),
        ("7\nPower | 5\n", [(2, "7", "Power", "5", "")]),
    ],
)
def test_what_ipmitool_prints_is_a_table(text, found):
    table = read_table(text)
    assert (table.header, table.form) == (("time", "sensor", "reading", "unit"), "what ipmitool printed")
    assert (table.units, table.above, table.delimiter) == ((), (), ",")
    assert [text.splitlines()[row.number - 1] for row in table.rows] == [row.line for row in table.rows]
    assert [(row.number, *row.cells) for row in table.rows] == found


def test_sensor_lines_that_begin_with_a_time_are_rows_of_their_own():
    assert shape("@ | Power | 5 | Watts / @ | Power | 6 | Watts") == ("", "", [1, 2], "")
    assert shape("7 / 8 | 5 / 9 | 6")[2] == [2, 3]


def test_cells_that_say_there_is_no_sample():
    assert all(map(is_missing, ("", " ", "N/A", "[N/A]", "<NaN>", "null", "None", "-", "?")))
    assert not any(map(is_missing, ("0", "off", "unavailable", "[")[:3]))


def test_a_time_is_a_date_or_a_number_and_a_moment_is_no_number():
    assert [is_time(text) for text in ("7", "2025-03-06 10:00", "10:00", "x", "1e999")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert [is_moment(text) for text in ("7", "2025-03-06 10:00", "10:00", "x")] == [False, True, False, False]


def read(rows: str, node: str | None = None):
    """(times as written, cells of power) of the rows that are read, the node, the warnings."""
    table = read_table(lines(rows))
    warnings: list[str] = []
    entries, chosen = read_rows(LOG, table, roles(LOG, table, None, None), node, warnings)
    return [(one.stamp.epoch_s, one.cell, one.unit) for one in entries], chosen, warnings


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("t,W / 7,5 / 8,6", ([(7.0, "5", None), (8.0, "6", None)], None, [])),
        ("t,host,W / 7,a,5 / 8,a,6", ([(7.0, "5", None), (8.0, "6", None)], "a", [])),
        # Rows with a unit of another quantity are others' in a long table.
        ("t,p,u / 7,5,W / 7,3,V / 8,6,", ([(7.0, "5", "W"), (8.0, "6", None)], None, [])),
        # Of several the one that says power by its name.
        (
            "t,entity_id,state / 7,sensor.a_power,5 / 7,sensor.a_energy,1 / 8,sensor.a_power,6",
            ([(7.0, "5", None), (8.0, "6", None)], "sensor.a_power", []),
        ),
        # What stands below the rows has no time.
        (
            "t,W / 7,5 / 8,6 / End",
            ([(7.0, "5", None), (8.0, "6", None)], None, ["the last line of log.csv is incomplete and was left out"]),
        ),
        (
            "t,W / 7,5 / 8,6 / Sum,11 / End",
            (
                [(7.0, "5", None), (8.0, "6", None)],
                None,
                ["the last 2 lines of log.csv hold no time and were left out"],
            ),
        ),
        # Numbers in the unit that the column's name says.
        ("time_ms,W / 7000,5 / 8000,6", ([(7.0, "5", None), (8.0, "6", None)], None, [])),
        ("time (us),W / 7000,5 / 8000,6", ([(0.007, "5", None), (0.008, "6", None)], None, [])),
        ("time_ns,W / 7000,5", ([(7e-6, "5", None)], None, [])),
        ("time_ms;W / 7000,5;5", ([(7.0005, "5", None)], None, [])),
        ("time,W / 1741290005,5", ([(1741290005.0, "5", None)], None, [])),
        ("time_ms,W / 1741290005250,5", ([(1741290005.25, "5", None)], None, [])),
        # Days of a spreadsheet lie between 1954 and 2119, have fractions and pass slowly; these do not all.
        ("t,W / 30000,5 / 30001,6", ([(30000.0, "5", None), (30001.0, "6", None)], None, [])),
        ("t,W / 30000.5,5 / 30010.5,6", ([(30000.5, "5", None), (30010.5, "6", None)], None, [])),
        ("t,W / 20000.0,5 / 20000.5,6", ([(20000.0, "5", None), (20000.5, "6", None)], None, [])),
        ("t,W / 79999.5,5 / 80000,6", ([(79999.5, "5", None), (80000.0, "6", None)], None, [])),
        ("t,W / 45000.5,5", ([(45000.5, "5", None)], None, [])),
    ],
)
def test_the_rows_of_a_log(rows, expected):
    assert read(rows) == expected


def test_the_rows_of_the_machine_that_is_named():
    rows = "t,host,W / 7,a,5 / 7,b,1 / 8,a,6"
    assert read(rows, "a") == ([(7.0, "5", None), (8.0, "6", None)], "a", [])
    assert read(rows, "c") == ([], "c", [])
    assert read("t,W / 7,5", "c") == ([(7.0, "5", None)], "c", [])


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        (
            "t,W / 7,5 / noon,6 / 9,7",
            MeterError,
            "line 3 of log.csv is no sample of time and watts: 'noon,6' ('noon' is neither epoch seconds nor a date "
            "with a clock time); correct or remove it",
        ),
        (
            "t,W / 7,5 / 8 / 9,7",
            MeterError,
            "line 3 of log.csv is no sample of time and watts: '8' (it has 1 cell); correct or remove it",
        ),
        (
            "t,W,host / 7,5,a / 8,6 / 9,7,a",
            MeterError,
            "line 3 of log.csv is no sample of time and watts: '8,6' (it has 2 cells); correct or remove it",
        ),
        (
            "W,time / 5,7 / 6 / 7,9",
            MeterError,
            "line 3 of log.csv is no sample of time and watts: '6' (it has 1 cell); correct or remove it",
        ),
        (
            "t,p,u / 7,5,V / 8,6,A",
            MeterError,
            "the power log log.csv has no sample with a unit of power (its units: V, A); log watts",
        ),
        (
            "t,host,W / 7,a,5 / 7,b,6",
            UsageError,
            "log.csv has samples of several nodes (a, b); name one with node",
        ),
        (
            "t,entity_id,state / 7,a_power,5 / 7,b_power,6 / 7,c,7",
            UsageError,
            "log.csv has samples of several nodes (a_power, b_power); name one with node",
        ),
        (
            "t,sensor,value,u / 7,a_power,5,W / 7,b,6,W",
            UsageError,
            "log.csv has samples of several nodes (a_power, b); name one with node",
        ),
        (
            "t,W / 45000.5,5 / 45009.5,6",
            MeterError,
            "the times of log.csv (45000.5) look like a spreadsheet's days; write them as dates",
        ),
        (
            "time_ms,W / 1741290005,5",
            MeterError,
            "column 'time_ms' of log.csv holds 1741290005, the size of seconds; rename or convert it",
        ),
    ],
)
def test_rows_that_cannot_be_read_are_refused(rows, error, said):
    with pytest.raises(error) as caught:
        read(rows)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("name", "cell", "zone"),
    [
        ("offset", "+01:00", "+01:00"),
        ("offset", "Europe/Berlin", "Europe/Berlin"),
        ("offset", "1", "+01:00"),
        ("offset", "-3.5", "-03:30"),
        ("offset", '"5,75"', "+05:45"),
        ("offset", "14", "+14:00"),
        ("offset", "15", "+00:15"),
        ("offset", "0", "+00:00"),
        ("offset", "-210", "-03:30"),
        ("offset (minutes)", "5", "+00:05"),
        ("offset", "", None),
    ],
)
def test_the_zone_in_a_row_s_own_column(name, cell, zone):
    table = read_table(f"t,{name},W\n{DAY}00,{cell},5\n")
    entries, _ = read_rows(LOG, table, roles(LOG, table, None, None), None, [])
    assert entries[0].stamp.zone == zone


def test_a_row_that_ends_before_its_zone_has_none():
    table = read_table(f"t,W,offset\n{DAY}00,5,1\n{DAY}01,6\n")
    entries, _ = read_rows(LOG, table, roles(LOG, table, None, None), None, [])
    assert [entry.stamp.zone for entry in entries] == ["+01:00", None]


def test_an_offset_beside_a_time_that_has_a_zone_does_not_count():
    table = read_table(f"t,offset,W\n{DAY}00Z,7,5\n")
    entries, _ = read_rows(LOG, table, roles(LOG, table, None, None), None, [])
    assert entries[0].stamp.zone == "Z"


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("t,W / @,5", None),
        ("@,5", None),
        ("Time UTC,W / @,5", "UTC"),
        ("time_gmt,W / @,5", "GMT"),
        ("Time (UTC + 1),W / @,5", "UTC+1"),
        ("time gmt-3:30,W / @,5", "GMT-3:30"),
        ("Time (UTC −05:00),W / @,5", "UTC-05:00"),
        ("time UTC - 5 min mean,W / @,5", "UTC"),
        ("Time (CEST),W / @,5", "CEST"),
        ("day UTC,clock,W / 2025-03-06,10:00,5", "UTC"),
        ("day,clock (GMT),W / 2025-03-06,10:00,5", "GMT"),
        ("day UTC,clock (PDT),W / 2025-03-06,10:00,5", "PDT"),
        ("# x / # Time zone: Europe/Berlin / t,W / @,5", "Europe/Berlin"),
        ("Timezone = +02:00 / t,W / @,5", "+02:00"),
        ("Time zone: UTC + 2 / t,W / @,5", "UTC+2"),
        ("Time zone: GMT−3 / t,W / @,5", "GMT-3"),
        ("time zone (GMT) / Time UTC,W / @,5", "UTC"),
    ],
)
def test_the_zone_that_a_log_states_for_all(text, zone):
    table = read_table(lines(text))
    assert zone_written(table, roles(LOG, table, None, None)) == zone


@pytest.mark.parametrize("name", ["sensor.plug_power", "Consumption", "Pwr 1", "Leistung", "PSU1 W", "gpu-watts"])
def test_a_name_that_says_power(name):
    assert names_power(name)


@pytest.mark.parametrize("name", ["sensor.tv", "power_limit", "plug_energy", "power kWh", "Total", "apparent power VA"])
def test_a_name_that_does_not(name):
    assert not names_power(name)


def test_the_unit_that_an_entity_s_name_tells():
    assert entity_unit("x", "sensor.plug_power") == WATT
    assert entity_unit("x", "sensor.plug_power_kw") == Unit("kW", "power", 1e3)
    assert entity_unit("x", "sensor.power_at_low_voltage") == WATT
    assert entity_unit("x", "sensor.plug") is None
    for name in ("sensor.plug_energy", "Strom"):
        with pytest.raises(MeterError) as caught:
            entity_unit("column 'state' of it", name)
        assert str(caught.value) == (
            "column 'state' of it is named after another quantity, and power is expected; choose another with node"
        )
