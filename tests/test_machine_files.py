"""The kernel's files about a machine, a few lines each: control groups, processors, caches, good and odd ones."""

from __future__ import annotations

import pytest
from machines import CPU, Shared, build, private, write

from sizer.detection import cgroups
from sizer.detection.captured_tree import Tree
from sizer.detection.cgroups import Limits, read_limits
from sizer.detection.cpu_topology import read_topology
from sizer.detection.linux import read_cpu
from sizer.detection.procfs import read_cpuinfo
from sizer.detection.sysfs_caches import read_caches

GIB = 2**30
V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw"


def v1(name: str) -> str:
    return f"35 31 0:35 / /cg/{name} rw - cgroup cgroup rw,{name}"


def limits(root, groups: str, mounts: str, files: dict[str, str]) -> Limits:
    """What these control groups allow."""
    write(root, "proc/self/cgroup", groups)
    write(root, "proc/self/mountinfo", mounts)
    for path, text in files.items():
        write(root, path, text)
    return read_limits(Tree(root))


# Control groups


def test_every_limit_names_its_file(tmp_path):
    root = "/sys/fs/cgroup/a"
    files = {"cpuset.cpus.effective": "1-2", "cpu.max": "1 2", "memory.max": f"{GIB}"}
    found = limits(tmp_path, "0::/a", V2, {f"{root[1:]}/{name}": text for name, text in files.items()})
    sources = f"{root}/cpuset.cpus.effective", f"{root}/cpu.max", f"{root}/memory.max"
    assert found == Limits(0b110, sources[0], 0.5, sources[1], GIB, sources[2])
    assert found.concurrent_cpus == 1


@pytest.mark.parametrize("name", ["cpuset.effective_cpus", "effective_cpus", "cpuset.cpus", "cpus"])
def test_a_cpuset_of_version_1_has_four_names_of_which_the_effective_ones_come_first(tmp_path, name):
    found = limits(tmp_path, "1:cpuset:/", v1("cpuset"), {"cg/cpuset/cpus": "0,3", f"cg/cpuset/{name}": "0,3"})
    assert (found.cpus, found.cpus_source) == (0b1001, f"/cg/cpuset/{name}")


def test_mounts_that_are_no_control_groups_are_passed_over(tmp_path):
    others = "24 1 8:1 / / rw - ext4 /dev/vda rw\n25 1 0:5 / /x rw - ext4 cgroup2 rw\n26 1 0:6 / /y rw - cgroup2\njunk"
    found = limits(tmp_path, "0::/", f"{others}\n{V2}\n{others}", {"y/cpu.max": "5 10"})
    assert found == Limits()
    write(tmp_path, "sys/fs/cgroup/cpu.max", "300000 100000")
    assert read_limits(Tree(tmp_path)).quota_cpus == 3.0


def test_a_mount_without_optional_fields_or_with_a_dash_in_its_name_is_read(tmp_path):
    found = limits(tmp_path, "0::/", "31 23 0:28 / /c - cgroup2 a - b rw", {"c/memory.max": "4096"})
    assert (found.memory_bytes, found.memory_source) == (4096, "/c/memory.max")


def test_a_group_with_a_colon_in_its_name_is_itself(tmp_path):
    found = limits(tmp_path, "0::/a:b", V2, {"sys/fs/cgroup/a:b/memory.max": "8192", "sys/fs/cgroup/b/memory.max": "1"})
    assert found.memory_bytes == 8192


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [("1", "2", 0.5), ("2", "1", 2.0), ("0", "5", None), ("5", "0", None), ("-1", "5", None), ("5", "", None)],
)
def test_a_quota_is_a_share_of_its_period(tmp_path, quota, period, cpus):
    files = {
        "cg/cpu/cpu.cfs_quota_us": quota,
        "cg/cpu/cpu.cfs_period_us": period,
        "sys/fs/cgroup/cpu.max": f"{quota} {period}",
    }
    assert limits(tmp_path / "one", "1:cpu:/", v1("cpu"), files).quota_cpus == cpus
    assert limits(tmp_path / "two", "0::/", V2, files).quota_cpus == cpus


@pytest.mark.parametrize(
    ("text", "limit"),
    [("1", 1), ("0", None), ("-1", None), ("9223372036854771712", None), ("999999999999999999", 999999999999999999)],
)
def test_a_limit_of_more_digits_than_any_memory_is_none(tmp_path, text, limit):
    assert limits(tmp_path, "0::/", V2, {"sys/fs/cgroup/memory.max": text}).memory_bytes == limit


