"""Units in headers and cells, decimal marks, and the W of a column: what is read, what is refused and in what words."""

from __future__ import annotations

import pytest

from sizer.base.errors import MeterError, UsageError
from sizer.meters.power_units import (
    APPARENT,
    ENERGY,
    OTHER,
    WATT,
    Cell,
    Unit,
    decimal_marks,
    differing,
    number,
    powers,
    split_cell,
    stated_unit,
    unit_named,
    units_in,
)

KW, MW, MILLIWATT, MICROWATT = Unit("kW", "power", 1e3), Unit("MW", "power", 1e6), unit_named("mW"), unit_named("uW")
ASK = r"name it with --log-unit \(W, kW, MW, mW, uW\)$"


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        *((text, WATT) for text in ("W", "w", " [W] ", "(Watts)", "{watt}", "W.", "vatios")),
        *((text, KW) for text in ("kW", "KW", "[ kW ]", "kilowatts", "Kilo-Watt", "kilo_watts")),
        *((text, MW) for text in ("MW", "megawatt")),
        *((text, MILLIWATT) for text in ("mW", "mw", "milliwatts")),
        *((text, MICROWATT) for text in ("uW", "µW", "microwatts")),
        *((text, Unit("Wh", ENERGY)) for text in ("Wh", "watt hours")),
        ("kWh", Unit("kWh", ENERGY)),
        *((text, Unit("VA", APPARENT)) for text in ("VA", "volt-amperes")),
        *((text, Unit("%", OTHER)) for text in ("%", "percent", "percents")),
        *((text, None) for text in ("", "horses", "watts per hour", "power")),
    ],
)
def test_a_text_is_a_unit_or_none(text, unit):
    assert unit_named(text) == unit


@pytest.mark.parametrize(
    ("header", "names"),
    [
        *(("power", ""), ("time_s", ""), ("a b c", "")),
        *(("power_w", "W"), ("Pwr.kW", "kW"), ("Power (W)", "W"), ("Power [kW] now", "kW"), ("W [W]", "W")),
        *(("Leistung {mW}", "mW"), ("watts", "W"), ("PowerWatts watts", "W"), ("Watts %", "W %"), ("load_%", "%")),
        *(("power W [kW]", "kW W"), ("Power (W) (VA)", "W VA"), ("Current (A)", "A"), ("Current A", "")),
        *(("Energy kWh", "kWh"), ("energy watt hours", "Wh"), ("Watt-hours", "Wh"), ("volt amps", "VA")),
        # Energy and densities spelt with a W in them name no power.
        *(("Energy kW*h", ""), ("Energy W.h", ""), ("Sun W/m2", ""), ("Energy in J", ""), ("Energy (J)", "J")),
        # Words in brackets that are no unit are no part of the name.
        *(("Power (mean of W) kW", "kW"), ("time (of W)", "")),
        *(("Power_MW", "MW"), ("POWER_MW", "MW or mW"), ("POWER_KW", "kW")),
    ],
)
def test_the_units_that_a_name_states(header, names):
    assert " ".join(unit.name for unit in units_in(header)) == names


@pytest.mark.parametrize("header", ["Power in 0.1 W", "Power 0,01W", "Power x10 W", "Power * 100 mW", "P ×10 kWatts"])
def test_a_unit_with_a_factor_is_no_unit_of_power(header):
    assert units_in(header)[0] == Unit("a multiple of W", OTHER)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("12.5", Cell("12.5", None)),
        (" 12,5 W ", Cell("12,5", "W")),
        ("-3.5e-2mW", Cell("-3.5e-2", "mW")),
        ("1 234.5 kW", Cell("1 234.5", "kW")),
        ("50 %", Cell("50", "%")),
        ("45 degrees C", Cell("45", "degrees C")),
        ("12.", Cell("12.", None)),
        *((text, None) for text in ("", "W", "N/A", "12:30")),
    ],
)
def test_a_cell_is_a_number_and_the_unit_behind_it(text, cell):
    assert split_cell(text) == cell


@pytest.mark.parametrize(
    ("text", "with_dot", "with_comma"),
    [
        ("12", 12.0, 12.0),
        ("12.5", 12.5, None),
        ("-12,5", None, -12.5),
        ("1.234", 1.234, 1234.0),
        ("1,234", 1234.0, 1.234),
        ("1,234.5", 1234.5, None),
        ("1.234,5", None, 1234.5),
        ("1.234.567", None, 1234567.0),
        ("12 345", 12345.0, 12345.0),
        ("1'234,5", None, 1234.5),
        (".5", 0.5, None),
        ("5,", None, 5.0),
        ("1.5e3", 1500.0, None),
        ("2e+3", 2000.0, 2000.0),
        # No group of digits follows a leading 0, whatever its sign.
        ("0.125", 0.125, None),
        ("-0,125", None, -0.125),
        ("+0.125", 0.125, None),
        ("0", 0.0, 0.0),
        *((text, None, None) for text in ("", "+", ".", "1.2.3", "12,34,567", "much")),
    ],
)
def test_a_number_in_either_notation(text, with_dot, with_comma):
    assert (number(text, "."), number(text, ",")) == (with_dot, with_comma)


