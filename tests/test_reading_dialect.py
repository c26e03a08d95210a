"""How a file writes its table, from its first lines; rows of cells, and what one cell is by its look."""

from __future__ import annotations

import io
from typing import NamedTuple

import pytest
from odd_tables import ODD

from sizer.base.errors import DataError
from sizer.size_search.data.reading.dialect import Dialect, _cleanness, _is_header, _is_rule, find_dialect
from sizer.size_search.data.reading.rows import Record, is_comment, is_marker, kind_of_cell, records


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


# Cells and rows


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("1.5", "number"), ("$1,000", "number"), ("5 km", "number"), ("2021-03-04", "date"), ("4 Mar 2021", "date"),
        ("15:30", "clock"), ("3 pm", "clock"), ("", ""), ("NA", ""), ("?", ""), ("#N/A N/A", ""), ("Bern", None),
        ("15:99", None), ("-", ""), ("none", ""), ("1.#IND", ""),
    ],
)  # fmt: skip
def test_a_cell_is_told_by_its_look(cell, kind):
    assert kind_of_cell(cell) == kind
    assert is_marker(cell) == (kind == "")


def test_rows_say_the_line_that_they_begin_in():
    text = 'a,b\n\n# note\n" 1 ", 2\n"x\ny",3\n4,5\n'
    assert list(records(lines(text), ",", '"', "#")) == [
        Record(1, ["a", "b"]), Record(4, ["1", "2"]), Record(5, ["x\ny", "3"]), Record(7, ["4", "5"]),
    ]  # fmt: skip
    assert [row.line for row in records(lines(text), ",", '"', "#", first_line=4)] == [4, 5, 7]
    assert [row.line for row in records(lines(text), ",", '"')] == [1, 3, 4, 5, 7]


@pytest.mark.parametrize("cell", ["x\ny, z", "one two,b,c\nd"])
def test_a_text_of_several_lines_with_few_delimiters_is_one_cell(cell):
    text = f'"{cell}",2,"3"\n'
    assert list(records(lines(text), ",", '"')) == [Record(1, [cell, "2", "3"])]


def test_white_space_of_any_kind_separates_cells():
    assert list(records(lines("  1  2\t 3 \n4 'a b'\t5\n"), "", "'")) == [
        Record(1, ["1", "2", "3"]),
        Record(2, ["4", "a b", "5"]),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a,b\n"1,2\n3,4\n', 'line 2: a quote (") is opened there and takes in the next lines; close it'),
        ('a,b\n"1\n2\n', 'line 2: a quote (") is opened there and takes in the next lines; close it'),
        ('a,b\n"1\n2,3\n4",5\n', 'line 2: a quote (") is opened there and takes in the next lines; close it'),
    ],
)
def test_a_quote_that_swallows_rows_is_named(text, said):
    with pytest.raises(DataError) as refusal:
        list(records(lines(text), ",", '"'))
    assert str(refusal.value) == said


def test_a_cell_that_is_too_long_is_named():
    with pytest.raises(DataError, match=r"^line 2: field larger than .*; is a quote never closed\?$"):
        list(records(["a,b\n", "x" * 200_000 + ",1\n"], ",", '"'))


def test_an_error_of_a_spreadsheet_begins_no_comment():
    assert is_comment("  # note", "#")
    assert is_comment("#note", "#")
    assert not is_comment("#N/A,1", "#")
    assert not is_comment("a # note", "#")
    assert is_comment("// note", "//")


# What tells lines apart


@pytest.mark.parametrize(
    ("cells", "body", "is_header"),
    [
        ("0,1", "a,b", True),  # (counted, as pandas names columns)
        ("x,y,3", "1,2,4 5,6,7", True),  # (more texts over numbers than numbers over numbers)
        ("x,3,4", "1,2,4 5,6,7", False),
        ("x,3", "1,2 5,6", True),  # (as many)
        ("x,3", "1,2 5,6 x,7", False),  # (and the text comes again)
        ("x,y", "1,2 3,4 5,6 x,y", True),
        ("town,1", "a,2 b,3", False),
        ("2021-03-04", "1 2", True),  # (a day over numbers)
        ("2021-03-04", "2021-03-05", False),
        ("1", "a b", False),
        ("1", "2021-03-05 2021-03-06", False),
        ("x,,", "1,, 2,,", True),
        ("x", ", ,, 1 x", True),
        ("a,b", "a,c d,e", True),  # (half of the texts come again)
        ("a,b,c", "a,b,f d,e,g", False),
    ],
)
def test_names_are_texts_over_numbers_or_texts_that_do_not_come_again(cells, body, is_header):
    rows = [Record(number, row.split(",")) for number, row in enumerate(body.split(" "), 2)]
    assert _is_header(cells.split(","), rows) == is_header


