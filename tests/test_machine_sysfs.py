"""Caches from sysfs: sharing maps, sizes, hybrids, damage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import CPU, Shared, build, cache_index, hybrid, private, runs, server, write

from sizer.detection import cgroups
from sizer.detection.captured_tree import Tree
from sizer.detection.linux import read_cpu
from sizer.detection.sysfs_caches import parse_size

KIB, MIB = 2**10, 2**20


def levels(root):
    """Name, capacity, instances, CPUs of each, of the caches."""
    return [
        (level.name, level.capacity_bytes, level.instances, level.cpus_per_instance)
        for level in read_cpu(Tree(root)).levels
        if level.name != "RAM"
    ]


SERVER = [("L1", 48 * KIB, 4, 2), ("L2", 2 * MIB, 4, 2), ("L3", 16 * MIB, 1, 8)]


def test_each_instance_counts_once_and_instruction_caches_not_at_all(tmp_path):
    assert levels(server(tmp_path)) == SERVER


@pytest.mark.parametrize("sharing", [("map",), ("list",), ("map", "list")])
def test_a_sharing_map_or_a_list_is_enough(tmp_path, sharing):
    assert levels(server(tmp_path, sharing=sharing)) == SERVER


def test_the_map_is_believed_where_the_list_differs(tmp_path):
    server(tmp_path)
    for cpu in range(8):
        write(tmp_path, f"{CPU}/cpu{cpu}/cache/index3/shared_cpu_list", "0,4")
    assert levels(tmp_path) == SERVER


def test_without_map_and_list_the_count_is_not_known_rather_than_guessed(tmp_path):
    server(tmp_path, sharing=())
    assert levels(tmp_path)[0] == ("L1", 48 * KIB, None, None)
    assert any("does not say which CPUs share it" in warning for warning in read_cpu(Tree(tmp_path)).warnings)


def test_line_size_and_source_are_kept(tmp_path):
    first = read_cpu(Tree(server(tmp_path))).levels[0]
    assert (first.line_bytes, first.source) == (64, "/sys/devices/system/cpu/cpu0/cache/index0")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("48K", 48 * KIB),
        ("2M", 2 * MIB),
        ("1G", 2**30),
        ("512", 512),
        ("260 MiB", 260 * MIB),
        ("0K", None),
        ("0", None),
        ("-4K", None),
        ("48Q", None),
        ("K", None),
        ("", None),
        ("٤٨K", None),
        ("9" * 400, None),
        (None, None),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["0K", "what?", "\x00\xff\x01"])
def test_a_size_that_is_not_told_is_null_with_a_warning(tmp_path, text):
    server(tmp_path)
    for cpu in range(8):
        write(tmp_path, f"{CPU}/cpu{cpu}/cache/index2/size", text)
    cpu = read_cpu(Tree(tmp_path))
    assert [level.capacity_bytes for level in cpu.levels if level.name == "L2"] == [None]
    assert any("the capacity of that L2 is unknown" in warning for warning in cpu.warnings)
    assert [level.name for level in cpu.sizing_levels()] == ["L1", "L3", "RAM"]


def test_a_missing_online_list_leaves_the_cpus_that_do_not_say_they_are_off(tmp_path):
    server(tmp_path, online=None)
    write(tmp_path, f"{CPU}/cpu7/online", "0")
    cpu = read_cpu(Tree(tmp_path))
    assert cpu.facts["logical_cpus"]["value"] == 7
    assert levels(tmp_path) == [
        ("L1", 48 * KIB, 3, 2),
        ("L1", 48 * KIB, 1, 1),
        ("L2", 2 * MIB, 3, 2),
        ("L2", 2 * MIB, 1, 1),
        ("L3", 16 * MIB, 1, 7),
    ]


def test_offline_cpus_with_a_cache_folder_are_not_counted(tmp_path):
    assert levels(server(tmp_path, online="0-2,4-6")) == [
        ("L1", 48 * KIB, 3, 2),
        ("L2", 2 * MIB, 3, 2),
        ("L3", 16 * MIB, 1, 6),
    ]


def test_junk_in_the_online_list_falls_back_to_the_folders(tmp_path):
    assert levels(server(tmp_path, online="all of them")) == SERVER


def test_kinds_of_hybrid_cores_are_ordered_alike_on_every_level(tmp_path):
    cpu = read_cpu(Tree(hybrid(tmp_path)))
    assert [(level.name, level.core_kind, level.capacity_bytes, level.instances) for level in cpu.levels[:-1]] == [
        ("L1", "cpu_core", 48 * KIB, 2),
        ("L1", "cpu_atom", 32 * KIB, 4),
        # The efficiency cluster's L2 is the larger instance, but sizing follows one core through the levels.
        ("L2", "cpu_core", 1280 * KIB, 2),
        ("L2", "cpu_atom", 2048 * KIB, 1),
        ("L3", None, 12 * MIB, 1),
    ]
    assert [level.capacity_bytes for level in cpu.sizing_levels()[:3]] == [48 * KIB, 1280 * KIB, 12 * MIB]
    assert cpu.facts["core_kinds"]["value"] == [
        {"name": "cpu_core", "cpus": "0-3"},
        {"name": "cpu_atom", "cpus": "4-7"},
    ]


def test_arm_kinds_are_named_by_part_number_and_ranked_by_capacity(tmp_path):
    small, big = [0, 1, 2, 3], [4, 5]
    build(tmp_path, small + big, [Shared(2, "Unified", None, [[0, 1], [2, 3], [4], [5]])], model=None)
    blocks = [
        f"processor\t: {cpu}\nCPU implementer\t: 0x41\nCPU part\t: {'0xd46' if cpu in small else '0xd4e'}\n"
        for cpu in small + big
    ]
    write(tmp_path, "proc/cpuinfo", "\n".join(blocks))
    for cpu in small + big:
        write(tmp_path, f"{CPU}/cpu{cpu}/cpu_capacity", "280" if cpu in small else "1024")
    cpu = read_cpu(Tree(tmp_path))
    kinds = [(level.core_kind, level.instances) for level in cpu.levels if level.name == "L2"]
    assert kinds == [("Cortex-X3", 2), ("Cortex-A510", 2)]
    assert cpu.name == "Cortex-A510 + Cortex-X3"


def test_an_unknown_arm_part_shows_its_numbers(tmp_path):
    build(tmp_path, [0], model=None)
    write(tmp_path, "proc/cpuinfo", "processor : 0\nCPU implementer : 0x41\nCPU part : 0xfff")
    assert read_cpu(Tree(tmp_path)).name == "ARM part 0x41:0xfff"


def test_stacked_cache_on_one_of_two_dies_comes_first(tmp_path):
    cpus = list(range(16))
    small, large = cpus[:8], cpus[8:]
    caches = [
        Shared(1, "Data", "32K", private(cpus)),
        Shared(3, "Unified", "32M", [small]),
        Shared(3, "Unified", "96M", [large]),
    ]
    build(tmp_path, cpus, caches)
    for cpu in small:
        write(tmp_path, f"{CPU}/cpu{cpu}/cpufreq/cpuinfo_max_freq", "5700000")
    cpu = read_cpu(Tree(tmp_path))
    assert [(level.capacity_bytes, level.core_kind) for level in cpu.levels if level.name == "L3"] == [
        (96 * MIB, "CPUs 8-15"),
        (32 * MIB, "CPUs 0-7"),
    ]


def test_cpu_types_name_kinds_too(tmp_path):
    hybrid(tmp_path)
    for name in ("cpu_core", "cpu_atom"):
        (tmp_path / f"sys/devices/{name}/cpus").unlink()
    write(tmp_path, f"{CPU}/types/big/cpumap", "0x0000000f")
    write(tmp_path, f"{CPU}/types/little/cpulist", "4-7")
    cpu = read_cpu(Tree(tmp_path))
    assert [level.core_kind for level in cpu.levels if level.name == "L1"] == ["big", "little"]


def test_conflicting_maps_are_settled_by_the_majority_and_named(tmp_path):
    cpus = list(range(8))
    build(tmp_path, cpus, [Shared(3, "Unified", "8M", runs(cpus, 4))])
    write(tmp_path, f"{CPU}/cpu2/cache/index0/shared_cpu_map", "0000003c")
    write(tmp_path, f"{CPU}/cpu2/cache/index0/shared_cpu_list", "2-5")
    cpu = read_cpu(Tree(tmp_path))
    assert levels(tmp_path) == [("L3", 8 * MIB, 2, 4)]
    (warning,) = cpu.warnings
    assert "conflicting L3 sharing maps" in warning
    assert "2-5 (says CPU 2)" in warning


def test_a_cpu_that_its_own_map_leaves_out_is_added(tmp_path):
    build(tmp_path, [0, 1], [Shared(1, "Data", "32K", private([0, 1]))])
    write(tmp_path, f"{CPU}/cpu1/cache/index0/shared_cpu_map", "00000000")
    write(tmp_path, f"{CPU}/cpu1/cache/index0/shared_cpu_list", "")
    assert levels(tmp_path) == [("L1", 32 * KIB, 2, 1)]
    assert any("its own CPU" in warning for warning in read_cpu(Tree(tmp_path)).warnings)


def test_a_cache_that_is_given_under_two_indices_counts_once(tmp_path):
    twice = [Shared(1, "Data", "32K", private([0, 1])), Shared(1, "Data", "32K", private([0, 1]))]
    assert levels(build(tmp_path, [0, 1], twice)) == [("L1", 32 * KIB, 2, 1)]
    assert read_cpu(Tree(tmp_path)).warnings == ()


def test_two_data_caches_of_one_level_are_both_listed_the_larger_first(tmp_path):
    both = [Shared(1, "Data", "48K", private([0, 1])), Shared(1, "Data", "192K", private([0, 1]))]
    build(tmp_path, [0, 1], both)
    assert levels(tmp_path) == [("L1", 192 * KIB, 2, 1), ("L1", 48 * KIB, 2, 1)]
    assert any("2 data or unified caches of level 1" in warning for warning in read_cpu(Tree(tmp_path)).warnings)


def test_unusual_levels_keep_their_number(tmp_path):
    caches = [Shared(0, "Unified", "4K", [[0]]), Shared(1, "Unified", "16K", [[0]]), Shared(4, "Unified", "1G", [[0]])]
    assert [row[0] for row in levels(build(tmp_path, [0], caches))] == ["L0", "L1", "L4"]


@pytest.mark.parametrize(("file", "text"), [("type", "Trace"), ("type", ""), ("level", "one"), ("level", "77")])
def test_an_index_without_type_or_level_is_left_out_with_a_warning(tmp_path, file, text):
    server(tmp_path)
    for cpu in range(8):
        write(tmp_path, f"{CPU}/cpu{cpu}/cache/index0/{file}", text)
    assert levels(tmp_path) == SERVER[1:]
    (warning,) = read_cpu(Tree(tmp_path)).warnings
    assert "(and 7 more like it) has no readable type and level" in warning


def test_cpus_without_a_description_are_named(tmp_path):
    server(tmp_path)
    build(tmp_path, [8, 9], online="0-9", model=None, memory_kib=None)
    assert any("describes no caches for CPUs 8-9" in warning for warning in read_cpu(Tree(tmp_path)).warnings)


def test_no_description_at_all_says_what_to_do_and_invents_nothing(tmp_path):
    cpu = read_cpu(Tree(build(tmp_path, [0, 1])))
    assert [level.name for level in cpu.levels] == ["RAM"]
    (warning,) = cpu.warnings
    assert "sysfs describes no caches" in warning
    assert "sizer calibrate" in warning


def test_an_index_folder_can_be_a_file(tmp_path):
    build(tmp_path, [0], [Shared(1, "Data", "32K", [[0]])])
    write(tmp_path, f"{CPU}/cpu0/cache/index1", "not a folder")
    cache_index(tmp_path, 0, 2, Shared(2, "Unified", "1M", [[0]]), [0])
    assert [row[0] for row in levels(tmp_path)] == ["L1", "L2"]


@given(st.sets(st.integers(0, 500)))
def test_cpu_sets_survive_both_textual_forms(cpus):
    mask = cgroups.from_cpus(cpus)
    assert cgroups.parse_list(cgroups.to_list(mask)) == mask
    digits = f"{mask:0136x}"
    words = [digits[start : start + 8] for start in range(0, len(digits), 8)]
    assert cgroups.parse_map(",".join(words)) == mask
    assert set(cgroups.members(mask)) == cpus


@pytest.mark.parametrize("text", ["0-", "a", "3-1", "-1", "1-99999999", "0x3", "1 2", "٣"])
def test_what_is_no_list_is_no_set(text):
    assert cgroups.parse_list(text) is None


@pytest.mark.parametrize("text", ["", "xyz", "1,123456789", "0x", "f,", "١"])
def test_what_is_no_map_is_no_set(text):
    assert cgroups.parse_map(text) is None


@given(st.text(max_size=40))
def test_no_text_breaks_the_parsers(text):
    for parse in (cgroups.parse_list, cgroups.parse_map, parse_size):
        parse(text)
