"""Where a folder's runs are from: the study's nodes or this machine, measured, estimated or generated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sizer.meters.protocol import ESTIMATED, MEASURED
from sizer.method.hardware import device_from_dict
from sizer.method.placement import Hierarchy
from sizer.study import published
from sizer.study.generated.generate import MARK
from sizer.study.own_runs.log import OwnStudy, is_own_study, read_log


class Origin(NamedTuple):
    """The memory hierarchy of each hardware that the runs are from, and what must be said of their numbers."""

    levels: Mapping[str, Hierarchy]
    remarks: tuple[str, ...] = ()


def origin_of(folder: Path) -> Origin:
    """What a folder's runs are from; without a log of one's own study, the published nodes."""
    if is_own_study(folder):
        study = read_log(folder)
        return Origin(levels_of(study), meter_remarks(study))
    generated = (folder / MARK).exists()
    remark = f"the runs in {folder} are generated from the cost model, not measured"
    return Origin(published.hierarchies(), (remark,) if generated else ())


def levels_of(study: OwnStudy) -> dict[str, Hierarchy]:
    """The memory hierarchy of the machine that a study ran on, by hardware."""
    device = device_from_dict(study.header["device"])
    return {"cpu" if device.kind == "cpu" else "gpu": Hierarchy.of(device)}


def meter_remarks(study: OwnStudy) -> tuple[str, ...]:
    """What must be said of a study's joules, nothing where they were measured."""
    label, source = study.header["meter"]["label"], study.header["meter"]["source"]
    if label == MEASURED:
        return ()
    return (
        (f"joules are estimated, not measured: {source}",)
        if label == ESTIMATED
        else (f"the quantity is time: {source}",)
    )