@pytest.mark.parametrize(
    ("cells", "delimiter", "share"),
    [
        (["1", "a b"], ",", 1.0),
        (["a;b", "1"], ",", 0.5),
        (["a,b", "1"], ",", 1.0),  # (in quotes)
        (["1,5", "2|"], ";", 0.5),
        (["1 2", "x 1 y", "2021-03-04"], ",", 0.666667),
        (["a;b"], ",", 0.0),
        ([], ",", 0.0),
    ],
)
def test_cells_are_clean_without_other_delimiters_and_second_numbers(cells, delimiter, share):
    assert _cleanness([Record(1, cells)], delimiter) == share


@pytest.mark.parametrize(
    ("text", "is_rule"),
    [("|---+---|", True), ("== ==", True), ("-=", True), ("=-", True), ("-", False), ("--x", False), ("", False)],
)
def test_a_line_that_is_drawn(text, is_rule):
    assert _is_rule(text) == is_rule


# Whole tables


class Case(NamedTuple):
    """A table, how it is written, and what is said of it."""

    text: str
    dialect: Dialect
    expected: tuple[str, ...] = ()


def plain(delimiter: str = ",", header_line: int | None = 1, first_line: int = 2, **others: object) -> Dialect:
    return Dialect(delimiter, '"', ("x", "y"), header_line, first_line, **others)


