"""What every record that sizer answers with can do: turn into JSON and back, into a table, and show itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
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


def rebuild(kind: type[T], value: Mapping[str, Any]) -> T:
    """A record or named tuple from its `plain` form, by the annotations of its fields.

    Fields that it does not know are ignored: a later version may have added them. Raises TypeError for one that lacks a
    field without a default, and AttributeError or TypeError for a value of another form.
    """
    makers = _makers(kind)
    return kind(**{name: makers[name](item) for name, item in value.items() if name in makers})


#: Makes a field of a record from its plain form.
_Maker = Callable[[Any], Any]


def _made_by_annotation(kind: Any) -> dict[str, _Maker]:
    return {name: _maker(hint) for name, hint in get_type_hints(kind).items()}


#: Evaluating the annotations takes longer than all the rest.
_makers: Callable[[Any], dict[str, _Maker]] = cache(_made_by_annotation)


def _maker(hint: Any) -> _Maker:
    arguments, origin = get_args(hint), get_origin(hint)
    if type(None) in arguments:  # X | None
        inner = _maker(arguments[0])
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        inner = _maker(arguments[0])
        return lambda value: tuple(map(inner, value))
    if origin is Mapping:
        inner = _maker(arguments[1])
        return lambda value: {key: inner(item) for key, item in value.items()}
    if hasattr(hint, "__dataclass_fields__") or hasattr(hint, "_fields"):
        return lambda value: value if isinstance(value, hint) else rebuild(hint, value)
    return lambda value: value


#: Gives what shows records, `sizer.report.terminal`, which this module must not know.
_shown_by: Callable[[], Any]


def show_with(load: Callable[[], Any]) -> None:
    """Register what shows records; ``load`` is called when one is first shown.

    It gives something with ``show(record, console)``, the record and its remarks for a terminal, and
    ``as_html(record)``, the same for a notebook.
    """
    global _shown_by
    _shown_by = load


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

    def _repr_html_(self) -> str:
        return str(_shown_by().as_html(self))
