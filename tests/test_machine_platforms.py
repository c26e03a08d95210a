"""Mac, Windows, other platforms, and py-cpuinfo."""

from __future__ import annotations

import struct

import pytest
from machines import build

from sizer.detection import macos
from sizer.detection.captured_tree import Tree
from sizer.detection.fallbacks import add_caches, cache_levels, read_other_cpu
from sizer.detection.linux import read_cpu
from sizer.detection.macos import parse_sysctl
from sizer.detection.windows import cpu_device, parse_records
from sizer.method.hardware import RAM

KIB, MIB, GIB = 2**10, 2**20, 2**30

M3_ULTRA = """\
hw.memsize: 103079215104
hw.ncpu: 28
hw.physicalcpu: 28
hw.logicalcpu: 28
hw.packages: 1
hw.cachelinesize: 128
hw.l1dcachesize: 65536
hw.l2cachesize: 4194304
hw.nperflevels: 2
hw.perflevel0.physicalcpu: 20
hw.perflevel0.logicalcpu: 20
hw.perflevel0.l1icachesize: 196608
hw.perflevel0.l1dcachesize: 131072
hw.perflevel0.l2cachesize: 16777216
hw.perflevel0.cpusperl2: 5
hw.perflevel0.name: Performance
hw.perflevel1.physicalcpu: 8
hw.perflevel1.logicalcpu: 8
hw.perflevel1.l1dcachesize: 65536
hw.perflevel1.l2cachesize: 4194304
hw.perflevel1.cpusperl2: 4
hw.perflevel1.name: Efficiency
machdep.cpu.brand_string: Apple M3 Ultra
"""

INTEL_MAC = """\
hw.memsize: 17179869184
hw.physicalcpu: 4
hw.logicalcpu: 8
hw.packages: 1
hw.cachelinesize: 64
hw.l1dcachesize: 32768
hw.l2cachesize: 262144
hw.l3cachesize: 6291456
hw.cacheconfig: 8 2 2 8 0 0 0 0 0 0
machdep.cpu.brand_string: Intel(R) Core(TM) i7-7700HQ CPU @ 2.80GHz
"""


def rows(cpu):
    return [
        (level.name, level.core_kind, level.capacity_bytes, level.instances, level.cpus_per_instance)
        for level in cpu.levels
    ]


def test_apple_silicon_has_an_entry_for_each_performance_level():
    cpu = parse_sysctl(M3_ULTRA)
    assert rows(cpu) == [
        ("L1", "Performance", 128 * KIB, 20, 1),
        ("L1", "Efficiency", 64 * KIB, 8, 1),
        ("L2", "Performance", 16 * MIB, 4, 5),
        ("L2", "Efficiency", 4 * MIB, 2, 4),
        (RAM, None, 96 * GIB, 1, None),
    ]
    assert (cpu.name, cpu.units, cpu.levels[0].line_bytes) == ("Apple M3 Ultra", 28, 128)
    assert cpu.levels[0].source == "sysctl hw.perflevel0.l1dcachesize"


def test_an_intel_mac_counts_sharers_from_the_cache_configuration():
    cpu = parse_sysctl(INTEL_MAC)
    assert rows(cpu) == [
        ("L1", None, 32 * KIB, 4, 2),
        ("L2", None, 256 * KIB, 4, 2),
        ("L3", None, 6 * MIB, 1, 8),
        (RAM, None, 16 * GIB, 1, None),
    ]
    assert (cpu.units, cpu.facts["threads_per_core"]["value"]) == (4, 2)


def test_sharers_that_macos_does_not_tell_are_not_guessed():
    text = "\n".join(line for line in INTEL_MAC.splitlines() if "cacheconfig" not in line)
    assert rows(parse_sysctl(text))[2] == ("L3", None, 6 * MIB, None, None)


@pytest.mark.parametrize("text", ["", "hw.ncpu: many", "hw.nperflevels: 2\nhw.perflevel0.l1dcachesize: 0"])
def test_a_mac_that_says_little_has_warnings(text):
    cpu = parse_sysctl(text)
    assert [level.name for level in cpu.levels] == [RAM]
    assert cpu.levels[0].capacity_bytes is None
    assert len(cpu.warnings) == 2


def test_a_missing_sysctl_is_no_crash(monkeypatch):
    monkeypatch.setattr(macos, "_COMMAND", ("/nonexistent/sysctl",))
    assert macos.read_macos_cpu().levels[-1].name == RAM


# Windows


def record(relationship, body):
    return struct.pack("<II", relationship, 8 + len(body)) + body


def affinity(*cpus, group=0):
    return struct.pack("<QH6x", sum(1 << cpu for cpu in cpus), group)


def cache(level, size, kind, *masks, line=64, count=None):
    head = struct.pack("<BBHII18xH", level, 8, line, size, kind, len(masks) if count is None else count)
    return record(2, head + b"".join(masks))


def core(efficiency, mask):
    return record(0, struct.pack("<BB20xH", 1, efficiency, 1) + mask)