@pytest.mark.parametrize(
    ("cpus", "text"), [((), ""), ((5,), "5"), ((0, 1, 2, 7, 9, 10), "0-2,7,9-10"), ((1, 3), "1,3")]
)
def test_sets_are_written_as_the_kernel_does(cpus, text):
    assert cgroups.to_list(cgroups.from_cpus(cpus)) == text
    assert cgroups.parse_list(text) == cgroups.from_cpus(cpus)


# Processors


def cpuinfo(root, *blocks: dict[str, object], after: str = ""):
    text = "\n\n".join("\n".join(f"{name}\t: {value}" for name, value in block.items()) for block in blocks)
    write(root, "proc/cpuinfo", f"{text}\n\n{after}")
    return read_cpuinfo(Tree(root))


def test_cores_of_two_sockets_are_apart_though_they_have_the_same_numbers(tmp_path):
    found = cpuinfo(
        *(tmp_path,), *({"processor": cpu, "physical id": cpu // 4, "core id": cpu % 2} for cpu in range(8))
    )
    assert found.processors == tuple(range(8))
    assert found.cores(0b11111111) == (0b101, 0b1010, 0b1010000, 0b10100000)
    assert found.cores(0b1) == (0b1,)
    assert found.sockets() == 2


def test_a_processor_that_does_not_say_its_core_leaves_cores_unknown(tmp_path):
    found = cpuinfo(tmp_path, {"processor": 0, "core id": 0}, {"processor": 1})
    assert (found.cores(0b11), found.cores(0b1), found.sockets()) == ((), (0b1,), None)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"cpu implementer": "0x41", "cpu part": "0xd0c"}, "Neoverse-N1"),
        ({"cpu implementer": "0xee", "cpu part": "0x1"}, "ARM part 0xee:0x1"),
        ({"cpu implementer": "0x41"}, None),
        ({"cpu part": "0xd0c"}, None),
    ],
)
def test_an_arm_core_is_named_by_both_of_its_numbers(tmp_path, fields, name):
    found = cpuinfo(tmp_path, {"processor": 3} | fields)
    assert (found.arm_part(3), found.arm_part(4)) == (name, None)


@pytest.mark.parametrize(("vendor", "named"), [("vendor_id: ACME/Z\n", "ACME/Z"), ("", "IBM/S390")])
def test_a_mainframe_is_named_by_its_machine_type(tmp_path, vendor, named):
    line = "processor 0: version = FF, identification = 0133E8, machine = 8561"
    write(tmp_path, "proc/cpuinfo", f"{vendor}{line}")
    found = read_cpuinfo(Tree(tmp_path))
    assert (found.name(), found.processors) == (f"{named} machine type 8561", (0,))


def topology(root, *blocks: dict[str, object], **texts: str):
    """What is known of the CPUs; files beneath ``/sys/devices/system``."""
    for path, text in texts.items():
        write(root, f"sys/devices/system/{path}", text)
    return read_topology(Tree(root), cpuinfo(root, *blocks))


def test_processors_alone_tell_what_is_online_and_which_share_a_core(tmp_path):
    found = topology(tmp_path, *({"processor": cpu, "core id": cpu % 2} for cpu in range(4)))
    assert (found.online, found.online_source) == (0b1111, "/proc/cpuinfo")
    assert (found.cores, found.cores_source) == ((0b101, 0b1010), "/proc/cpuinfo core id")
    unknown = topology(tmp_path / "two", *({"processor": cpu} for cpu in range(2)))
    assert (unknown.cores, unknown.cores_source) == (
        (0b1, 0b10),
        "logical CPUs (nothing says which of them share a core)",
    )


def test_one_cpu_that_tells_its_siblings_is_enough_to_believe_the_folders(tmp_path):
    """CPUs 0 and 2 share a core, as the first of them says; the others say nothing."""
    folders = {f"cpu/cpu{cpu}/topology/core_id": "0" for cpu in range(4)}
    found = topology(tmp_path, **folders, **{"cpu/online": "0-3", "cpu/cpu0/topology/thread_siblings_list": "0,2"})
    assert (found.online, found.online_source) == (0b1111, "/sys/devices/system/cpu/online")
    assert (found.cores, found.cores_source) == ((0b101, 0b10, 0b1000), "/sys/devices/system/cpu/cpu*/topology")


