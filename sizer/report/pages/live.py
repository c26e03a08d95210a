"""The page of something under way: written anew now and then, and read again by the browser by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sizer.base.records import Record
from sizer.report.pages.page import Entry, page
from sizer.report.pages.writing import write_page

#: The browser reads the file again after so many seconds, and it is not written more often.
REFRESH_S = 5
#: At most this share of the time goes into summing up and writing.
_SHARE = 0.05


class LivePage:
    """A page in a file. Call it whenever there may be news, with what makes the record; `end` stops the reloading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0.0
        self._last: Record | None = None

    def __call__(self, make: Callable[[], Record]) -> None:
        """Write the page, if the last time was long enough ago."""
        began = time.monotonic()
        if began < self._next:
            return
        self._last = make()
        write_page(self._path, page([Entry(self._last)], REFRESH_S))
        ended = time.monotonic()
        self._next = ended + max(REFRESH_S, (ended - began) / _SHARE)

    def end(self) -> None:
        """Write the page as it was last, no more to be read again: for what was stopped."""
        if self._last is not None:
            write_page(self._path, page([Entry(self._last)]))
