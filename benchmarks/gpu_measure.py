"""What `benchmarks/gpu_run.sh` runs in its environment: calibrate, validate, and write profile and tables.

    python benchmarks/gpu_measure.py missing
    python benchmarks/gpu_measure.py environment FOLDER
    python benchmarks/gpu_measure.py age [--device cuda:0]
    python benchmarks/gpu_measure.py measure FOLDER [--device cuda:0] [--calibrate-s 120] [--validate-s 90]

FOLDER gets environment.json first, then calibration.json and .txt, validation.json and .txt, measurements.jsonl, and
the measured profile as it would be shipped: named vendor-model, what a datasheet says of the device kept, the
coefficients measured.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sizer.base.records import Record
    from sizer.calibration.record import Calibration
    from sizer.method.hardware import Device

#: Module -> the package that holds it.
_NEEDED = {
    **{name: name for name in ("torch", "numpy", "rich", "click", "scipy", "pytest")},
    "pynvml": "nvidia-ml-py",
}


def missing() -> Iterator[str]:
    """Packages that measuring and the GPU tests need and that are not there."""
    yield from (package for module, package in _NEEDED.items() if find_spec(module) is None)


def environment(folder: Path) -> None:
    """What the run goes by: versions, detection, meters."""
    from sizer.diagnosis import diagnose

    folder.mkdir(parents=True, exist_ok=True)
    write(folder, "environment", diagnose())


def measure(folder: Path, device: str, calibrate_s: float, validate_s: float) -> None:
    """Calibrate and validate, and write what was found, each part as soon as it is there."""
    import sizer
    from sizer.calibration.calibration import Settings, measurement_path

    calibration = sizer.calibrate(device=device, budget_s=calibrate_s, fresh=True)
    write(folder, "calibration", calibration)
    shutil.copy(measurement_path(Settings(calibration.device.id)), folder / "measurements.jsonl")
    print(f"profile: {shipped_profile(calibration, folder)}")
    write(folder, "validation", sizer.validate(device=device, budget_s=validate_s))


def age(device: str, days: int = 60) -> None:
    """Make the calibration so much older, to see that the hook says so and trains nothing for it."""
    from sizer.base.storage import write_whole
    from sizer.calibration.validity import profile_name
    from sizer.detection.detect import detected
    from sizer.profiles import load

    path = Path(load(profile_name(detected(device))).origin)
    record = json.loads(path.read_text(encoding="utf-8"))
    made = datetime.datetime.fromisoformat(record["calibration"]["date"]) - datetime.timedelta(days=days)
    record["calibration"]["date"] = made.isoformat(timespec="seconds")
    write_whole(path, json.dumps(record))


def write(folder: Path, name: str, record: Record) -> None:
    """The record as JSON and, but for the environment, as it looks in a terminal of 80 columns; also printed."""
    from rich.console import Console

    (folder / f"{name}.json").write_text(record.to_json() + "\n", encoding="utf-8")
    Console(width=80).print(record)
    if name != "environment":
        with (folder / f"{name}.txt").open("w", encoding="utf-8") as stream:
            Console(file=stream, width=80).print(record)


def shipped_profile(calibration: Calibration, folder: Path) -> Path:
    """Write the calibration as a profile of the device's model, on top of what a shipped profile says of it."""
    from sizer.profiles import save
    from sizer.profiles.reading import read_json

    assert calibration.path is not None  # (it was kept)
    measured = read_json(calibration.path)
    found = _datasheet(calibration.device)
    base = found if found is not None else _without_datasheet(measured, calibration.device)
    title = f"sizer calibrate on {calibration.device.name} ({calibration.networks} networks)"
    kept = ("date", "networks", "metered", "noise", "errors", "dtype", "optimizer", "meter_source")
    record = {
        **base,
        "sources": {**base["sources"], "calibration": {**measured["sources"]["calibration"], "title": title}},
        "levels": list(_levels(base["levels"], measured["levels"])),
        "coefficients": {quantity: _shipped(values) for quantity, values in measured["coefficients"].items()},
        "calibration": {
            **{name: measured["calibration"].get(name) for name in kept},
            "torch": measured["calibration"]["identity"]["torch"],
        },
    }
    return save(record, folder)


def _levels(stated: list[dict[str, Any]], measured: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The levels that the coefficients were fitted to, with the bandwidths that are stated of them."""
    bandwidths = {level["name"]: level.get("bandwidth_bytes_per_s") for level in stated}
    for level in measured:
        yield {**level, "bandwidth_bytes_per_s": bandwidths.get(level["name"])}


def _datasheet(device: Device) -> dict[str, Any] | None:
    """The record of the shipped profile for the device, None where there is none."""
    from sizer import profiles
    from sizer.profiles.loader import file_of
    from sizer.profiles.reading import read_json

    profile = profiles.matching(device.name, device.kind)
    return None if profile is None else dict(read_json(file_of(profile.name)))


def _without_datasheet(measured: dict[str, Any], device: Device) -> dict[str, Any]:
    """The measured record under the device's name in plain form."""
    from sizer.profiles.records import words

    plain = words(device.name or device.id)
    name = plain.replace(" ", "-").replace("+", "plus")[:60].strip("-._")
    return {**measured, "name": name, "title": device.name or device.id, "match": {"exact": [plain]}}


def _shipped(values: dict[str, Any]) -> dict[str, Any]:
    """Coefficients that are another machine's to whoever uses them."""
    basis = values["basis"].replace("calibrated on this machine", "measured with sizer calibrate")
    return {**values, "source": "shipped", "basis": basis}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("missing")
    commands.add_parser("environment").add_argument("folder", type=Path)
    commands.add_parser("age").add_argument("--device", default="cuda:0")
    measuring = commands.add_parser("measure")
    measuring.add_argument("folder", type=Path)
    measuring.add_argument("--device", default="cuda:0")
    measuring.add_argument("--calibrate-s", type=float, default=120.0)
    measuring.add_argument("--validate-s", type=float, default=90.0)
    given = parser.parse_args()
    if given.command == "missing":
        print(" ".join(missing()))
        return
    if given.command == "age":
        age(given.device)
        return
    if given.command == "environment":
        environment(given.folder)
        return
    from sizer.base.errors import SizerError

    try:
        measure(given.folder, given.device, given.calibrate_s, given.validate_s)
    except SizerError as error:
        sys.exit(f"gpu_run: {error}")


if __name__ == "__main__":
    main()
