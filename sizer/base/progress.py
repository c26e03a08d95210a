"""How something that takes long says what it is doing."""

from __future__ import annotations

from collections.abc import Callable

#: Told what happens, and the share of the work or time that is done, 0 to 1, None where that is not known.
Progress = Callable[[str, float | None], None]


def silent(what: str, share: float | None) -> None:
    """Progress that nobody watches."""
