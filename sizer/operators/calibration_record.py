"""The record of `sizer calibrate --operators`: how many calls were timed of each kind, and how well others are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from sizer.base.records import Record, plain

OPERATOR_CALIBRATION_FORMAT = "sizer.operator_calibration/1"


class KindErrors(NamedTuple):
    """Operators of a kind: calls timed, and the mean error of one that is told by the others; None where too few."""

    kind: str
    calls: int
    error: float | None


@dataclass(frozen=True)
class OperatorCalibration(Record):
    """The operators of this machine that were timed.

    ``calls`` were timed in all, ``new_calls`` of them now. ``steps`` whole steps of reference blocks were timed beside
    their operators; ``step_error`` is the mean of |predicted / measured - 1| over them, None where there are too few.
    """

    device: str
    name: str | None
    torch: str
    threads: int
    calls: int
    new_calls: int
    kinds: tuple[KindErrors, ...]
    steps: int
    step_error: float | None
    took_s: float
    path: str

    main = "kinds"

    def in_short(self) -> str:
        """How many calls of which device."""
        return f"{self.calls:,} calls of operators timed on {self.name or self.device}"

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.operator_calibration/1``."""
        return {"format": OPERATOR_CALIBRATION_FORMAT, **plain(self)}

    def rows(self) -> list[dict[str, Any]]:
        """One row a kind."""
        return [plain(kind) for kind in self.kinds]

    def remarks(self) -> tuple[str, ...]:
        """What to do where little was timed."""
        return ()
