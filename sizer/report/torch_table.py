"""The part of the script of `--emit torch` that reads a table: what each column is, and how it becomes features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sizer.size_search.data.metrics import CLASSIFICATION
from sizer.size_search.data.prepare import Prepared
from sizer.size_search.data.reading.rules import BOOLEAN, CLOCK, DATE, NUMBER, ColumnRule
from sizer.size_search.data.table import TIME

#: Functions of the script that read the cells of a column, by the kind of its rule: their name, and their text.
_FUNCTIONS = {
    NUMBER: (
        "number",
        '''
def number(cells, decimal=".", grouping="", unit=""):
    """Cells of text as numbers; NaN where there is none."""
    for mark in (unit, grouping, " "):
        cells = cells.str.replace(mark, "", regex=False)
    return pandas.to_numeric(cells.str.replace(decimal, ".", regex=False), errors="coerce")
''',
    ),
    DATE: (
        "date",
        '''
def date(cells, order="ymd"):
    """Cells of text as dates, in seconds since 1970; NaN where there is none."""
    stamps = pandas.to_datetime(cells, errors="coerce", utc=True, format="mixed", dayfirst=order == "dmy")
    return (stamps - pandas.Timestamp(0, tz="UTC")).dt.total_seconds()
''',
    ),
    CLOCK: (
        "clock",
        '''
def clock(cells):
    """Cells of text as times of day, in seconds; NaN where there is none."""
    whole = cells.where(cells.str.count(":") == 2, cells + ":00")
    return pandas.to_timedelta(whole, errors="coerce").dt.total_seconds()
''',
    ),
    BOOLEAN: (
        "boolean",
        '''
def boolean(cells):
    """Cells true and false as 1 and 0; NaN where there is none."""
    return cells.str.lower().map({"true": 1.0, "false": 0.0})
''',
    ),
}

_PREPARE = '''

def prepare(path, seed=0):
    """Rows of a table for training and, a fifth of them, for validation: numbers scaled, texts as 0 and 1."""
    table = {reader}
    lacking = [name for name in [*NUMBERS, *CATEGORIES, *TARGETS] if name not in table]
    if lacking:
        raise SystemExit(f"{{path}} has no column {{', '.join(lacking)}}, which the network was sized for")
    table = table.dropna(subset=list(TARGETS)).sample(frac=1, random_state=seed)
    cut = len(table) * 4 // 5
    values = {{name: read(table[name], *how) for name, (read, *how) in NUMBERS.items()}}
    values = pandas.DataFrame(values, index=table.index)
    x = values.fillna(values[:cut].median())
    parts = [(x - x[:cut].mean()) / x[:cut].std().replace(0, 1), values[FLAGGED].isna()]
    for name, (listed, has_other, has_missing) in CATEGORIES.items():
        cells = table[name].str.strip()
        parts += [cells == each for each in listed]
        parts += [~cells.isin(listed) & cells.notna()] * has_other + [cells.isna()] * has_missing
    x = torch.tensor(pandas.concat(parts, axis=1).to_numpy("float32"))
    y = {encoded}
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])
'''

#: The targets as the loss takes them.
_CLASSES = """torch.tensor(table[TARGETS[0]].str.strip().astype("category").cat.codes.to_numpy("int64"))"""
_STANDARDISED = """pandas.DataFrame({name: read(table[name], *how) for name, (read, *how) in TARGETS.items()})
    y = torch.tensor(((y - y[:cut].mean()) / y[:cut].std()).to_numpy("float32"))"""


def table_code(prepared: Prepared, reader: str) -> str:
    """Functions and tables of a script in which ``prepare(path)`` makes the features that a search makes.

    ``reader`` reads the file ``path``, every cell as text. Categories and flags are those of the rows that were read,
    so that the number of features is that of the network; means and scales are of the rows that the script trains on.
    """
    preparation, is_regression = prepared.preparation, prepared.report.kind != CLASSIFICATION
    rules = _rules(prepared)
    roles = {column.name: DATE if column.role == TIME else NUMBER for column in preparation.numbers}
    columns = {name: rules.get(name) or ColumnRule(name, role) for name, role in roles.items()}
    targets = [rules.get(name) or ColumnRule(name, NUMBER) for name in preparation.target.names]
    read = [*columns.values(), *(targets if is_regression else ())]
    functions = [text for kind, (_, text) in _FUNCTIONS.items() if kind in {rule.kind for rule in read}]
    categories = {
        column.name: (list(column.categories), column.has_other, column.has_missing)
        for column in preparation.categories
    }
    flagged = [column.name for column in preparation.numbers if column.is_flagged]
    parts = [
        "\nimport pandas\n",
        *functions,
        "\n# What the columns are: how numbers are read, where a feature says that one is missing, and the texts that",
        "# are a feature each, with whether others, and missing ones, are a feature as well.",
        *_dictionary("NUMBERS", columns.values()),
        f"FLAGGED = {flagged!r}",
        f"CATEGORIES = {categories!r}",
        *(_dictionary("TARGETS", targets) if is_regression else [f"TARGETS = {list(preparation.target.names)!r}"]),
        _PREPARE.format(reader=reader, encoded=_STANDARDISED if is_regression else _CLASSES),
    ]
    return "\n".join(parts)


def _rules(prepared: Prepared) -> dict[str, ColumnRule]:
    """How the columns that were text are read, by name; text read as numbers all the same is plain numbers."""
    reading = prepared.report.reading
    known = () if reading is None else reading.columns
    return {rule.name: rule for rule in known if rule.kind in _FUNCTIONS}


def _dictionary(name: str, rules: Iterable[ColumnRule]) -> Iterator[str]:
    yield f"{name} = {{"
    for rule in rules:
        function, _ = _FUNCTIONS[rule.kind]
        how = "".join(f", {each!r}" for each in _how(rule))
        yield f"    {rule.name!r}: ({function},{how[1:] if how else ''}),"
    yield "}"


def _how(rule: ColumnRule) -> tuple[Any, ...]:
    """What the function needs to know beside the cells, where that is not what it takes for granted."""
    if rule.kind == DATE:
        return (rule.order,) if rule.order not in (None, "ymd") else ()
    if rule.form is None or (rule.form.decimal in ("", ".") and not rule.form.grouping and not rule.form.affix):
        return ()
    return (rule.form.decimal or ".", rule.form.grouping, rule.form.affix)
