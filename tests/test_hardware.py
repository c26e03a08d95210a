"""Machines as records: which of a device's levels sizes are made for, and the record of a machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study import GIB, KIB, MIB

from sizer.method.hardware import (
    SIZED_L1,
    Device,
    Level,
    Machine,
    device_from_dict,
    device_to_dict,
    is_detected,
)

GPU = Device(
    "cuda:0",
    "cuda",
    "a GPU",
    132,
    (Level("L1", 256 * KIB, 132), Level("L2", 50 * MIB, 1), Level("RAM", 80 * GIB, 1)),
    facts={"sockets": {"value": 1, "source": "test"}},
)


def names(levels: tuple[Level, ...]) -> list[str]:
    return [level.name for level in levels]


def test_sizing_relies_on_the_effective_capacity_where_it_is_known():
    assert Level("L3", 260 * MIB, 1).sizing_bytes == 260 * MIB
    assert Level("L3", 260 * MIB, 1, effective_bytes=17 * MIB).sizing_bytes == 17 * MIB
    assert Level("L3", None, 1, effective_bytes=17 * MIB).sizing_bytes == 17 * MIB
    assert Level("L3", None, 1).sizing_bytes is None


def test_a_level_of_unknown_capacity_is_not_sized_for(small_cpu):
    L1, L2, *rest = small_cpu.levels
    assert names(replace(small_cpu, levels=(L1, replace(L2, capacity_bytes=None), *rest)).known_levels()) == [
        *("L1", "L3", "RAM")
    ]


def test_of_several_kinds_of_a_level_the_first_of_known_capacity_counts(small_cpu):
    L1, *rest = small_cpu.levels
    unknown, small = replace(L1, capacity_bytes=None), replace(L1, capacity_bytes=16 * KIB)
    assert replace(small_cpu, levels=(unknown, L1, small, *rest)).known_levels() == small_cpu.levels


def test_a_gpus_l1_holds_no_working_set_but_in_the_studys_model(small_cpu):
    assert names(GPU.known_levels()) == ["L1", "L2", "RAM"]
    assert names(GPU.sizing_levels()) == ["L2", "RAM"]
    assert names(GPU.caches()) == ["L2"]
    as_the_study = replace(GPU, facts={SIZED_L1: {"value": True, "source": "test"}})
    assert names(as_the_study.sizing_levels()) == ["L1", "L2", "RAM"]
    assert names(small_cpu.sizing_levels()) == ["L1", "L2", "L3", "RAM"]
    assert names(small_cpu.caches()) == ["L1", "L2", "L3"]


def test_a_warning_is_added_to_those_there_are():
    assert GPU.with_warning("first").with_warning("second") == replace(GPU, warnings=("first", "second"))


def test_a_machine_finds_its_devices_and_says_them_in_short(small_cpu):
    machine = Machine((small_cpu, replace(GPU, name=None, warnings=("hot",))), ("of no device",))
    assert machine.in_short() == "a small CPU (cpu), name unknown (cuda:0)"
    assert machine.device("cuda:0") is machine.devices[1]
    assert machine.device("cuda:1") is None
    assert machine.remarks() == ("cuda:0: hot", "of no device")


def test_the_record_of_a_machine(small_cpu):
    machine = Machine((small_cpu, GPU), ("a warning",), "0123456789abcdef")
    record = machine.to_dict()
    assert {name: value for name, value in record.items() if name != "devices"} == {
        "format": "sizer.machine/1",
        "warnings": ["a warning"],
        "fingerprint": "0123456789abcdef",
    }
    assert [device_from_dict(device) for device in record["devices"]] == list(machine.devices)
    assert len(machine.rows()) == 7
    assert machine.rows()[4] == {
        "device": "cuda:0",
        "device_name": "a GPU",
        "name": "L1",
        "capacity_bytes": 256 * KIB,
        "instances": 132,
        "cpus_per_instance": None,
        "line_bytes": None,
        "source": "unknown",
        "effective_bytes": None,
        "core_kind": None,
    }


def test_the_kind_of_core_is_written_where_levels_differ(small_cpu):
    L1, *rest = small_cpu.levels
    hybrid = replace(small_cpu, levels=(replace(L1, core_kind="P"), replace(L1, core_kind="E"), *rest))
    record = device_to_dict(hybrid)
    assert [level.get("core_kind", "none") for level in record["levels"]] == ["P", "E", "none", "none", "none"]
    assert device_from_dict(record) == hybrid


@pytest.mark.parametrize(
    ("name", "detected"), [("cpu", True), ("cuda:0", True), ("mps:0", True), ("nvidia-h200", False), ("cpu2", False)]
)
def test_a_device_of_this_machine_is_told_from_a_profiles(name, detected):
    assert is_detected(replace(GPU, id=name)) is detected
