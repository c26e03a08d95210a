"""The refusal of records that were read and hold values that no record has: one for a page, a terminal and Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sizer.base.errors import DataError, SizerError
from sizer.base.visible import visible

#: What making or showing a record may raise where its schema let something through that is none.
NO_RECORD = (
    SizerError,
    TypeError,
    AttributeError,
    LookupError,
    ValueError,
    ArithmeticError,
    RecursionError,
    StopIteration,
)


@contextmanager
def refusing_odd_values(title: str) -> Iterator[None]:
    """Show a record that was read. Raises DataError, in one line, where a value of it is none that records have."""
    import numpy as np

    try:
        with np.errstate(all="ignore"):
            yield
    except NO_RECORD as error:
        said = f"{type(error).__name__}: {error}"[:120]
        raise DataError(f"{visible(title)} cannot be shown: it has values that no record has ({said})") from None
