"""Records within `/1`: fields may be added, and readers ignore those that they do not know."""

from __future__ import annotations

import json
from contextlib import closing
from importlib.resources import files

import pytest
from profile_records import sound

from sizer.base.records import rebuild
from sizer.calibration.measurements import Case, Timing, create, read_measurements
from sizer.method.hardware import Device, Machine
from sizer.profiles.reading import build_profile
from sizer.profiles.rules import check_profile

SCHEMAS = sorted(path.name for path in files("sizer.schemas").iterdir() if path.name.endswith(".json"))
#: Tables whose keys are a vocabulary: a term that a reader does not know would be missing from its predictions.
VOCABULARIES = {"profile-1.json": 5}


def closed_objects(schema) -> int:
    if isinstance(schema, list):
        return sum(map(closed_objects, schema))
    if not isinstance(schema, dict):
        return 0
    shut = schema.get("additionalProperties") is False or schema.get("unevaluatedProperties") is False
    return shut + sum(map(closed_objects, schema.values()))


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_allow_fields_that_they_do_not_know(name):
    schema = json.loads(files("sizer.schemas").joinpath(name).read_text(encoding="utf-8"))
    assert closed_objects(schema) == VOCABULARIES.get(name, 0)


def test_a_machine_in_the_cache_is_read_without_what_is_unknown(small_cpu: Device):
    machine = Machine((small_cpu,), (), "0123456789abcdef")
    record = machine.to_dict()
    for part in (record["devices"][0], *record["devices"][0]["levels"]):
        part["later"] = 1
    assert rebuild(Machine, record | {"later": 1}) == machine


def test_a_profile_is_read_without_what_is_unknown():
    record = sound()
    later = sound()
    for part in (later, later["match"], later["units"], later["levels"][0], later["sources"]["sheet"]):
        part["from_a_later_release"] = {"value": 1}
    later["levels"][1]["bandwidth_bytes_per_s"]["later"] = 1
    later["power_w"]["limit"]["later"] = 1
    later["coefficients"]["energy"]["terms"]["pass"]["later"] = 1
    check_profile(later)
    assert build_profile(later, "test") == build_profile(record, "test")


def test_a_measurement_is_read_without_what_is_unknown(tmp_path):
    path = tmp_path / "cpu.jsonl"
    timing = Timing(0, 0, 1e-3, 10, None, None)
    with closing(create(path, {}, (Case("rectangle", 2, (4, 1), 32),))) as log:
        log.append(timing._asdict())
    lines = [json.dumps(json.loads(line) | {"later": [1]}) + "\n" for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join([*lines, json.dumps({"end": True, "later": 1}) + "\n"]), encoding="utf-8")
    found = read_measurements(path)
    assert found.timings == (timing,)
    assert found.finished