@pytest.mark.parametrize(
    ("texts", "marks", "unsure"),
    [
        (["12", "7"], (".", ","), None),
        ([], (".", ","), None),
        (["12", "1.234", "5.678"], (".", ","), "1.234"),
        (["1.234", "12.5"], (".",), "1.234"),
        (["1.234", "12,5"], (",",), "1.234"),
        (["12.5", "12,5"], (), "12.5"),
    ],
)
def test_the_marks_that_all_numbers_fit_and_the_first_that_is_read_in_two_ways(texts, marks, unsure):
    assert decimal_marks(texts) == marks
    assert differing(texts) == unsure


def read(*cells: str | tuple[str, str | None], column=None, stated=None, marks=".,"):
    texts = [(cell, None) if isinstance(cell, str) else cell for cell in cells]
    return powers("column 'p'", texts, column, stated, marks)


@pytest.mark.parametrize(
    ("cells", "arguments", "expected"),
    [
        (["1.5", "2"], {"column": KW}, ((1500.0, 2000.0), "kW", ".")),
        (["1234", "5"], {"column": MILLIWATT}, ((1.234, 0.005), "mW", None)),
        (["5"], {"column": MICROWATT}, ((5e-6,), "uW", None)),
        (["50 W"], {"column": WATT}, ((50.0,), "W", None)),
        (["1,5 kW", "900 W", "800 W"], {}, ((1500.0, 900.0, 800.0), "kW and W", ",")),
        ([("1.5", "kW"), ("900", "W")], {}, ((1500.0, 900.0), "kW and W", ".")),
        ([("1.5 kW", "W"), ("900", "W")], {}, ((1500.0, 900.0), "kW and W", ".")),
        (["50", "7 kW"], {"stated": WATT}, ((50.0, 7.0), "W (as --log-unit says)", None)),
        (["50 VA"], {"column": "is wrong", "stated": KW}, ((50000.0,), "kW (as --log-unit says)", None)),
        (["50", "60 bananas"], {"column": WATT}, ((50.0, None), "W", None)),
        (["50", "60 bananas"], {"stated": WATT}, ((50.0, None), "W (as --log-unit says)", None)),
        (["50 W", "3 kWh", "N/A"], {}, ((50.0, None, None), "W", None)),
        (["50", "1e999", "12.3.4", ""], {"column": WATT}, ((50.0, None, None, None), "W", None)),
        (["N/A"], {"column": WATT}, ((None,), "W", None)),
        (["1.234", "5.678"], {"column": WATT, "marks": "."}, ((1.234, 5.678), "W", ".")),
        (["1.234", "5.678"], {"column": WATT, "marks": ","}, ((1234.0, 5678.0), "W", ",")),
        (["1.234", "12.5"], {"column": WATT, "marks": ","}, ((1.234, 12.5), "W", ".")),
    ],
)
def test_the_powers_of_a_column(cells, arguments, expected):
    assert read(*cells, **arguments) == expected


@pytest.mark.parametrize(
    ("cells", "arguments", "said"),
    [
        (("50",), {}, f"^the unit of column 'p' is not known; {ASK}"),
        (("50 bananas",), {}, f"^the unit of column 'p' is not known; {ASK}"),
        (("50 W", "60"), {}, f"^some cells of column 'p' say W and others no unit; {ASK}"),
        (
            ("50",),
            {"column": "names its unit twice (W and kW)"},
            rf"^column 'p' names its unit twice \(W and kW\); {ASK}",
        ),
        (
            ("50",),
            {"column": Unit("°C", OTHER)},
            f"^the unit of column 'p' is °C, which is none of power; {ASK}",
        ),
        (
            ("50",),
            {"column": Unit("kWh", ENERGY)},
            rf"^column 'p' is energy \(kWh\), and power is expected; log watts, or {ASK}",
        ),
        (
            ("50 kW", "60 MW", "70", "80 kW"),
            {"column": WATT},
            f"^column 'p' names its unit twice: W for all, kW, MW in its cells; {ASK}",
        ),
        (
            ("40 bananas", "50 VA", "60 kWh"),
            {},
            rf"^column 'p' is apparent power \(VA\), and power is expected; log watts, or {ASK}",
        ),
        (
            ("12", "1.5", "2,5", "3.5", "4,5"),
            {"column": WATT},
            "^column 'p' mixes decimal marks: '1.5' and '2,5'; write them in one way$",
        ),
        (
            ("12", "1.234", "5.678"),
            {"column": WATT},
            "^column 'p' may have decimal points or commas: '1.234' is 1.234 or 1234; name the mark with --log-decimal",
        ),
    ],
)
def test_powers_that_are_not_sure_are_refused_with_the_way_out(cells, arguments, said):
    with pytest.raises(MeterError, match=said):
        read(*cells, **arguments)


def test_a_unit_that_the_user_states_is_one_of_power():
    assert stated_unit(None) is None
    assert stated_unit("kilowatts") == KW
    for text in ("VA", "horses"):
        with pytest.raises(UsageError) as caught:
            stated_unit(text)
        assert str(caught.value) == (f"--log-unit {text!r} is no unit of power; expected one of W, kW, MW, mW, uW")
