"""Profile records for tests: a sound one that uses every field, changed copies of it, and files of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

MISSING = object()

SOUND: dict[str, Any] = {
    "format": "sizer.profile/1",
    "name": "acme-one",
    "title": "ACME One",
    "kind": "cuda",
    "match": {"exact": ["acme one"], "contains": ["acme one 16gb"], "excludes": ["laptop"]},
    "sources": {"sheet": {"title": "ACME One datasheet", "url": "https://acme.example/one", "read": "2026-11-21"}},
    "units": {"value": 20, "source": "sheet", "verified": True, "note": "all of them"},
    "levels": [
        {"name": "L1", "capacity_bytes": 65536, "instances": 20, "source": None, "verified": False, "note": "a guess"},
        {
            "name": "L2",
            "core_kind": "big",
            "capacity_bytes": 4194304,
            "instances": 1,
            "cpus_per_instance": 20,
            "line_bytes": 128,
            "effective_bytes": 3145728,
            "source": "sheet",
            "verified": True,
            "bandwidth_bytes_per_s": {"value": 1e12, "source": None, "verified": False, "note": "made up"},
        },
        {"name": "RAM", "capacity_bytes": 2**34, "instances": 1, "source": "sheet", "verified": True},
    ],
    "peaks_flop_per_s": {
        "float32": {"value": 1.2e13, "source": "sheet", "verified": True},
        "mixed": {"value": 2.4e13, "source": None, "verified": False, "note": "made up"},
    },
    "power_w": {"limit": {"value": 150, "source": "sheet", "verified": True}, "idle": None},
    "coefficients": {
        "energy": {
            "source": "calibrated",
            "basis": "a test",
            "terms": {
                "pass": {"value": 0.5, "unit": "J/pass"},
                "step": {"value": 0, "unit": "J/step"},
                "traffic.L2": {"value": 1e-3, "unit": "J/MiB"},
                "optimizer.RAM": {"value": 2e-3, "unit": "J/MiB"},
            },
            "interval_90": [0.8, 1.25],
            "conditions": {"threads": 4, "versions": {"torch": "2.13"}},
        },
        "time": {
            "source": "calibrated",
            "basis": "a test",
            "terms": {"access.RAM": {"value": 1e-6, "unit": "s/access"}},
            "interval_90": None,
        },
    },
    "calibration": {"meter": "NVML", "error": {"median": 0.03}, "history": [1, None, "x"]},
    "warnings": ["A warning."],
    "notes": ["A note."],
}


def sound(**fields: Any) -> dict[str, Any]:
    """A sound record, with some fields of the outermost object replaced."""
    return {**copy.deepcopy(SOUND), **fields}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """A sound record with one value replaced, or removed when ``to`` is MISSING."""
    record = sound()
    inner: Any = record
    for key in path[:-1]:
        inner = inner[key]
    if to is MISSING:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return record


def write(folder: Path, record: dict[str, Any]) -> Path:
    """Write a record to the file that its name asks for."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record['name']}.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    return path