BODY = "1,2.5\n3,4.5\n6,7.5\n"
NO_NAMES = "t.csv has no line of column names: they are column_1 to column_2"
TABLES = {
    "plain": Case("x,y\n" + BODY, plain()),
    "tabs": Case("x\ty\n" + BODY.replace(",", "\t"), plain("\t")),
    "semicolons, decimal commas": Case("x;y\n1;2,5\n3;4,5\n", plain(";")),
    "bars": Case("x|y\n" + BODY.replace(",", "|"), plain("|")),
    "white space": Case("x y\n1  2.5\n3 4.5\n", plain("")),
    "commas within texts": Case("x;y\na, b;1\nc, d;2\n", plain(";")),
    "only names": Case("x,y\n", plain()),
    "single quotes": Case(
        "'x','y'\n'a, b','1'\n'c','2'\n'd','3'\n", Dialect(",", "'", ("x", "y"), 1, 2),
    ),
    "no names": Case(BODY, Dialect(",", '"', ("column_1", "column_2"), None, 1, remarks=(NO_NAMES,))),
    "names that count": Case("0,1\n5,2.5\n7,4.5\n", Dialect(",", '"', ("0", "1"), 1, 2)),
    "years in order": Case("town,2019,2020\na,1,2\nb,3,4\n", Dialect(",", '"', ("town", "2019", "2020"), 1, 2)),
    "the first and the last year": Case(
        "town,1500,2200\na,1,2\nb,3,4\n", Dialect(",", '"', ("town", "1500", "2200"), 1, 2)
    ),
    **{f"no years: {names}": Case(
        f"{names}\na,1,2\nb,3,4\n",
        Dialect(",", '"', ("column_1", "column_2", "column_3"), None, 1, remarks=(NO_NAMES.replace("_2", "_3"),)),
    ) for names in ("town,1499,2019", "town,2019,2201", "town,2020,2019", "town,199,2019", "town,1999,19.5")},
    "texts over texts": Case("x,y\na,b\nc,b\nd,b\n", plain()),
    "texts that come again": Case(
        "a,b\na,b\nc,b\n", Dialect(",", '"', ("column_1", "column_2"), None, 1, remarks=(NO_NAMES,))
    ),
    "names over dates": Case("x,y\n2021-01-02,a\n2021-01-03,a\n", plain()),
    "sep=": Case(
        "sep=;\nx;y\n1;2,5\n3;4,5\n",
        plain(";", 2, 3, remarks=("line 1 of t.csv says that cells are separated by ';'",)),
    ),
    "sep= of a blank": Case(
        'SEP= \nx y\n1 2\n3 4\n', plain("", 2, 3, remarks=("line 1 of t.csv says that cells are separated by ' '",))
    ),
    "a title": Case(
        "Station: Bern\n\nx,y\n" + BODY,
        plain(",", 3, 4, remarks=("t.csv: the lines above the table are left out (up to line 2: 'Station: Bern')",)),
    ),
    "a long title": Case(
        "A" * 50 + "\nx,y\n" + BODY,
        plain(",", 2, 3, remarks=(
            f"t.csv: the lines above the table are left out (up to line 1: '{'A' * 39}…')",)),
    ),
    "a title that is shown whole": Case(
        "A" * 40 + "\nx,y\n" + BODY,
        plain(",", 2, 3, remarks=(
            f"t.csv: the lines above the table are left out (up to line 1: '{'A' * 40}')",)),
    ),
    "pairs above": Case(
        "Station;Bern\nUnit;metric\nx;y;z\n1;2;3\n4;5;6\n7;8;9\n",
        Dialect(";", '"', ("x", "y", "z"), 3, 4, remarks=(
            "t.csv: the lines above the table are left out (up to line 2: 'Station Bern')",)),
    ),
    "names of a comment in quotes": Case(
        "# 'x' 'y'\n'a b' 2.5\n'c' 4.5\n",
        Dialect("", "'", ("x", "y"), 1, 2, comment="#", remarks=(
            "t.csv: lines that begin with # are comments, and the last of them has the column names",)),
    ),
    "a comment that has no names": Case(
        "# 1 2\n3 2.5\n4 4.5\n",
        Dialect("", '"', ("column_1", "column_2"), None, 2, comment="#", remarks=(
            NO_NAMES, "t.csv: lines that begin with # are comments")),
    ),
    "a comment of more words": Case(
        "# made here by hand\n3 2.5\n4 4.5\n",
        Dialect("", '"', ("column_1", "column_2"), None, 2, comment="#", remarks=(
            NO_NAMES, "t.csv: lines that begin with # are comments")),
    ),
    "comments": Case(
        "# made here\nx,y\n" + BODY,
        plain(",", 2, 3, comment="#", remarks=("t.csv: lines that begin with # are comments",)),
    ),
    "comments of another kind": Case(
        "x,y\n1,2\n// note, here\n3,4\n", plain(comment="//", remarks=("t.csv: lines that begin with // are comments",))
    ),
    "names in a comment": Case(
        "# made here\n# x y\n1 2.5\n3 4.5\n",
        plain("", 2, 3, comment="#", remarks=(
            "t.csv: lines that begin with # are comments, and the last of them has the column names",)),
    ),
    "cells that begin as comments do": Case("x,y\n#ff0000,1\nred,2\n#00ff00,3\n", plain()),
    "row names": Case(
        "x,y\ncar 1,1,2\ncar 2,3,4\n",
        plain(row_names=True, remarks=(
            "t.csv: the header is one name short, as R writes it: the first cell of a row is its name "
            "('car 1' in line 2) and not used",)),
    ),
    "row names that count": Case(
        "x,y\n1,5,2\n2,3,4\n",
        plain(row_names=True, remarks=(
            "t.csv: the header is one name short, as R writes it: the first cell of a row is its name "
            "('1' in line 2) and not used",)),
    ),
    "row names that come again": Case("x,y\na,1,2\na,3,4\n", plain()),
    "long row names": Case(
        f"x,y\n{'a' * 21},1,2\nb,3,4\n",
        plain(row_names=True, remarks=(
            "t.csv: the header is one name short, as R writes it: the first cell of a row is its name "
            f"('{'a' * 20}' in line 2) and not used",)),
    ),
    "decimal commas between commas": Case("x,y\n5,1,2\n7,3,4\n", plain()),
    "such, with signs": Case("x,y\n-5,1,2\n+7,3,4\n", plain()),
    "delimiters at the end": Case("x,y\n1,2,\n3,4,\n", plain(trailing=True)),
    "units": Case(
        "x,y\nm,EUR\n1,2\n3,4\n",
        plain(first_line=3, units=("m", "EUR"), remarks=("t.csv: line 2 has the units (x m, y EUR)",)),
    ),
    "words in brackets": Case(
        "x,y\n[pieces],{of it}\n1,2\n3,4\n",
        plain(first_line=3, units=("[pieces]", "{of it}"), remarks=(
            "t.csv: line 2 has the units (x [pieces], y {of it})",)),
    ),
    "words in round brackets": Case(
        "x,y\n(each),\n1,2\n3,4\n",
        plain(first_line=3, units=("(each)", ""), remarks=("t.csv: line 2 has the units (x (each))",)),
    ),
    "units that are made of others": Case(
        "x,y\nkWh/m2,\n1,a\n3,b\n",
        plain(first_line=3, units=("kWh/m2", ""), remarks=("t.csv: line 2 has the units (x kWh/m2)",)),
    ),
    "no units over texts": Case("x,y\nm,s\na,b\nc,d\n", plain()),
    "no units that are words": Case("x,y\nlow,high\n1,2\n3,4\n", plain()),
    "a rule": Case("x | y\n---+---\n1 | 2\n3 | 4\n", plain("|", 1, 3)),
    "expected names below others": Case(
        "a,b\n1,2\nx,y\n3,4\n",
        plain(",", 3, 4, remarks=("t.csv: the lines above the table are left out (up to line 2: 'a b')",)),
        ("y",),
    ),
    "a title above a header that is one name short": Case(
        "My cars\nx,y\ncar 1,1,2\ncar 2,3,4\n",
        Dialect(",", '"', ("x", "y"), 2, 3, row_names=True, remarks=(
            "t.csv: the lines above the table are left out (up to line 1: 'My cars')",
            "t.csv: the header is one name short, as R writes it: the first cell of a row is its name "
            "('car 1' in line 3) and not used",)),
    ),
    "a title above rows without names": Case(
        "My cars\n1,2,3\n4,5,6\n7,8,9\n",
        Dialect(",", '"', ("column_1", "column_2", "column_3"), None, 2, remarks=(
            NO_NAMES.replace("_2", "_3"),
            "t.csv: the lines above the table are left out (up to line 1: 'My cars')",)),
    ),
    "a title filled up with delimiters": Case(
        "My cars,,\na,b,c\n1,2,3\n4,5,6\n",
        Dialect(",", '"', ("a", "b", "c"), 2, 3, remarks=(
            "t.csv: the lines above the table are left out (up to line 1: 'My cars')",)),
    ),
    "names with a nameless one": Case(",x,y\na,1,2\nb,3,4\n", Dialect(",", '"', ("", "x", "y"), 1, 2)),
    "a name that is a date, over numbers": Case("town,2021-03-04\na,1\nb,2\n", Dialect(
        ",", '"', ("town", "2021-03-04"), 1, 2)),
    "numbers over texts": Case(
        "1,2,a\nx,y,3\nz,y,4\n",
        Dialect(",", '"', ("1", "2", "a"), 1, 2),
    ),
    "missing values below": Case("x,y\n,\nNA,2\n3,\n", plain()),
    "one column": Case("x\n1\n2\n", Dialect("\x1f", '"', ("x",), 1, 2)),
    "one column of texts": Case("town\nBern Mitte\nUlm\nKiel\n", Dialect("\x1f", '"', ("town",), 1, 2)),
    "one column of texts that come again": Case("a\na\n", Dialect("\x1f", '"', ("column_1",), None, 1)),
    "one column in quotes, below sep=": Case('sep=;\n"x"\n1\n2\n', Dialect("\x1f", '"', ("x",), 2, 3)),
    "one column without a name": Case("1\n2\n", Dialect("\x1f", '"', ("column_1",), None, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_as_it_is_written(name):
    case = TABLES[name]
    assert find_dialect(lines(case.text), "t.csv", case.expected) == case.dialect


WRITTEN = [name for name, odd in ODD.items() if odd.right and isinstance(odd.text, str) and "@" not in odd.text[:1]]


@pytest.mark.parametrize("name", WRITTEN)
def test_an_odd_table_is_cut_into_its_columns_and_rows(name):
    odd = ODD[name]
    text = list(io.StringIO(odd.text, newline=""))
    dialect = find_dialect(text, odd.name)
    assert {column for column in odd.right if not column.endswith(".1")} <= set(dialect.names)
    rows = list(records(text, dialect.delimiter, dialect.quote, dialect.comment, dialect.first_line))
    assert {len(row.cells) for row in rows} == {dialect.width}
    assert sum(any(row.cells) for row in rows) == len(next(iter(odd.right.values())))


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "t.csv has no lines; expected a table in text"), ("\n \n", "t.csv has no lines; expected a table in text")],
)
def test_a_file_without_lines_is_refused(text, said):
    with pytest.raises(DataError) as refusal:
        find_dialect(lines(text), "t.csv")
    assert str(refusal.value) == said


def test_the_width_of_a_row_counts_what_has_no_name():
    assert plain().width == 2
    assert plain(row_names=True).width == 3
    assert plain(trailing=True).width == 3


def test_the_notation_is_told_in_words():
    told = plain("\t", 3, 5, comment="#", row_names=True, units=("m", "s")).notation()
    assert told == {
        "delimiter": "tabs", "header_line": 3, "first_line": 5, "comment": "#", "row_names": True, "units": ["m", "s"],
    }  # fmt: skip
    assert plain("^").notation()["delimiter"] == "^"
    assert plain("").notation()["delimiter"] == "white space"
    assert plain().notation()["units"] is None
