"""What every record that sizer answers with can do: turn into JSON and back, into a table, and show itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    import os

    import pandas as pd
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

    ``terminal`` gives something with ``show(record, console)``, the record and its remarks; ``pages`` something with
    ``fragment(record)``, the same as HTML for a notebook, and ``save_page(record, path, force)``.
    """
    global _shown_by, _paged_by
    _shown_by, _paged_by = terminal, pages


class Record:
    """Base of the records: a subclass gives `to_dict` and `rows`; the rest follows."""

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
        """The record's main table as a pandas DataFrame (imports pandas)."""
        import pandas as pd

        frame: pd.DataFrame = pd.DataFrame(self.rows())
        return frame

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
