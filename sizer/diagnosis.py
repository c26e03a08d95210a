"""What a bug report needs to know of an installation: versions, detection, meters, profile, folders."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from sizer import profiles
from sizer._version import __version__
from sizer.base.errors import SizerError
from sizer.base.records import Record, plain
from sizer.base.storage import cache_folder, config_folder, data_folder
from sizer.detection.detect import detect
from sizer.devices import choose
from sizer.meters.choosing import Availability, MeterOptions, about_gpu, available_meters
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Machine

DIAGNOSIS_FORMAT = "sizer.diagnosis/1"

#: Packages whose version matters, by distribution name. Their metadata is read; none is imported.
_PACKAGES = ("torch", "numpy", "pandas", "scipy", "nvidia-ml-py", "py-cpuinfo", "rich", "click", "matplotlib")


@dataclass(frozen=True)
class Diagnosis(Record):
    """One page on an installation. ``versions`` has None for a package that is not installed."""

    versions: dict[str, str | None]
    platform: str
    machine: Machine
    meters: tuple[Availability, ...]
    coefficients: Coefficients | None
    profile_warnings: tuple[str, ...]
    folders: dict[str, str]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.diagnosis/1``."""
        return {"format": DIAGNOSIS_FORMAT, **plain(self), "machine": self.machine.to_dict()}

    def remarks(self) -> tuple[str, ...]:
        """Everything that was found wrong or doubtful."""
        return (*self.machine.remarks(), *self.profile_warnings, *self.problems)

    def rows(self) -> list[dict[str, Any]]:
        """One row a package."""
        return [{"package": name, "version": version} for name, version in self.versions.items()]


def diagnose() -> Diagnosis:
    """Look at the installation; what cannot be read is a problem in the record and no error."""
    problems: list[str] = []
    coefficients = None
    machine = detect(fresh=True)
    gpu = machine.device("cuda:0")
    try:
        coefficients = choose(None).coefficients
    except SizerError as error:
        problems.append(str(error))
    return Diagnosis(
        versions=dict(_versions()),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        machine=machine,
        meters=available_meters(None, MeterOptions() if gpu is None else about_gpu(MeterOptions(), gpu)),
        coefficients=coefficients,
        profile_warnings=profiles.all_profiles().warnings,
        folders={"cache": str(cache_folder()), "data": str(data_folder()), "config": str(config_folder())},
        problems=tuple(problems),
    )


def _versions() -> Iterator[tuple[str, str | None]]:
    yield "sizer", __version__
    yield "python", sys.version.split()[0]
    for name in _PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:  # noqa: PERF203 (one that is missing must not hide the others)
            yield name, None