def test_nodes_are_counted_by_map_or_list_where_they_hold_cpus(tmp_path):
    nodes = {
        "node0/cpumap": "3",
        "node1/cpulist": "2-3",
        "node2/cpumap": "0",
        "node2/cpulist": "0",
        "node3/cpulist": "9",
    }
    others = {"possible/cpulist": "0-3", "nodes/cpulist": "0-3"}
    texts = {f"node/{name}": text for name, text in {**nodes, **others}.items()}
    assert topology(tmp_path, **{"cpu/online": "0-3"}, **texts).numa_nodes == 2


# Caches


def caches(root, online: int = 0b11):
    found, warnings = read_caches(Tree(root), online)
    return [(one.level, one.cpus, one.capacity_bytes, one.line_bytes) for one in found], warnings


def test_instruction_caches_are_passed_over_under_whichever_index(tmp_path):
    """CPU 1 has its data cache where CPU 0 has its instruction cache."""
    build(tmp_path, [0, 1], [Shared(1, "Data", "32K", [[0]]), Shared(1, "Instruction", "64K", [[0]])])
    for name, text in (("type", "Data"), ("level", "1"), ("size", "48K"), ("shared_cpu_list", "1")):
        write(tmp_path, f"{CPU}/cpu1/cache/index1/{name}", text)
    found, warnings = caches(tmp_path)
    assert [row[:3] for row in found] == [(1, 0b01, 32 * 1024), (1, 0b10, 48 * 1024)]
    assert warnings == ()


@pytest.mark.parametrize(("line", "line_bytes"), [("64", 64), ("1", 1), ("0", None), ("-64", None), ("junk", None)])
def test_a_line_has_a_length_or_none_that_is_known(tmp_path, line, line_bytes):
    build(tmp_path, [0], [Shared(1, "Data", "32K", [[0]])])
    write(tmp_path, f"{CPU}/cpu0/cache/index0/coherency_line_size", line)
    assert caches(tmp_path, 0b1)[0] == [(1, 0b1, 32 * 1024, line_bytes)]


@pytest.mark.parametrize(("level", "is_read"), [("0", True), ("9", True), ("10", False), ("-1", False)])
def test_levels_have_one_digit(tmp_path, level, is_read):
    build(tmp_path, [0], [Shared(1, "Data", "32K", [[0]])])
    write(tmp_path, f"{CPU}/cpu0/cache/index0/level", level)
    found, warnings = caches(tmp_path, 0b1)
    assert (len(found), bool(warnings)) == (int(is_read), not is_read)


def test_cpus_that_share_a_cache_are_all_described_by_it(tmp_path):
    cpus = [0, 1, 2, 3]
    build(tmp_path, cpus, [Shared(1, "Data", "32K", private(cpus)), Shared(2, "Unified", "1M", [[0, 1], [2, 3]])])
    found, warnings = caches(tmp_path, 0b1111)
    assert [row[:2] for row in found] == [(1, 1), (1, 2), (1, 4), (1, 8), (2, 0b11), (2, 0b1100)]
    assert warnings == ()


def test_a_cpu_that_repeats_a_map_without_itself_is_said_to_be_left_out(tmp_path):
    build(tmp_path, [0, 1], [Shared(1, "Data", "32K", [[0]])])
    for name, text in (("type", "Data"), ("level", "1"), ("size", "32K"), ("shared_cpu_map", "1")):
        for cpu in (0, 1):
            write(tmp_path, f"{CPU}/cpu{cpu}/cache/index0/{name}", text)
    found, (warning,) = caches(tmp_path)
    assert [row[:2] for row in found] == [(1, 0b01)]
    assert warning == "sysfs describes no caches for CPUs 1; they are not counted."


@pytest.mark.parametrize(
    ("file", "said"), [("level", "type and level"), ("size", "readable size"), ("shared_cpu_map", "which CPUs")]
)
def test_what_cannot_be_read_is_named_with_its_folder(tmp_path, file, said):
    build(tmp_path, [0], [Shared(1, "Data", "32K", [[0]]), Shared(2, "Unified", "1M", [[0]])])
    folder = f"{CPU}/cpu0/cache/index1"
    write(tmp_path, f"{folder}/{file}", "junk")
    write(tmp_path, f"{folder}/shared_cpu_list", "junk" if file == "shared_cpu_map" else "0")
    (warning,) = (text for text in read_cpu(Tree(tmp_path)).warnings if said in text)
    assert f"/{folder}" in warning
