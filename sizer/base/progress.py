"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

#: Told what happens and which share of the work or its time is done, None where that is not known.
Progress = Callable[[str, float | None], None]


def silent(what: str, share: float | None) -> None:
    """Progress that nobody watches."""
