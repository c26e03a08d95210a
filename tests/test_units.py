"""Quantities as people write and read them."""

from __future__ import annotations

import time

import pytest

from sizer.base.units import (
    counted,
    format_bytes,
    format_chance,
    format_cost,
    format_count,
    format_network,
    format_quantity,
    format_ratio,
    format_times,
    format_widths,
    read_bytes,
    read_joules,
    read_number,
    read_seconds,
    read_separate,
    read_whole,
)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        *((0, "0 B"), (1023, "1023 B"), (48 * 1024, "48 KiB"), (25_952_256, "24.75 MiB"), (None, "unknown")),
        *((1024, "1 KiB"), (-2048, "-2 KiB"), (1023 * 1024, "1023 KiB"), (2**60, "1 EiB"), (2**70, "1024 EiB")),
    ],
)
def test_bytes_as_they_are_written(given, text):
    assert format_bytes(given) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.25e-5, "s", "12.5 us"),
        (0.0034, "J", "3.4 mJ"),
        (0, "s", "0 s"),
        (10_200.0, "J", "10.2 kJ"),
        (2.97e-10, "J", "0.297 nJ"),
        (0.9995, "s", "1 s"),
        (0.9994, "s", "999 ms"),
        (-0.0034, "J", "-3.4 mJ"),
        (1.234e15, "J", "1234 TJ"),
        (1.0, "s", "1 s"),
        (12.25, "s", "12.25 s"),
        (12.26, "s", "12.3 s"),
        (100.25, "s", "100 s"),
        (99.75e12, "J", "99.75 TJ"),
        (9999e12, "J", "9999 TJ"),
        (12345e12, "J", "12345 TJ"),
        (1e16, "J", "10000 TJ"),
        (1234.5e12, "J", "1234 TJ"),
        (None, "s", "unknown"),
    ],
)
def test_quantities_as_they_are_written(value, unit, text):
    assert format_quantity(value, unit) == text


def test_counts_and_widths():
    assert format_count(1234567) == "1,234,567"
    assert [counted(count, "row") for count in (0, 1, 20_640)] == ["0 rows", "1 row", "20,640 rows"]
    assert counted(2, "pass", "passes") == "2 passes"
    assert format_widths((512, 512, 512, 10)) == "512x3-10"
    assert format_widths((805, 390, 5)) == "805-390-5"
    assert format_network((512, 512, 10), 1234567) == "512x2-10 (1,234,567 parameters)"


def test_joules_where_they_are_known_and_multiples():
    assert format_cost(0.002, 5.0) == "2 mJ"
    assert format_cost(None, 5.0) == "5 s"
    assert format_cost(None, None) == "unknown"
    assert (format_times(1.0234), format_times(None)) == ("1.02x", "")
    assert (format_ratio(160.4), format_ratio(0.2449), format_ratio(0.2449, 2)) == ("160", "0.245", "0.24")


@pytest.mark.parametrize(
    ("chance", "text"),
    [
        *((0.0, "under 1 %"), (0.005, "under 1 %"), (0.0051, "1 %"), (0.854, "85 %")),
        *((0.9949, "99 %"), (0.995, "over 99 %"), (1.0, "over 99 %")),
    ],
)
def test_a_chance_is_never_quite_none_or_certain(chance, text):
    assert format_chance(chance) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("784", 784), ("20,000", 20_000), ("1_000", 1000), ("20k", 20_000), ("20K", 20_000), ("1.5k", 1500)),
        *(("1e3", 1000), ("2^20", 2**20), ("2**20", 2**20), ("1,234,567", 1_234_567), ("1.1M", 1_100_000)),
        *(("-5", -5), ("9007199254740993", 2**53 + 1), ("20 000", 20_000)),
        *(("2^0", 1), ("2^64", 2**64), (" 12 ", 12), ("+1e3", 1000)),
    ],
)
def test_whole_numbers(text, value):
    assert read_whole(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("7.5", "many", "", "k", "1,00", "0,250", "2^65", "2^-1", "1000000000.1"),
        *("1e999", "20 k k", "9" * 5000, "1e-3", "nan", "inf"),
    ],
)
def test_no_whole_numbers(text):
    with pytest.raises(ValueError):
        read_whole(text)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (read_number, "0.25", 0.25),
        (read_number, "1e-3", 1e-3),
        (read_seconds, "60", 60),
        (read_seconds, "1ms", 1e-3),
        (read_seconds, "5 us", 5e-6),
        (read_seconds, "\u00b5s".join(["5", ""]), 5e-6),
        (read_seconds, "2m", 120),
        (read_seconds, "10min", 600),
        (read_seconds, "1h30m", 5400),
        (read_seconds, "1h 30min 5s", 5405),
        (read_seconds, "2h 5s", 7205),
        (read_seconds, "-3s", -3),
        (read_bytes, "10MiB", 10 * 2**20),
        (read_bytes, "10M", 10 * 2**20),
        (read_bytes, "10 MB", 10**7),
        (read_bytes, "1,048,576", 2**20),
        (read_joules, "2kJ", 2000),
        (read_joules, "5Wh", 18_000),
        (read_joules, "3mJ", 3e-3),
        (read_joules, "3MJ", 3e6),
    ],
)
def test_quantities_as_they_are_read(read, text, value):
    assert read(text) == pytest.approx(value)


def test_many_blanks_in_a_time_take_no_time():
    began = time.process_time()
    with pytest.raises(ValueError):
        read_seconds("1h" + " " * 5000 + "x")
    assert time.process_time() - began < 0.5  # (a minute for 3,000 blanks, when three groups could share them)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("64,128,256", ["64", "128", "256"]),
        ("20,000", ["20,000"]),
        ("64", ["64"]),
        (" 64 ", ["64"]),
        ("L1, L2", ["L1", "L2"]),
        ("64,0", ["64", "0"]),
        ("0,1", ["0", "1"]),
        ("64, ,", ["64"]),
        ("0.5,0.9", ["0.5", "0.9"]),
    ],
)
def test_commas_group_digits_or_separate_values(text, parts):
    assert read_separate(text) == parts
