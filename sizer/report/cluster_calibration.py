"""The calibrations of a cluster as text for a terminal (rich renderables)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from sizer.calibrating.on_cluster import ClusterCalibration
from sizer.report import calibration
from sizer.report.layout import hanging

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def renderables(record: ClusterCalibration, console: Console) -> Iterator[RenderableType]:
    """Each kind of node with its addresses and its calibration, then how to compare them."""
    for kind in record.kinds:
        yield hanging("nodes: ", ", ".join(kind.addresses), console.width)
        yield from calibration.renderables(kind.calibration, console)
        yield Text()
    names = ",".join(kind.calibration.name for kind in record.kinds)
    yield hanging("", f"`sizer recommend --fleet {names}` compares them.", console.width)
