"""A machine so small that every number of its recommendations is worked out by hand, in milliseconds."""

from __future__ import annotations

from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, Level
from sizer.method.request import Request

TINY = Device(
    "cpu", "cpu", "tiny", 2, (Level("L1", 1000, 2, line_bytes=64), Level("L2", 8000, 1), Level("RAM", 100_000, 1))
)


def priced(quantity: str = "time", **terms: float) -> Coefficients:
    """Coefficients of the given terms."""
    return Coefficients("shipped", "estimated", quantity, terms)


def asked(**options) -> Request:
    """A request for networks 4-w-2 at batch 10, compared by equation 10 unless a law is given."""
    return Request(**{"input_dim": 4, "depth": (2,), "output_dim": 2, "batch_size": (10,), "law": "paper", **options})
