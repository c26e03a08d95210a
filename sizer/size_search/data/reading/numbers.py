"""Numbers as people write them: decimal and grouping marks, currency, per cent, units, one form for a whole column.

A cell is taken apart once (`take_apart`); every form that fits its digits gives one value. Values are kept as plain
text until the column's form is decided, so that none is rounded on the way. Pure.
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import cache, lru_cache
from typing import NamedTuple

Number = int | float


class NumberForm(NamedTuple):
    """How a column writes its numbers.

    ``decimal`` and ``grouping`` are marks (grouping may be absent from a cell, and is "" where a column has none);
    ``affix`` is the currency, unit or per cent sign that every cell carries, "" for none.
    """

    decimal: str
    grouping: str
    affix: str = ""


#: The marks that are told apart, the plainest first. A grouping mark may always be left out.
MARKS = ((".", ","), (".", " "), (".", "'"), (".", "_"), (",", "."), (",", " "), (",", "'"))

_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t"
_SAME = str.maketrans(
    {
        **dict.fromkeys(_SPACES, " "),
        **dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2018\u2019\u02bc\u02b9\u2032\u00b4`", "'"),
        "\u066b": ".",
        "\u066c": ",",
    }
)
_PLACED = r"(?P<core>[0-9][0-9., '_]*|[.,][0-9]+)(?:[ ]?(?P<exponent>[eEdD][+-]?[0-9]+))?"
_CELL = re.compile(
    r"(?P<open>\()?(?P<sign>[+-])? ?(?P<prefix>[^0-9\s.,'()+\-][^0-9()+\-]{0,7}?)? ?(?P<inner>[+-])?"
    + _PLACED
    + r"(?P<dash>[.,]-{1,2})? ?(?P<after>-)? ?"
    + r"(?P<suffix>(?:[^\W\d_]|[%‰°\u20a0-\u20bf$£¥¢])[^():;|,=<>\t\x22]{0,15})?(?P<close>\))?"
)
_INFINITE = re.compile(r"(?P<sign>[+-])?(?:inf|infinity)", re.IGNORECASE)
#: Currencies that stand before the number; others are found by their symbol.
_CURRENCIES_TEXT = (
    "eur usd gbp chf jpy cny inr aud cad nzd sek nok dkk pln czk huf brl zar krw mxn sgd hkd try rub ils "
    "thb idr php myr aed sar fr fr. sfr sfr. rs rs. kr kr. r rp rm zł kč ft us$ au$ a$ c$ ca$ nz$ hk$ nt$ "
    "s$ r$ mx$ lei лв"
)
_CURRENCIES = frozenset(_CURRENCIES_TEXT.split())
#: Units by what they measure. Two of one kind in a column are a mixture; other endings may be codes such as flat 12B.
_UNITS = {
    "length": "nm um µm mm cm dm m km in inch inches ft feet yd mi mile miles",
    "mass": "µg mg g kg t lb lbs oz st tons tonnes",
    "time": "ns us µs ms s sec secs second seconds min mins minute minutes h hr hrs hour hours d day days weeks yr yrs",
    "power": "w watt watts mw kw kilowatts gw va kva hp ps",
    "energy": "j kj mj gj wh kwh mwh gwh cal kcal",
    "potential": "v mv kv",
    "current": "a ma ka",
    "pressure": "pa hpa kpa mpa bar mbar psi atm mmhg",
    "speed": "m/s km/h kmh kph mph kn knots",
    "volume": "ml cl dl l hl gal m³ m3 cm³ cm3",
    "area": "m² m2 cm² cm2 km² km2 ha sqm sqft ft² ft2 qm acres",
    "temperature": "°c °f k °k c f degc degf",
    "data": "b kb mb gb tb kib mib gib tib bytes",
    "frequency": "hz khz mhz ghz rpm",
    "force": "n kn kn/m",
    "share": "% ‰ ppm ppb pct percent",
    "angle": "° deg rad",
}
UNIT_KINDS = {unit: kind for kind, units in _UNITS.items() for unit in units.split()}


class TakenApart(NamedTuple):
    """A cell that holds one number: the value as text under each of `MARKS` (None: it does not fit), and its affix."""

    values: tuple[str | None, ...]
    affix: str


def normalise(cell: str) -> str:
    """A cell with one kind of space, minus and apostrophe, and European digits."""
    if cell.isascii():
        return cell.strip()
    cell = "".join(
        str(unicodedata.digit(c)) if c.isdigit() and unicodedata.decimal(c, None) is not None else c for c in cell
    )
    return cell.translate(_SAME).strip()


@lru_cache(maxsize=1 << 16)
def take_apart(cell: str) -> TakenApart | None:
    """What number a cell holds, in every form that fits it; None for a cell that is no number."""
    text = normalise(cell)
    if infinite := _INFINITE.fullmatch(text):
        return TakenApart((f"{infinite['sign'] or ''}inf",) * len(MARKS), "")
    found = _CELL.fullmatch(text)
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    affix = _affix(found["prefix"], found["suffix"])
    signs = [sign for sign in (found["sign"], found["inner"], found["after"], found["open"]) if sign]
    if affix is None or len(signs) > 1:
        return None
    is_dashed = found["after"] and found["core"].endswith((".", ","))  # ("5.-" is a Swiss price)
    sign = "-" if signs and signs[0] in "-(" and not is_dashed else ""
    exponent = (found["exponent"] or "").lower().replace("d", "e")
    values = tuple(_digits(found["core"].rstrip(), decimal, grouping) for decimal, grouping in MARKS)
    if not any(values):
        return None
    return TakenApart(tuple(value and f"{sign}{value}{exponent}" for value in values), affix)


def _affix(prefix: str | None, suffix: str | None) -> str | None:
    """The one affix of a cell; None for a cell with a prefix that is no currency, or with one on both sides."""
    before, after = (prefix or "").strip(), (suffix or "").strip()
    if before and (after or not is_currency(before)):
        return None
    return before or after


def is_currency(affix: str) -> bool:
    """Whether an affix is a currency."""
    return affix.lower() in _CURRENCIES or any(unicodedata.category(c) == "Sc" for c in affix)


def unit_kind(affix: str) -> str | None:
    """What a unit measures, "currency" for one, None for an affix that is no known unit."""
    return "currency" if is_currency(affix) else UNIT_KINDS.get(affix.lower())


@cache
def _pattern(decimal: str, grouping: str) -> re.Pattern[str]:
    point, mark = re.escape(decimal), re.escape(grouping)
    whole = rf"[0-9]+|[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+"
    if (decimal, grouping) == (".", ","):
        whole += r"|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"  # (lakhs)
    return re.compile(rf"(?P<whole>{whole})?(?:{point}(?P<part>[0-9]*))?")


def _digits(core: str, decimal: str, grouping: str) -> str | None:
    """The digits of a number as Python writes them, None where they do not fit the marks."""
    found = _pattern(decimal, grouping).fullmatch(core)
    if found is None or not (found["whole"] or found["part"]):
        return None
    whole = (found["whole"] or "0").replace(grouping, "")
    return whole if found["part"] is None else f"{whole}.{found['part'] or 0}"


def read_number(cell: str, form: NumberForm) -> str | None:
    """The value of a cell under a form as Python writes it, None where the cell does not fit."""
    taken = take_apart(cell)
    if taken is None or taken.affix != form.affix:
        return None
    fitting = [
        value
        for (decimal, grouping), value in zip(MARKS, taken.values, strict=True)
        if decimal == form.decimal and grouping == (form.grouping or grouping)
    ]
    return next((value for value in fitting if value is not None), None)


def as_value(text: str) -> Number:
    """A number from its text: whole ones exactly, others as the nearest float."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def as_float(value: float) -> float:
    """As float reads its digits: a whole number that is too large is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
