"""The last detection's result on disk, one file a fingerprint, so that a second call takes milliseconds.

Whatever is wrong with the cache, detection goes on without it: a file that is absent, unreadable, damaged or of another
format reads as None, and one that cannot be written is not written.
"""

from __future__ import annotations

import json
from pathlib import Path

from sizer.files import cache_folder, write_whole
from sizer.hardware import MACHINE_FORMAT, Level, Machine, machine_from_dict, machine_to_dict

# Containers of many sizes on one machine have a file each; the oldest go.
_MAX_FILES = 16
_MAX_BYTES = 1 << 22


def load(fingerprint: str) -> Machine | None:
    """The stored machine of this fingerprint, None where there is no sound one."""
    try:
        with _path(fingerprint).open("rb") as stream:
            record = json.loads(stream.read(_MAX_BYTES))
        if record["format"] != MACHINE_FORMAT or record["fingerprint"] != fingerprint:
            return None
        machine = machine_from_dict(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return machine if _is_sound(machine) else None


def store(machine: Machine) -> None:
    """Keep a machine under its fingerprint; a cache folder that cannot be written is no error."""
    if machine.fingerprint is None:
        return
    path = _path(machine.fingerprint)
    try:
        write_whole(path, json.dumps(machine_to_dict(machine)))
        files = sorted(path.parent.glob("machine-*.json"), key=lambda file: file.stat().st_mtime)
        for file in files[:-_MAX_FILES]:
            file.unlink(missing_ok=True)
    except OSError:
        return


def _path(fingerprint: str) -> Path:
    return cache_folder() / f"machine-{fingerprint}.json"


def _is_sound(machine: Machine) -> bool:
    """Whether a record that parses also has values that every reader of it can rely on."""
    return (
        machine.devices[:1] != ()
        and machine.devices[0].id == "cpu"
        and all(device.levels and all(_is_sound_level(level) for level in device.levels) for device in machine.devices)
        and all(isinstance(device.units, int | None) for device in machine.devices)
    )


def _is_sound_level(level: Level) -> bool:
    numbers = (level.capacity_bytes, level.instances, level.cpus_per_instance, level.line_bytes, level.effective_bytes)
    return isinstance(level.name, str) and all(one is None or (type(one) is int and one > 0) for one in numbers)
