"""How a long step tells how far it is: a function of what happens and the share that is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Advance: TypeAlias = "Callable[[str, float], None]"


def unseen(what: str, share: float) -> None:
    """Progress that nobody sees."""