WINDOWS = b"".join(
    [
        core(1, affinity(0, 1)),
        core(1, affinity(2, 3)),
        core(0, affinity(4)),
        core(0, affinity(5)),
        cache(1, 48 * KIB, 2, affinity(0, 1)),
        cache(1, 32 * KIB, 1, affinity(0, 1)),  # instructions
        cache(1, 48 * KIB, 2, affinity(2, 3)),
        cache(1, 32 * KIB, 2, affinity(4)),
        cache(1, 32 * KIB, 2, affinity(5)),
        cache(3, 12 * MIB, 0, affinity(0, 1, 2, 3, 4, 5), count=0),  # as Windows 10 leaves it
        record(3, b"\0" * 40),
        record(99, b"\0" * 40),
    ]
)


def test_windows_records():
    cpu = cpu_device(parse_records(WINDOWS), None, 16 * GIB, "Some CPU")
    assert rows(cpu) == [
        ("L1", "efficiency class 1", 48 * KIB, 2, 2),
        ("L1", "efficiency class 0", 32 * KIB, 2, 1),
        ("L3", None, 12 * MIB, 1, 6),
        (RAM, None, 16 * GIB, 1, None),
    ]
    assert (cpu.units, cpu.facts["sockets"]["value"], cpu.facts["logical_cpus"]["value"]) == (4, 1, 6)


def test_windows_affinity():
    cpu = cpu_device(parse_records(WINDOWS), 0b011, 16 * GIB, None)
    assert (cpu.units, [level.instances for level in cpu.levels]) == (1, [1, 1, 1])


def test_windows_processor_groups():
    buffer = core(0, affinity(0)) + core(0, affinity(0, group=1))
    buffer += cache(3, MIB, 0, affinity(0), affinity(0, group=1))
    cpu = cpu_device(parse_records(buffer), None, None, None)
    assert rows(cpu)[0] == ("L3", None, MIB, 1, 2)


@pytest.mark.parametrize("length", range(0, 200, 7))
def test_a_cut_buffer_is_no_crash(length):
    cpu_device(parse_records(WINDOWS[:length]), None, None, None)


def test_nothing_from_windows_is_a_warning():
    cpu = cpu_device(parse_records(b""), None, None, None)
    assert (cpu.units, len(cpu.warnings)) == (None, 1)


def test_other_platforms_count_logical_cpus():
    cpu = read_other_cpu()
    assert cpu.levels[-1].name == RAM
    assert any("no probe for this platform" in warning for warning in cpu.warnings)


# py-cpuinfo

LSCPU = {"l1_data_cache_size": 8 * 48 * KIB, "l2_cache_size": 8 * 2 * MIB, "l3_cache_size": 33 * MIB}


def test_sums_are_divided_back_to_one_instance():
    levels = cache_levels(LSCPU, cpus=16, threads=2, sockets=1, units=8)
    assert [(level.name, level.capacity_bytes, level.instances, level.cpus_per_instance) for level in levels] == [
        ("L1", 48 * KIB, 8, 2),
        ("L2", 2 * MIB, 8, 2),
        ("L3", 33 * MIB, 1, 16),
    ]
    assert "divided by 8 cores" in levels[0].source
    assert all(level.line_bytes is None for level in levels)


def test_what_is_no_sum_is_not_divided():
    old_lscpu = {"l1_data_cache_size": 32 * KIB, "l2_cache_size": 256 * KIB}
    assert [level.capacity_bytes for level in cache_levels(old_lscpu, 8, 1, 1, 8)] == [32 * KIB, 256 * KIB]
    cpuid_alone = {"l2_cache_size": 2 * MIB}
    assert [level.capacity_bytes for level in cache_levels(cpuid_alone, 8, 1, 1, 8)] == [2 * MIB]


def test_a_last_level_that_is_l2_is_not_listed_as_l3():
    levels = cache_levels({"l2_cache_size": "512 KB", "l3_cache_size": 512 * KIB}, 1, 1, 1, 1)
    assert [level.name for level in levels] == ["L2"]


@pytest.mark.parametrize("info", [{}, {"l1_data_cache_size": None}, {"l2_cache_size": 0, "l3_cache_size": "junk"}])
def test_nothing_known_is_no_level(info):
    assert cache_levels(info, None, None, None, None) == ()


def test_the_fallback_says_what_it_is(tmp_path):
    bare = read_cpu(Tree(build(tmp_path, [0, 1, 2, 3])))
    info = {"l1_data_cache_size": 4 * 32 * KIB, "l2_cache_size": 4 * MIB, "brand_raw": "Ignored"}
    cpu = add_caches(bare, lambda: info)
    assert [(level.name, level.capacity_bytes) for level in cpu.levels] == [
        ("L1", 32 * KIB),
        ("L2", MIB),
        (RAM, 16 * GIB),
    ]
    assert cpu.name == "Test CPU"
    assert any("estimates" in warning and "sizer calibrate" in warning for warning in cpu.warnings)


def test_a_fallback_that_fails_or_knows_nothing_is_a_warning(tmp_path):
    bare = read_cpu(Tree(build(tmp_path, [0])))

    def fails():
        raise Exception("py-cpuinfo currently only works on X86")  # noqa: TRY002 (as it does)

    assert any("only works on X86" in warning for warning in add_caches(bare, fails).warnings)
    assert any("names no caches either" in warning for warning in add_caches(bare, dict).warnings)
