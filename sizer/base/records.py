"""What every record that sizer answers with can do: turn into JSON, into a table, and show itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, ConsoleOptions, RenderableType


def plain(value: Any) -> Any:
    """A value of a record as plain JSON data: records and named tuples become dictionaries, tuples lists."""
    if isinstance(value, tuple):
        fields = getattr(value, "_fields", None)
        return (
            [plain(item) for item in value]
            if fields is None
            else {name: plain(getattr(value, name)) for name in fields}
        )
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


class Shows(Protocol):
    """What shows records: `sizer.report.terminal`, which this module must not know."""

    def show(self, record: Record, console: Console) -> Iterator[RenderableType]:
        """The record and its remarks, for a terminal."""

    def as_html(self, record: Record) -> str:
        """The same as a fragment of HTML, for a notebook."""


_shown_by: Callable[[], Shows]


def show_with(load: Callable[[], Shows]) -> None:
    """Register what shows records; ``load`` is called when one is first shown."""
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
        return _shown_by().show(self, console)

    def _repr_html_(self) -> str:
        return _shown_by().as_html(self)


def known_fields(record_type: type[Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a JSON record that a dataclass or named tuple has: later releases may write more of them."""
    return {name: value for name, value in record.items() if name in record_type.__annotations__}
