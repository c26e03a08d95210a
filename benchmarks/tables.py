"""Tables written from known numbers in every combination of dialects: each must be read exactly, or refused.

    python benchmarks/tables.py
    python benchmarks/tables.py --keep FOLDER   # writes the tables there, to look at

400 combinations, drawn once from all that make sense, of delimiter, decimal and grouping mark, order of dates, word for
a missing value, form of the header and encoding. Each table has two columns of numbers, one of whole numbers, a date, a
text and a target. What is read is compared with what was written, cell by cell: numbers and dates must be the same,
missing cells missing, texts alike. Prints the counts, and every table that was read wrongly; exit code 1 where there is
one.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import sys
import tempfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from sizer.base.errors import SizerError
from sizer.size_search.data.file_kinds import read_table
from sizer.size_search.data.reading.rules import Reading

TABLES, ROWS = 400, 60
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "space": " "}
MARKS = (".", ".,", ".'", ". ", ",", ",.", ", ", ",'")  # decimal, then grouping
DATES = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", "%d-%b-%Y", "%m/%d/%Y %I:%M %p", "%Y-%m-%dT%H:%M:%SZ")
MISSING = ("", "NA", "?", "-", "NULL", "n/a")
HEADERS = ("plain", "none", "quoted", "row names", "units", "comments", "preamble", "sep", "trailing")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252")
NAMES = ("breite", "höhe", "anzahl", "tag", "ort", "preis")
UNITS = ("m", "m", "", "", "", "EUR")


def combinations() -> list[tuple[Any, ...]]:
    """400 of all combinations, the same on every machine."""
    every = list(itertools.product(DELIMITERS, MARKS, DATES, MISSING, HEADERS, ENCODINGS))
    return random.Random(20261126).sample(every, TABLES)  # noqa: S311


def truth(seed: int) -> list[list[Any]]:
    """Rows of numbers as they are, None for a missing one."""
    draw = random.Random(seed)  # noqa: S311
    digits = draw.choice((1, 2, 3))
    start = datetime(2019, 1, 1) + timedelta(days=draw.randrange(365))
    rows: list[list[Any]] = []
    for _ in range(ROWS):
        width = round(draw.uniform(-5000, 90_000), digits)
        height = None if draw.random() < 0.1 else round(draw.uniform(0, 10), digits)
        count = draw.randrange(10**6)
        day = start + timedelta(days=draw.randrange(900), minutes=draw.randrange(1440))
        rows.append(
            [width, height, count, day, draw.choice(("Bern", "Köln", "New York")), round(draw.uniform(1, 1e6), digits)]
        )
    return rows


def number(value: float | None, marks: str, digits: int | None, missing: str) -> str:
    """A number as the table writes it."""
    if value is None:
        return missing
    text = f"{value:,.{digits}f}" if digits is not None else f"{value:,}"
    return text.replace(".", "\0").replace(",", marks[1:]).replace("\0", marks[0])


def written(combination: tuple[Any, ...], rows: list[list[Any]]) -> bytes:
    """The table as a file."""
    delimiter_name, marks, date, missing, header, encoding = combination
    delimiter = DELIMITERS[delimiter_name]
    digits = max(len(str(row[0]).partition(".")[2]) for row in rows)

    def quoted(cell: str) -> str:
        needs = delimiter in cell or header == "quoted" or (delimiter == " " and not cell)
        return f'"{cell}"' if needs else cell

    lines = []
    for index, (width, height, count, day, town, price) in enumerate(rows, start=1):
        cells = [
            *(
                number(value, marks, places, missing)
                for value, places in ((width, digits), (height, digits), (count, None))
            ),
            day.strftime(date),
            town,
            number(price, marks, digits, missing),
        ]
        line = delimiter.join(map(quoted, cells))
        lines.append(
            f'"{index}"{delimiter}{line}' if header == "row names" else line + delimiter * (header == "trailing")
        )
    names = delimiter.join(map(quoted, NAMES))
    top = {
        "none": [],
        "units": [names, delimiter.join(unit or '""' for unit in UNITS)],
        "comments": ["# written by a script", names],
        "preamble": ["Messungen 2021", "", names],
        "sep": [f"sep={delimiter}", names],
    }.get(header, [names])
    return ("\r\n".join([*top, *lines]) + "\r\n").encode(encoding)


def right(rows: list[list[Any]], date: str) -> list[list[Any]]:
    """The rows as they ought to be read: dates to the precision of their form."""
    return [[*row[:3], datetime.strptime(row[3].strftime(date), date), *row[4:]] for row in rows]


def same(given: Any, expected: Any) -> bool:
    """Whether a value that was read is the one that was written."""
    if expected is None:
        return bool(pd.isna(given))
    if isinstance(expected, datetime):
        return bool(pd.Timestamp(given) == pd.Timestamp(expected))
    if isinstance(expected, str):
        return bool(given == expected)
    return (
        not isinstance(given, str) and not pd.isna(given) and math.isclose(float(given), expected, rel_tol=0, abs_tol=0)
    )


def verdict(path: Path, target: str, expected: list[list[Any]]) -> tuple[str, str]:
    """Read a table: "exact", "refused" or "wrong", with the reason."""
    try:
        frame = read_table(path, Reading(targets=(target,))).frame
    except SizerError as error:
        return "refused", str(error)
    if frame.shape != (len(expected), len(expected[0])):
        return "wrong", f"{frame.shape[0]} rows and {frame.shape[1]} columns"
    for position in range(frame.shape[1]):
        for row, (given, wanted) in enumerate(
            zip(frame.iloc[:, position], (row[position] for row in expected), strict=True)
        ):
            if not same(given, wanted):
                return "wrong", f"row {row}, column {position}: {given!r} for {wanted!r}"
    return "exact", ""


def main() -> int:
    """Write, read and count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", type=Path, help="folder to write the tables to")
    kept: Path | None = parser.parse_args().keep
    folder = kept or Path(tempfile.mkdtemp(prefix="sizer-tables-"))
    folder.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for index, combination in enumerate(combinations()):
        rows = truth(index)
        path = folder / f"{index:03d}.csv"
        path.write_bytes(written(combination, rows))
        target = "column_6" if combination[4] == "none" else "preis"
        found, why = verdict(path, target, right(rows, combination[2]))
        counts[found] += 1
        if found == "wrong":
            print(f"{path.name} {combination}: read wrongly, {why}")
        if found == "refused":
            reasons[" ".join(why.split("(")[0].split(":", 1)[-1].split()[:8])] += 1
            if kept is not None:
                print(f"{path.name} {combination}: refused, {why}")
    print(
        f"{TABLES} tables: {counts['exact']} read exactly, {counts['refused']} refused, {counts['wrong']} read wrongly"
    )
    for reason, count in reasons.most_common():
        print(f"  refused {count}: {reason} ...")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
