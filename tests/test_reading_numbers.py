"""Numbers in cells: every form that fits one, its affix, and what is no number."""

from __future__ import annotations

import math

import pytest

from sizer.size_search.data.reading.numbers import (
    MARKS,
    NumberForm,
    as_float,
    as_value,
    is_currency,
    normalise,
    read_number,
    take_apart,
    unit_kind,
)


@pytest.fixture(autouse=True)
def no_cell_is_known():
    """Every test reads its cells, and takes none from the cache of another."""
    take_apart.cache_clear()


#: A cell and its value by the forms that fit it, as decimal and grouping mark.
FORMS = {
    "0": dict.fromkeys(MARKS, "0"),
    "1,234.5": {".,": "1234.5"},
    "1,234,567": {".,": "1234567"},
    "12,34,567": {".,": "1234567"},  # (lakhs)
    "1.234,5": {",.": "1234.5"},
    "1.234.567": {",.": "1234567"},
    "1 234": {". ": "1234", ", ": "1234"},
    "1'234.5": {".'": "1234.5"},
    "1'234,5": {",'": "1234.5"},
    "1_000": {"._": "1000"},
    "1.5": {".,": "1.5", ". ": "1.5", ".'": "1.5", "._": "1.5"},
    "1,5": {",.": "1.5", ", ": "1.5", ",'": "1.5"},
    "1,500": {".,": "1500", ",.": "1.500", ", ": "1.500", ",'": "1.500"},
    "01,234": {",.": "01.234", ", ": "01.234", ",'": "01.234"},  # (a group begins with no 0)
    ".5": {".,": "0.5", ". ": "0.5", ".'": "0.5", "._": "0.5"},
    "5,": {",.": "5.0", ", ": "5.0", ",'": "5.0"},
}


@pytest.mark.parametrize("cell", FORMS)
def test_a_cell_has_a_value_in_every_form_that_fits_it(cell):
    taken = take_apart(cell)
    right = {"".join(form): value for form, value in FORMS[cell].items()}
    assert taken.values == tuple(right.get("".join(form)) for form in MARKS)
    assert taken.affix == ""


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("+3", "3"), ("-3", "-3"), ("- 3", "-3"), ("3-", "-3"), ("3 -", "-3"), ("(3)", "-3"), ("\u22123", "-3"),
        ("5.-", "5.0"), ("5.--", "5"), ("-5.--", "-5"), ("1.5e3", "1.5e3"), ("1D-2", "1e-2"), ("2 E+5", "2e+5"),
        ("-1d3", "-1e3"), ("\u0661\u0662", "12"), ("\uff11", "1"), (" 7\u00a0", "7"),
        ("inf", "inf"), ("-Infinity", "-inf"), ("+INF", "+inf"),
    ],
)  # fmt: skip
def test_signs_exponents_and_digits_of_other_scripts_are_read(cell, value):
    taken = take_apart(cell)
    assert taken.values[0] == value
    assert taken.affix == ""


def test_an_infinity_is_one_in_every_form():
    assert take_apart("inf").values == ("inf",) * len(MARKS)


@pytest.mark.parametrize(
    ("cell", "value", "affix"),
    [
        ("$5", "5", "$"), ("5 €", "5", "€"), ("5€", "5", "€"), ("EUR 5", "5", "EUR"), ("-$5", "-5", "$"),
        ("$-5", "-5", "$"), ("($5)", "-5", "$"), ("CHF 5.-", "5.0", "CHF"), ("Fr. 5", "5", "Fr."), ("5 %", "5", "%"),
        ("5.5km/h", "5.5", "km/h"), ("5 m²", "5", "m²"), ("1e3 W", "1e3", "W"), ("12B", "12", "B"),
    ],
)  # fmt: skip
def test_a_currency_or_a_unit_is_told_apart(cell, value, affix):
    taken = take_apart(cell)
    assert (taken.values[0], taken.affix) == (value, affix)


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "abc",
        "1.2.3",
        "1,23,45",
        "(3",
        "3)",
        "-(3)",
        "- -3",
        "-3-",
        "x5",
        "$5 km",
        "€5€",
        "1-2",
        "1:30",
        "²",
        ".",
        "-",
    ],
)
def test_what_is_no_number_has_no_value(cell):
    assert take_apart(cell) is None


def test_one_kind_of_space_minus_and_apostrophe():
    assert normalise(" 1 2 ") == "1 2"
    assert normalise("\u20091\u202f234\u00a0") == "1 234"
    assert normalise("\u20131\u2019000\u066b5\u066c") == "-1'000.5,"
    assert normalise("\u0663\u00b2") == "3\u00b2"  # (a raised digit is part of a unit)


@pytest.mark.parametrize("affix", ["usd", "USD", "US$", "Fr.", "\u20b9", "\u20ac/h", "zł"])
def test_currencies_by_name_and_by_symbol(affix):
    assert is_currency(affix)
    assert unit_kind(affix) == "currency"


@pytest.mark.parametrize(
    ("affix", "kind"), [("KM", "length"), ("°C", "temperature"), ("%", "share"), ("kWh", "energy"), ("flat", None)]
)
def test_a_unit_says_what_it_measures(affix, kind):
    assert not is_currency(affix)
    assert unit_kind(affix) == kind


@pytest.mark.parametrize(
    ("cell", "form", "value"),
    [
        ("1.234,5 €", NumberForm(",", ".", "€"), "1234.5"),
        ("1.234,5", NumberForm(",", ".", "€"), None),
        ("1.234,5 €", NumberForm(",", "."), None),
        ("1,500", NumberForm(".", ","), "1500"),
        ("1,500", NumberForm(",", "."), "1.500"),
        ("1500", NumberForm(",", "."), "1500"),  # (grouping may be absent from a cell)
        ("1 500", NumberForm(".", ","), None),
        ("1 500", NumberForm(".", ""), "1500"),  # (whatever groups, where no cell of the column did)
        ("1.5", NumberForm(",", ""), None),
        ("abc", NumberForm(".", ","), None),
    ],
)
def test_a_cell_is_read_in_the_form_of_its_column(cell, form, value):
    assert read_number(cell, form) == value


def test_a_whole_number_is_exact_and_another_the_nearest_float():
    assert as_value("9007199254740993") == 9007199254740993
    assert isinstance(as_value("5"), int)
    assert as_value("1.5") == 1.5
    assert isinstance(as_value("1e3"), float)
    assert as_value("-inf") == -math.inf
    assert [as_float(value) for value in (10**400, -(10**400), 3, 0.5)] == [math.inf, -math.inf, 3.0, 0.5]
