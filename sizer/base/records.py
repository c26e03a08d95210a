"""What every record that sizer answers with can do: turn into JSON and back, into a table, and show itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderableType

T = TypeVar("T")


def plain(value: Any) -> Any:
    """A value of a record as plain JSON data: records and named tuples become dictionaries, tuples lists."""
    fields = getattr(value, "__dataclass_fields__", None) or getattr(value, "_fields", None)
    if fields is not None:
        return {name: plain(getattr(value, name)) for name in fields}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def rebuild(kind: type[T], value: Mapping[str, Any], filled: bool = False) -> T:
    """A record or named tuple from its `plain` form, by the annotations of its fields.

    Fields that it does not know are ignored: a later version may have added them. ``filled`` takes those that an
    earlier version did not have for not known: None, or empty where they hold several. Raises TypeError for a record
    that lacks another field without a default, and AttributeError or TypeError for a value of another form.
    """
    makers = _makers(kind, filled)
    known = {name: makers[name](item) for name, item in value.items() if name in makers}
    return kind(**(_absent(kind) | known if filled else known))


#: Makes a field of a record from its plain form.
_Maker = Callable[[Any], Any]


def _made_by_annotation(kind: Any, filled: bool) -> dict[str, _Maker]:
    return {name: _maker(hint, filled) for name, hint in _hints(kind).items()}


def _hints(kind: Any) -> dict[str, Any]:
    """The annotations of a record; a name that only type checkers import stands for anything."""
    return _evaluated(kind, {})


def _evaluated(kind: Any, unseen: dict[str, Any]) -> dict[str, Any]:
    try:
        return get_type_hints(kind, localns=unseen)
    except NameError as error:
        if error.name is None or error.name in unseen:
            raise
        return _evaluated(kind, {**unseen, error.name: Any})


def _absent(kind: Any) -> dict[str, Any]:
    """What stands for the fields without a default that a record may lack."""
    fields = getattr(kind, "__dataclass_fields__", {})
    without = {name for name, field in fields.items() if field.default is field.default_factory}
    without |= {name for name in getattr(kind, "_fields", ()) if name not in kind._field_defaults}
    empty: dict[Any, Any] = {tuple: (), Mapping: {}, dict: {}}
    hints = {name: hint for name, hint in _hints(kind).items() if name in without}
    return {
        name: empty.get(get_origin(hint))
        for name, hint in hints.items()
        if type(None) in get_args(hint) or get_origin(hint) in empty
    }


#: Evaluating the annotations takes longer than all the rest.
_makers: Callable[[Any, bool], dict[str, _Maker]] = cache(_made_by_annotation)


def _maker(hint: Any, filled: bool) -> _Maker:
    arguments, origin = get_args(hint), get_origin(hint)
    if type(None) in arguments:  # X | None
        inner = _maker(arguments[0], filled)
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        inner = _maker(arguments[0], filled)
        return lambda value: tuple(map(inner, value))
    if origin is Mapping:
        inner = _maker(arguments[1], filled)
        return lambda value: {key: inner(item) for key, item in value.items()}
    if hasattr(hint, "__dataclass_fields__") or hasattr(hint, "_fields"):
        return lambda value: value if isinstance(value, hint) else rebuild(hint, value, filled)
    return lambda value: value


#: Give what shows records, `sizer.report.terminal` and `sizer.report.pages.page`, which this module must not know.
_shown_by: Callable[[], Any]
_paged_by: Callable[[], Any]


def show_with(terminal: Callable[[], Any], pages: Callable[[], Any]) -> None:
    """Register what shows records; each is called when a record is first shown there.

    ``terminal`` gives something with ``show(record, console)``, the record and its remarks, ``as_text(record)``, the
    same as text, and ``plot(record, path)``, its picture; ``pages`` something with
    ``fragment(record)``, the same as HTML for a notebook, and ``save_page(record, path, force)``.
    """
    global _shown_by, _paged_by
    _shown_by, _paged_by = terminal, pages


#: Columns that a DataFrame begins with, where it has them: what, how large, what it costs.
_FIRST_COLUMNS = (
    *("rank", "number", "node", "name", "widths", "num_free_parameters"),
    *("time_per_datum_s", "energy_per_datum_j", "time_per_epoch_s", "energy_per_epoch_j", "time_per_step_s"),
    *("energy_per_step_j", "time_s", "energy_j", "expected_cost", "relative_cost_to_loss", "learning_rate"),
)


class Record:
    """Base of the records: a subclass gives `to_dict` and `rows`; the rest follows.

    ``str`` is what a terminal shows, ``repr`` one line; ``len`` and iteration go over the attribute that ``main`` names
    (candidates, networks, trials), or else the rows.
    """

    #: The attribute that holds what the record is a sequence of.
    main = ""

    def __init_subclass__(cls, **facts: Any) -> None:
        super().__init_subclass__(**facts)
        cls.__repr__ = Record.__repr__  # type: ignore[method-assign]  # (else a dataclass makes one of every field)

    def __repr__(self) -> str:
        return f"<sizer.{type(self).__name__}: {self.in_short()}>"

    def __str__(self) -> str:
        return str(_shown_by().as_text(self))

    def __len__(self) -> int:
        return len(getattr(self, self.main) if self.main else self.rows())

    def __iter__(self) -> Iterator[Any]:
        return iter(getattr(self, self.main) if self.main else self.rows())

    def __bool__(self) -> bool:
        return True  # (an answer without candidates is an answer)

    def in_short(self) -> str:
        """The record in one line."""
        return f"{len(self)} {self.main or 'rows'}"

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON data."""
        raise NotImplementedError

    def rows(self) -> list[dict[str, Any]]:
        """The record's main table, one dictionary a row."""
        raise NotImplementedError

    def to_json(self) -> str:
        """The record as JSON text, numbers exact; what is not known is null."""
        import json

        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def to_frame(self) -> pd.DataFrame:
        """The record's main table as a pandas DataFrame (imports pandas).

        Widths, parameters, time and cost come first; widths are written as everywhere, ``512x5-10``.
        """
        import pandas as pd

        from sizer.base.units import format_widths

        frame: pd.DataFrame = pd.DataFrame(self.rows())
        if "widths" in frame:
            frame["widths"] = [widths and format_widths(widths) for widths in frame["widths"]]
        first = [name for name in _FIRST_COLUMNS if name in frame]
        ordered: pd.DataFrame = frame[[*first, *(name for name in frame if name not in first)]]
        return ordered

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The record's picture as a matplotlib Figure, written to ``path`` (.svg or .png) where one is given.

        Raises UsageError for a record that has none, and for another ending.
        """
        figure: Figure = _shown_by().plot(self, path)
        return figure

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record as JSON, whole, and return the path. Raises OSError."""
        from pathlib import Path

        from sizer.base.storage import write_whole

        write_whole(Path(path), self.to_json() + "\n")
        return Path(path)

    def remarks(self) -> tuple[str, ...]:
        """Sentences for the user beside the record: what to doubt and what to do. A command prints them as warnings."""
        return ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        shown: Iterator[RenderableType] = _shown_by().show(self, console)
        return shown

    def to_html(self, path: str | os.PathLike[str], force: bool = False) -> None:
        """Write the record as a page of HTML that needs nothing else: text, tables, charts, the record as JSON.

        Raises UsageError where a file is there that sizer did not write, unless ``force``.
        """
        _paged_by().save_page(self, path, force)

    def _repr_html_(self) -> str:
        return str(_paged_by().fragment(self))
