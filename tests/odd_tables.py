"""Tables as people have them, each with what is right: the columns, or a part of the sentence that refuses it.

Rows are written by a rule with known numbers, so that a column read otherwise is seen at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

N = 40
X = [round(0.5 + 37.3 * i % 97 + i / 8, 2) for i in range(N)]
Y = [round(1000 + 61.7 * i % 5000, 2) for i in range(N)]
WHOLE = [1000 + 977 * i % 89_000 for i in range(N)]
DAYS = [datetime(2021, 1, 1) + timedelta(days=3 * i, hours=i % 24, minutes=7 * i % 60) for i in range(N)]


def comma(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace(".", ",")


def grouped(value: float, mark: str = ",", decimal: str = ".", digits: int = 2) -> str:
    text = f"{value:,.{digits}f}".replace(",", "\0").replace(".", decimal)
    return text.replace("\0", mark)


def rows(header: Sequence[str], *columns: Sequence[Any], mark: str = ",", quote: str = "") -> str:
    lines = [mark.join(header)] if header else []
    lines += [mark.join(f"{quote}{cell}{quote}" for cell in row) for row in zip(*columns, strict=True)]
    return "\n".join(lines) + "\n"


@dataclass
class Odd:
    """A table: its text, the target, the right columns by name, or what the refusal says."""

    text: str | bytes
    right: dict[str, list[Any]] = field(default_factory=dict)
    refused: str = ""
    target: str = "y"
    said: str = ""
    name: str = "t.csv"
    options: dict[str, Any] = field(default_factory=dict)


XY = {"x": X, "y": Y}
PLAIN = rows(["x", "y"], X, Y)
NAN = float("nan")


def words(every: int, word: Any, values: Iterable[Any]) -> list[Any]:
    """The values with a word in every so many rows, the first included."""
    return [word if i % every == 0 else value for i, value in enumerate(values)]


ODD: dict[str, Odd] = {
    # Rows and headers
    "row names that are text, in commas": Odd(
        rows(["x", "y"], [f"car {i}" for i in range(N)], X, Y), XY, said="R writes"
    ),
    "a nameless index as write.csv has it": Odd(rows(['""', "x", "y"], range(1, N + 1), X, Y), XY),
    "one name short, first cells not different": Odd(
        rows(["x", "y"], ["a"] * N, X, Y), refused="has 3 cells and the header 2"
    ),
    "a delimiter at the end of every row": Odd(rows(["x", "y"], X, Y, [""] * N), XY),
    "a delimiter at the end of every line": Odd(rows(["x", "y", ""], X, Y, [""] * N), XY, said="without a name"),
    "one long row": Odd(PLAIN.replace(f"{X[7]},", f"{X[7]},5,"), refused=r"line 9 has 3 cells and the header 2"),
    "one short row": Odd(PLAIN.replace(f"\n{X[7]},", "\n"), refused=r"line 9 has 1 cell and the header 2"),
    "a file cut short": Odd(PLAIN.rsplit(",", 1)[0], refused=rf"line {N + 1} has 1 cell"),
    "a total below the table": Odd(
        rows(["k", "x", "y"], range(N), X, Y) + "Total;;\n", refused=rf"line {N + 2} has 1 cell"
    ),
    "decimal commas in one column, in commas": Odd(
        rows(["x", "k", "y"], [comma(v) for v in X], [7 + i % 3 for i in range(N)], [int(v) for v in Y]),
        refused="decimal commas",
    ),
    "empty rows of a spreadsheet": Odd(PLAIN + ",\n,\n,\n", XY, said="3 empty rows"),
    "two columns of one name": Odd(
        rows(["x", "x", "y"], X, WHOLE, Y), {**XY, "x.1": WHOLE}, said="two columns of the name"
    ),
    "no line of names": Odd(
        rows([], X, Y), {"column_1": X, "column_2": Y}, target="column_2", said="no line of column names"
    ),
    "no line of names, decimal commas": Odd(
        rows([], map(comma, X), map(comma, Y), mark=";"), {"column_1": X, "column_2": Y}, target="column_2"
    ),
    "no line of names, a date first": Odd(
        rows([], [f"{d:%Y-%m-%d}" for d in DAYS], X, Y), {"column_2": X, "column_3": Y}, target="column_3"
    ),
    "years as names": Odd(
        rows(["town", "2019", "2020"], [f"t{i % 3}" for i in range(N)], X, Y), {"2019": X, "2020": Y}, target="2020"
    ),
    "names in quotes with delimiters": Odd(rows(['"x, in m"', "y"], X, Y), {"x, in m": X, "y": Y}),
    "lines that end as on an old Mac": Odd(PLAIN.replace("\n", "\r"), XY),
    "lines that end as on Windows": Odd(PLAIN.replace("\n", "\r\n"), XY),
    "a quote that is never closed": Odd(PLAIN.replace(f"\n{X[5]},", f'\n"{X[5]},'), refused="quote"),
    "notes over several lines in quotes": Odd(rows(["note", "x", "y"], ['"one\ntwo, ""three"""'] * N, X, Y), XY),
    "inches in a text": Odd(rows(["size", "x", "y"], [f'{3 + i % 4}" pipe' for i in range(N)], X, Y), XY),
    "single quotes": Odd(rows(["x", "town", "y"], X, ["a, b", "c"] * (N // 2), Y, quote="'"), XY),
    # Above and between
    "a preamble": Odd("Station: Bern\nExported 2021-05-06, 12:00\n\n" + PLAIN, XY, said="lines above the table"),
    "a preamble of pairs": Odd(
        "Station;Bern\nUnit;metric\n\n" + rows(["k", "x", "y"], range(N), map(comma, X), map(comma, Y), mark=";"), XY
    ),
    "sep=": Odd("sep=;\n" + rows(["x", "y"], map(comma, X), map(comma, Y), mark=";"), XY, said="separated by ';'"),
    "sep= of a bar": Odd("sep=|\n" + rows(["x", "y"], X, Y, mark="|"), XY),
    "comments above": Odd("# made by a script\n# version 2\n" + PLAIN, XY, said="comments"),
    "comments between": Odd(PLAIN.replace(f"\n{X[20]},", f"\n# recalibrated\n{X[20]},"), XY, said="comments"),
    "names in a comment": Odd("# x y\n" + rows([], X, Y, mark=" "), XY, said="has the column names", name="t.txt"),
    "a first cell that begins with #": Odd(
        rows(["colour", "x", "y"], ["#ff0000", "red", "blue", "#00ff00"] * (N // 4), X, Y), XY
    ),
    "units in brackets": Odd(rows(["x", "y"], ["[m]", *X], ["[EUR]", *Y]), XY, said="units"),
    "units, with a nameless text column": Odd(
        rows(["town", "x", "y"], ["", *["a", "b"] * (N // 2)], ["m/s", *X], ["kWh/m2", *Y]), XY, said="units"
    ),
    "units over decimal commas": Odd(
        rows(["x", "y"], ["°C", *map(comma, X)], ["kWh", *map(comma, Y)], mark=";"), XY, said="units"
    ),
    "a rule of dashes, as psql draws": Odd(" x | y \n---+---\n" + rows([], X, Y, mark=" | "), XY),
    "a table of Markdown": Odd(
        "| x | y |\n|---|---|\n" + "".join(f"| {x} | {y} |\n" for x, y in zip(X, Y, strict=True)), XY, name="t.txt"
    ),
    # Numbers
    "spaces between groups": Odd(rows(["x", "y"], map(comma, X), [grouped(v, " ", ",") for v in Y], mark=";"), XY),
    "thin spaces between groups": Odd(rows(["x", "y"], X, [grouped(v, "\u2009") for v in Y]), XY),
    "no-break spaces in Latin-1": Odd(
        rows(["x", "y"], map(comma, X), [grouped(v, "\u00a0", ",") for v in Y], mark=";").encode("latin-1"),
        XY,
        said="Latin-1",
    ),
    "curly apostrophes": Odd(rows(["x", "y"], X, [grouped(v, "\u2019") for v in Y], mark=";"), XY),
    "a true minus sign": Odd(rows(["x", "y"], [f"\u2212{v}" for v in X], Y), {"x": [-v for v in X], "y": Y}),
    "negative in brackets": Odd(
        rows(["x", "y"], [f"({v})" if i % 2 else v for i, v in enumerate(X)], Y),
        {"x": [-v if i % 2 else v for i, v in enumerate(X)], "y": Y},
    ),
    "a minus behind": Odd(rows(["x", "y"], [f"{v}-" for v in X], Y), {"x": [-v for v in X], "y": Y}),
    "euros behind": Odd(
        rows(["x", "y"], map(comma, X), [f"{grouped(v, '.', ',')} €" for v in Y], mark=";"), XY, said="€"
    ),
    "euros in Windows-1252": Odd(
        rows(["x", "y"], map(comma, X), [f"{grouped(v, '.', ',')} €" for v in Y], mark=";").encode("cp1252"),
        XY,
        said="Windows-1252",
    ),
    "francs before": Odd(rows(["x", "y"], X, [f"CHF {grouped(v, chr(39))}" for v in Y], mark=";"), XY, said="CHF"),
    "round francs": Odd(
        rows(["x", "y"], X, [f"{grouped(v, chr(39), digits=0)}.-" for v in WHOLE], mark=";"), {"x": X, "y": WHOLE}
    ),
    "rupees in lakhs": Odd(
        rows(
            ["x", "y"],
            X,
            [
                f'"{v // 100000},{v // 1000 % 100:02d},{v % 1000:03d}.50"'
                for v in [123_456 + 7919 * i for i in range(N)]
            ],
        ),
        {"x": X, "y": [123_456.5 + 7919 * i for i in range(N)]},
    ),
    "per cent with decimal commas": Odd(
        rows(["x", "y"], [f"{comma(v)} %" for v in X], map(comma, Y), mark=";"), XY, said="%"
    ),
    "units in cells": Odd(rows(["x", "y"], [f"{v} kg" for v in X], [f"{v}kWh" for v in Y]), XY, said="kWh"),
    "exponents": Odd(rows(["x", "y"], [f"{v:.6e}" for v in X], [f"{v:.8E}".replace("E", "D") for v in Y]), XY),
    "plus signs": Odd(rows(["x", "y"], [f"+{v}" for v in X], Y), XY),
    "fractions without a nought": Odd(
        rows(["x", "y"], [f".{i:02d}" for i in range(N)], Y), {"x": [i / 100 for i in range(N)], "y": Y}
    ),
    "grouped whole numbers with points, and decimal commas": Odd(
        rows(["x", "y"], [grouped(v, ".", ",", 0) for v in WHOLE], map(comma, Y), mark=";"), {"x": WHOLE, "y": Y}
    ),
    "an ambiguous target of points": Odd(
        rows(["x", "y"], range(N), [f"{1 + i % 9}.{100 + 7 * i}" for i in range(N)]), refused="--decimal"
    ),
    "the same, said to be decimal": Odd(
        rows(["x", "y"], range(N), [f"{1 + i % 9}.{100 + 7 * i}" for i in range(N)]),
        {"y": [float(f"{1 + i % 9}.{100 + 7 * i}") for i in range(N)]},
        options={"decimal": "."},
    ),
    "the same, said to be grouped": Odd(
        rows(["x", "y"], range(N), [f"{1 + i % 9}.{100 + 7 * i}" for i in range(N)]),
        {"y": [1000 * (1 + i % 9) + 100 + 7 * i for i in range(N)]},
        options={"decimal": ","},
    ),
    "an ambiguous target of commas": Odd(
        rows(["x", "y"], range(N), [f"{1 + i % 9},{100 + 7 * i}" for i in range(N)], mark=";"), refused="--decimal"
    ),
    "an ambiguous feature": Odd(
        rows(["x", "y"], [f"{1 + i % 9}.{100 + 7 * i}" for i in range(N)], [int(v) for v in Y]),
        {"x": [float(f"{1 + i % 9}.{100 + 7 * i}") for i in range(N)]},
        said="would fit as well",
    ),
    "a plain number among grouped ones of that length": Odd(
        rows(["x", "y"], ["4512", *[f"{1 + i % 9}.{100 + 7 * i}" for i in range(N - 1)]], [int(v) for v in Y]),
        {"x": [4512.0, *[float(f"{1 + i % 9}.{100 + 7 * i}") for i in range(N - 1)]]},
    ),
    "two decimal marks in a column": Odd(
        rows(["x", "y"], [v if i % 2 else comma(v) for i, v in enumerate(X)], Y, mark=";"),
        refused=r"column 'x' holds .*\(line \d+\)",
    ),
    "a decimal comma in one line": Odd(
        rows(["x", "y"], [*X[:30], "3,5", *X[31:]], Y, mark=";"),
        refused=r"'3,5' \(line 32\)",
    ),
    "per cent and shares in a column": Odd(
        rows(["x", "y"], [f"{i}%" if i % 2 else f"0.{i:02d}" for i in range(N)], Y), refused=r"column 'x' .*%"
    ),
    "kilograms and grams in a column": Odd(
        rows(["x", "y"], [f"{i} kg" if i % 2 else f"{i} g" for i in range(N)], Y), refused=r"kg"
    ),
    "dollars and euros in the target": Odd(
        rows(["x", "y"], X, [f"${v}" if i % 5 else f"€{v}" for i, v in enumerate(Y)]), refused=r"target 'y'"
    ),
    "flats with letters stay categories": Odd(
        rows(["flat", "y"], [f"{1 + i % 3}{'AB'[i % 2]}" for i in range(N)], Y),
        {"flat": [f"{1 + i % 3}{'AB'[i % 2]}" for i in range(N)], "y": Y},
    ),
    "versions stay text": Odd(
        rows(["v", "y"], [f"1.{i % 3}.{i % 2}" for i in range(N)], Y),
        {"v": [f"1.{i % 3}.{i % 2}" for i in range(N)], "y": Y},
    ),
    "a word in a target of numbers": Odd(
        rows(["x", "y"], X, [*Y[:9], "error", *Y[10:]]), refused=r"'error' \(line 11\)"
    ),
    "a word in a feature of numbers": Odd(
        rows(["x", "y"], [*X[:9], "error", *X[10:]], Y), {"x": [*X[:9], NAN, *X[10:]], "y": Y}, said="'error' (line 11)"
    ),
    # Dates
    "month first": Odd(
        rows(["when", "y"], [f"{d:%m/%d/%Y %H:%M}" for d in DAYS], Y), {"when": DAYS, "y": Y}, said="month first"
    ),
    "month first, AM and PM": Odd(
        rows(["when", "y"], [f"{d:%m/%d/%Y %I:%M %p}" for d in DAYS], Y), {"when": DAYS, "y": Y}
    ),
    "day first with points": Odd(
        rows(["when", "y"], [f"{d:%d.%m.%Y %H:%M}" for d in DAYS], map(comma, Y), mark=";"),
        {"when": DAYS, "y": Y},
        said="day first",
    ),
    "day first, two digits a year": Odd(
        rows(["when", "y"], [f"{d:%d/%m/%y %H:%M}" for d in DAYS], Y), {"when": DAYS, "y": Y}
    ),
    "months by name": Odd(rows(["when", "y"], [f"{d:%d-%b-%Y %H:%M}" for d in DAYS], Y), {"when": DAYS, "y": Y}),
    "days of one month by name": Odd(
        rows(["when", "y"], [f"{1 + i % 28} March 2021" for i in range(N)], Y),
        {"when": [datetime(2021, 3, 1 + i % 28) for i in range(N)], "y": Y},
    ),
    "days of two months by name, most of one": Odd(
        rows(["when", "y"], ["1 April 2021", *[f"{1 + i % 28} March 2021" for i in range(N - 1)]], Y),
        {"when": [datetime(2021, 4, 1), *[datetime(2021, 3, 1 + i % 28) for i in range(N - 1)]], "y": Y},
    ),
    "whole hours in the afternoon": Odd(
        rows(["time", "y"], [f"{1 + i % 12} pm" for i in range(N)], Y),
        {"time": [3600 * (12 + (1 + i % 12) % 12) for i in range(N)], "y": Y},
        said="time of day",
    ),
    "as mail has it": Odd(
        rows(["when", "y"], [f'"{d:%a, %d %b %Y %H:%M:%S} +0000"' for d in DAYS], Y), {"when": DAYS, "y": Y}
    ),
    "months by name first": Odd(
        rows(["when", "y"], [f'"{d:%B} {d.day}, {d:%Y %H:%M}"' for d in DAYS], Y), {"when": DAYS, "y": Y}
    ),
    "ISO with a zone": Odd(
        rows(["when", "y"], [f"{d - timedelta(hours=2):%Y-%m-%dT%H:%M}:00-02:00" for d in DAYS], Y),
        {"when": DAYS, "y": Y},
    ),
    "a date and a time apart": Odd(
        rows(
            ["day", "time", "y"],
            [f"{d:%d/%m/%Y}" for d in DAYS],
            [f"{d:%H.%M}.00" for d in DAYS],
            map(comma, Y),
            mark=";",
        ),
        {
            "day": [datetime(d.year, d.month, d.day) for d in DAYS],
            "time": [d.hour * 3600 + d.minute * 60 for d in DAYS],
            "y": Y,
        },
        said="time of day",
    ),
    "times with AM and PM": Odd(
        rows(["time", "y"], [f"{d:%I:%M %p}" for d in DAYS], Y), {"time": [d.hour * 3600 + d.minute * 60 for d in DAYS]}
    ),
    "two orders in a column": Odd(
        rows(["when", "y"], [f"{d:%d/%m/%Y}" if i % 2 else f"{d:%m/%d/%Y}" for i, d in enumerate(DAYS)], Y),
        refused=r"column 'when' .*order",
    ),
    "ambiguous days, in order": Odd(
        rows(["when", "y"], [f"{1 + i % 12:02d}/{1 + i // 12:02d}/2021" for i in range(N)], Y),
        {"when": [datetime(2021, 1 + i // 12, 1 + i % 12) for i in range(N)]},
        said="since the rows are in order",
    ),
    "ambiguous days, out of order": Odd(
        rows(["when", "y"], [f"{1 + 5 * i % 12:02d}/{1 + 7 * i % 12:02d}/2021" for i in range(N)], Y),
        {"y": Y},
        said="could be",
    ),
    # Missing
    "None as a class": Odd(
        rows(["x", "y"], X, ["None", "gas", "oil", "gas"] * (N // 4)),
        {"y": ["None", "gas", "oil", "gas"] * (N // 4)},
        said="a class of its own",
    ),
    "minus and plus as classes": Odd(
        rows(["x", "y"], X, ["-", "+"] * (N // 2)), {"y": ["-", "+"] * (N // 2)}, said="a class of its own"
    ),
    "NA as a class that --missing takes out": Odd(
        rows(["x", "y"], X, ["NA", "gas", "oil", "gas"] * (N // 4)),
        {"y": [None, "gas", "oil", "gas"] * (N // 4)},
        options={"missing": ("NA",)},
    ),
    "NA as a category": Odd(
        rows(["alley", "y"], ["NA", "Pave", "NA", "Grvl"] * (N // 4), Y),
        {"alley": ["NA", "Pave", "NA", "Grvl"] * (N // 4)},
        said="a category of its own",
    ),
    "NA in a target of numbers": Odd(
        rows(["x", "y"], X, words(4, "NA", Y)), {"x": X, "y": words(4, NAN, Y)}, said="'NA' in 10 rows"
    ),
    "errors of a spreadsheet": Odd(rows(["x", "y"], words(5, "#DIV/0!", X), Y), {"x": words(5, NAN, X), "y": Y}),
    "a code that is named": Odd(
        rows(["x", "y"], words(5, "-200", X), Y), {"x": words(5, NAN, X), "y": Y}, options={"missing": ("-200",)}
    ),
    "a code that is named, with decimal commas": Odd(
        rows(["x", "y"], words(5, "-200,00", map(comma, X)), map(comma, Y), mark=";"),
        {"x": words(5, NAN, X), "y": Y},
        options={"missing": ("-200",)},
    ),
    # Whole numbers and encodings
    "whole numbers beyond 2^53": Odd(
        rows(["id", "y"], [2**53 + i for i in range(N)], Y), {"id": [2**53 + i for i in range(N)], "y": Y}
    ),
    "such, with gaps": Odd(
        rows(["id", "x", "y"], [2**53 + i if i % 3 else "" for i in range(N)], X, Y),
        {"id": [2**53 + i if i % 3 else None for i in range(N)]},
    ),
    "whole numbers beyond 2^63": Odd(
        rows(["id", "y"], [2**70 + i for i in range(N)], Y), {"id": [2**70 + i for i in range(N)], "y": Y}
    ),
    "UTF-16 without a mark": Odd(PLAIN.encode("utf-16-le"), XY),
    "UTF-16, big end first": Odd(b"\xfe\xff" + PLAIN.encode("utf-16-be"), XY),
    "UTF-32": Odd(PLAIN.encode("utf-32"), XY),
    "spaces around cells": Odd(rows(["x ", " y"], X, Y, mark=" , "), XY),
    "fixed widths": Odd(
        "".join(f"{a:>12}{b:>12}\n" for a, b in [("x", "y"), *zip(X, Y, strict=True)]), XY, name="t.txt"
    ),
    "tabs with spaces in names": Odd(
        rows(["a town", "x", "y"], ["New York", "Bern"] * (N // 2), X, Y, mark="\t"), XY, name="t.tsv"
    ),
    "digits of full width": Odd(
        rows(["x", "y"], [str(v).translate({48 + d: 0xFF10 + d for d in range(10)}) for v in X], Y), XY
    ),
}
ODD |= {
    "a mark for missing of one's own": Odd(
        rows(["x", "y"], words(5, "fehlt", X), Y),
        {"x": words(5, NAN, X), "y": Y},
        said="'fehlt' (line 2): taken as missing",
    ),
    "a mark of one's own in the target": Odd(rows(["x", "y"], X, words(5, "fehlt", Y)), refused="--missing fehlt"),
    "such, named": Odd(
        rows(["x", "y"], X, words(5, "fehlt", Y)), {"y": words(5, NAN, Y)}, options={"missing": ("fehlt",)}
    ),
    "a name that begins with #": Odd(rows(["#x", "y"], X, Y), XY),
    "numbers and dates in a column": Odd(
        rows(["when", "y"], [f"{d:%d/%m/%Y}" if i % 2 else 44_000 + i for i, d in enumerate(DAYS)], Y),
        refused=r"column 'when' .*numbers and dates",
    ),
    "a date that is none": Odd(
        rows(["when", "y"], [*(f"{d:%Y-%m-%d}" for d in DAYS[1:]), "2021-02-30"], Y),
        refused=r"'2021-02-30' \(line 41\)",
    ),
    "dates and times of a day in white space": Odd(
        rows(["day", "time", "y"], [f"{d:%Y-%m-%d}" for d in DAYS], [f"{d:%H:%M}" for d in DAYS], Y, mark=" "),
        {"time": [d.hour * 3600 + d.minute * 60 for d in DAYS], "y": Y},
        name="t.txt",
    ),
    "postal codes keep their noughts only as text": Odd(
        rows(["x", "y"], X, ["01067", "80331", "01069", "20095"] * (N // 4)),
        {"y": [1067, 80331, 1069, 20095] * (N // 4)},
    ),
    "true and false with gaps": Odd(
        rows(["x", "on", "y"], X, words(5, "", ["True", "False"] * (N // 2)), Y),
        {"on": words(5, None, [True, False] * (N // 2))},
    ),
    "Air quality: codes, dots in times, empty rows and columns": Odd(
        rows(
            ["Date", "Time", "CO(GT)", "T", "", ""],
            [f"{d:%d/%m/%Y}" for d in DAYS],
            [f"{d:%H}.00.00" for d in DAYS],
            words(9, "-200", map(comma, X)),
            map(comma, Y),
            [""] * N,
            [""] * N,
            mark=";",
        )
        + ";;;;;\n" * 5,
        {"CO(GT)": words(9, -200, X), "T": Y, "Time": [d.hour * 3600 for d in DAYS]},
        target="T",
        said="5 empty rows",
    ),
}
ODD |= {
    "one number of many is not grouped": Odd(
        rows(["x", "y"], X, ['"1234"', *(f'"{grouped(v, digits=0)}"' for v in WHOLE[1:])]),
        {"x": X, "y": [1234, *WHOLE[1:]]},
    ),
    "such a target, and nothing that decides": Odd(
        rows(["k", "y"], range(N), ['"1234"', *(f'"{grouped(v, digits=0)}"' for v in WHOLE[1:])]), refused="--decimal"
    ),
}
ODD |= {
    "days, months and years with spaces": Odd(
        rows(["when", "y"], [f"{d:%d %m %Y %H:%M}" for d in DAYS], Y), {"when": DAYS, "y": Y}, said="day first"
    ),
    "months of years": Odd(
        rows(["when", "y"], [f"{d:%b %Y}" for d in DAYS], Y), {"when": [datetime(d.year, d.month, 1) for d in DAYS]}
    ),
    "euros and dollars by their codes": Odd(
        rows(["x", "y"], [f"{i} USD" if i % 2 else f"{i} EUR" for i in range(N)], Y), refused="EUR and USD"
    ),
    "a header that comes twice": Odd(PLAIN + PLAIN, refused=r"'y' \(line 42\)"),
    "a note below the table": Odd(PLAIN + "Source: my own data\n", refused="line 42 has 1 cell"),
}
