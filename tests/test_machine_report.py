"""A machine in the terminal."""

from __future__ import annotations

import io

import pytest
from fake_gpus import FakeNvml, Gpu
from machines import build, hybrid, server
from rich.console import Console

from sizer.detection.captured_tree import Tree
from sizer.detection.cgroups import Limits
from sizer.detection.detect import detect
from sizer.detection.gpu_device import build_device
from sizer.detection.linux import read_cpu
from sizer.detection.nvml import read_nvml
from sizer.detection.procfs import Process
from sizer.method.hardware import RAM, Device, Level, Machine
from sizer.report.terminal import drawn, remarks, report


def rendered(machine, width, parts=report):
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, highlight=False)
    for renderable in drawn(parts(machine), console):
        console.print(renderable)
    return stream.getvalue()


def lines(text):
    return [line.rstrip() for line in text.splitlines()]


def test_at_80_columns_each_level_is_a_row(tmp_path):
    assert lines(rendered(detect(server(tmp_path)), 80)) == [
        "Test CPU (cpu)",
        "4 cores in use, 8 logical CPUs, 1 socket",
        "level  one instance  instances  CPUs each  line  source",
        "L1           48 KiB          4          2  64 B  sysfs cpu0/cache/index0",
        "L2            2 MiB          4          2  64 B  sysfs cpu0/cache/index2",
        "L3           16 MiB          1          8  64 B  sysfs cpu0/cache/index3",
        "RAM          16 GiB          1                   /proc/meminfo MemTotal",
    ]


def test_at_40_columns_levels_are_listed_one_below_the_other(tmp_path):
    text = rendered(detect(server(tmp_path)), 40)
    assert max(map(len, lines(text))) <= 40
    assert lines(text) == [
        "Test CPU (cpu)",
        "4 cores in use, 8 logical CPUs, 1 socket",
        "L1  48 KiB x 4",
        "    2 CPUs each, lines of 64 bytes",
        "    sysfs cpu0/cache/index0",
        "L2  2 MiB x 4",
        "    2 CPUs each, lines of 64 bytes",
        "    sysfs cpu0/cache/index2",
        "L3  16 MiB x 1",
        "    8 CPUs each, lines of 64 bytes",
        "    sysfs cpu0/cache/index3",
        "RAM  16 GiB",
        "    /proc/meminfo MemTotal",
    ]


@pytest.mark.parametrize("width", [20, 40, 76, 80, 200])
def test_nothing_is_cut_at_any_width(tmp_path, width):
    machine = detect(hybrid(tmp_path))
    text = "".join(rendered(machine, width).split())
    for level in machine.devices[0].levels:
        assert "".join(level.source.replace("/sys/devices/system/cpu/", "sysfs").split()) in text or width >= 76
    assert "…" not in text
    for word in ("1.25MiB", "12MiB", "cpu_core", "cpu_atom"):
        assert word in text


def test_unknown_is_written_out(tmp_path):
    machine = Machine((Device("cpu", "cpu", None, None, (Level("L1", None, None), Level(RAM, None, 1))),))
    text = rendered(machine, 80)
    assert "name unknown (cpu)" in text
    assert "number of cores in use unknown" in text
    assert "L1          unknown" in text
    assert " 0 B" not in text


def test_effective_capacities_have_a_column_where_there_are_any():
    levels = (Level("L3", 260 << 20, 1, 2, effective_bytes=17 << 20), Level(RAM, 1 << 30, 1))
    machine = Machine((Device("cpu", "cpu", "CPU", 2, levels),))
    assert "17 MiB" in rendered(machine, 80)
    assert "L3  260 MiB (17 MiB effective) x 1" in rendered(machine, 40)


def test_limits_are_shown(tmp_path):
    cpu = read_cpu(Tree(server(tmp_path)), Process(0b11, Limits(quota_cpus=1.5, quota_source="q")))
    summary = lines(rendered(Machine((cpu,)), 120))[1]
    assert summary == "2 cores in use, 2 of 8 logical CPUs, quota of 1.5 CPUs, 1 socket"


def test_a_gpu_shows_its_facts(tmp_path):
    gpu = build_device(0, None, read_nvml(lambda: FakeNvml(Gpu()))[0], None)
    text = rendered(Machine((detect(server(tmp_path)).devices[0], gpu)), 80)
    assert "NVIDIA A100-SXM4-80GB (cuda:0)" in text
    assert "compute capability 8.0, power limit 400 W" in text
    assert "\n\n" in text


def test_warnings_are_paragraphs_with_their_device(tmp_path):
    machine = Machine(detect(build(tmp_path, [0, 1])).devices, ("of no device",))
    text = rendered(machine, 60, remarks)
    assert lines(text)[0].startswith(" !  cpu: sysfs describes no caches")
    assert lines(text)[1].startswith("    ")
    assert lines(text)[-1] == " !  of no device"


def test_a_machine_shows_itself_with_its_warnings(tmp_path):
    stream = io.StringIO()
    Console(file=stream, width=80).print(detect(build(tmp_path, [0, 1])))
    assert "Test CPU (cpu)" in stream.getvalue()
    assert " !  cpu: sysfs describes no caches" in stream.getvalue()


def test_markup_in_a_name_is_text():
    machine = Machine((Device("cpu", "cpu", "CPU [red]x[/red]", 1, (Level(RAM, 1 << 30, 1, source="[bold]y"),)),))
    assert "CPU [red]x[/red] (cpu)" in rendered(machine, 80)
    assert "[bold]y" in rendered(machine, 80)


def test_a_machine_is_a_table(tmp_path):
    rows = detect(server(tmp_path)).rows()
    assert [(row["device"], row["name"], row["capacity_bytes"]) for row in rows][:1] == [("cpu", "L1", 48 << 10)]
    assert len(rows) == 4
