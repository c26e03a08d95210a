"""Shows the doctests of docstrings as code on the documentation's pages (an extension of griffe)."""

from __future__ import annotations

import re
from typing import Any

import griffe

#: A doctest: its prompt, and every line up to an empty one.
_DOCTEST = re.compile(r"^>>> .*(?:\n(?!\n).+)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts each doctest between fences."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the text of an object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = _DOCTEST.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
