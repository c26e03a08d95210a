"""The captured machines of hwloc and util-linux, where they are at hand (they are test data of another licence)."""

from __future__ import annotations

import json
import tarfile
import time
from pathlib import Path

import pytest

from sizer.detection.detect import detect

CAPTURES = Path(__file__).resolve().parents[2] / "shared" / "captures"
EXPECTED = json.loads((CAPTURES / "expected.json").read_text()) if CAPTURES.is_dir() else {}

pytestmark = pytest.mark.skipif(not EXPECTED, reason="the captured machines are not here")


def unpack(name, target):
    """Unpack a capture and return its folder."""
    (archive,) = [file for file in CAPTURES.iterdir() if file.name.startswith(f"{name}.tar.")]
    with tarfile.open(archive) as tar:
        tar.extractall(target, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))  # noqa: S202
    (folder,) = target.iterdir()
    return folder


def caches(machine):
    return sorted(
        (int(level.name[1:]), level.capacity_bytes or 0, level.cpus_per_instance, level.instances)
        for level in machine.devices[0].levels
        if level.name != "RAM"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_capture_equals_what_hwloc_reads_in_no_time(tmp_path, name):
    expected, folder = EXPECTED[name], unpack(name, tmp_path)
    machine = detect(folder)
    wanted = sorted(
        (row["level"], row["capacity_bytes"], row["cpus_per_instance"], row["instances"]) for row in expected["caches"]
    )
    (cpu,) = machine.devices
    if "conflict" in name:
        assert any("conflicting L3 sharing maps" in warning for warning in cpu.warnings)
        assert caches(machine)[:2] == wanted[:2]
    else:
        assert caches(machine) == wanted
    assert cpu.facts["logical_cpus"]["value"] == expected["pus"]
    assert any("no caches" in warning for warning in cpu.warnings) is not expected["sysfs_cache"]
    assert (cpu.id, cpu.kind, cpu.levels[-1].name, cpu.levels[-1].instances) == ("cpu", "cpu", "RAM", 1)
    assert min(_cpu_time_s(folder) for _ in range(3)) < 0.2


def _cpu_time_s(folder):
    """Processor time, which other processes on the machine of the tests do not lengthen."""
    start = time.process_time()
    detect(folder)
    return time.process_time() - start
