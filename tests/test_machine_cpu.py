"""What a process may use of a Linux CPU: affinity, control groups, SMT, memory; and virtual machines."""

from __future__ import annotations

import pytest
from machines import CPU, Shared, build, private, server, write

from sizer.detection import cgroups
from sizer.detection.captured_tree import Tree
from sizer.detection.cgroups import Limits, read_limits
from sizer.detection.linux import read_cpu
from sizer.detection.procfs import Process

MIB, GIB = 2**20, 2**30
MOUNTS_V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw"
MOUNTS_V1 = "\n".join(
    f"3{number} 31 0:3{number} / /sys/fs/cgroup/{name} rw,relatime - cgroup cgroup rw,{name}"
    for number, name in enumerate(("cpu,cpuacct", "cpuset", "memory"))
)


def used(root, *cpus, **limits):
    """The CPU as a process sees it that may use these CPUs."""
    return read_cpu(Tree(root), Process(cgroups.from_cpus(cpus) if cpus else None, Limits(**limits)))


def instances(cpu):
    return {level.name: level.instances for level in cpu.levels}


def test_smt_siblings_count_once(tmp_path):
    cpu = read_cpu(Tree(server(tmp_path)))
    assert cpu.units == 4
    assert cpu.facts["logical_cpus"]["value"] == 8
    assert cpu.facts["threads_per_core"]["value"] == 2


@pytest.mark.parametrize(("cpus", "units"), [((0,), 1), ((0, 4), 1), ((0, 1), 2), ((3, 7, 2), 2)])
def test_affinity_counts_the_cores_and_instances_it_touches(tmp_path, cpus, units):
    cpu = used(server(tmp_path), *cpus)
    assert cpu.units == units
    assert instances(cpu) == {"L1": units, "L2": units, "L3": 1, "RAM": 1}
    assert "CPU affinity" in cpu.sources["units"]
    assert [level.cpus_per_instance for level in cpu.levels] == [2, 2, 8, None]  # counted over the online CPUs


def test_two_of_128_cpus(tmp_path):
    cpus = list(range(128))
    build(
        tmp_path, cpus, [Shared(1, "Data", "32K", private(cpus)), Shared(3, "Unified", "32M", [cpus[:64], cpus[64:]])]
    )
    assert (used(tmp_path, 5, 6).units, instances(used(tmp_path, 5, 6))) == (2, {"L1": 2, "L3": 1, "RAM": 1})
    quota = used(tmp_path, quota_cpus=2.0, quota_source="/sys/fs/cgroup/cpu.max")
    assert (quota.units, instances(quota)) == (2, {"L1": 2, "L3": 2, "RAM": 1})
    assert "quota of /sys/fs/cgroup/cpu.max" in quota.sources["units"]
    assert "limited by the CPU quota" in quota.levels[0].source
    assert quota.facts["cpu_quota_cpus"] == {"value": 2.0, "source": "/sys/fs/cgroup/cpu.max"}


@pytest.mark.parametrize(("quota", "units"), [(0.5, 1), (1.0, 1), (1.5, 2), (2.0, 2), (64.0, 4)])
def test_a_quota_lets_its_ceiling_run_at_once(tmp_path, quota, units):
    assert used(server(tmp_path), quota_cpus=quota, quota_source="q").units == units


def test_a_cpuset_limits_like_an_affinity(tmp_path):
    cpu = used(server(tmp_path), cpus=0b11, cpus_source="/sys/fs/cgroup/cpuset.cpus.effective")
    assert cpu.units == 2
    assert "cpuset.cpus.effective" in cpu.sources["units"]


def test_a_set_that_leaves_no_online_cpu_is_not_believed(tmp_path):
    assert used(server(tmp_path), 60, 61).units == 4


def test_memory_is_limited_by_the_control_group(tmp_path):
    root = server(tmp_path)
    assert read_cpu(Tree(root)).levels[-1].capacity_bytes == 16 * GIB
    limited = used(root, memory_bytes=GIB, memory_source="/sys/fs/cgroup/memory.max").levels[-1]
    assert (limited.capacity_bytes, limited.source) == (GIB, "/sys/fs/cgroup/memory.max")
    assert used(root, memory_bytes=64 * GIB, memory_source="x").levels[-1].source == "/proc/meminfo MemTotal"


def test_node_totals_stand_in_for_a_missing_meminfo(tmp_path):
    server(tmp_path, memory_kib=None)
    for node in (0, 1):
        write(tmp_path, f"sys/devices/system/node/node{node}/meminfo", f"Node {node} MemTotal:  1048576 kB")
    assert read_cpu(Tree(tmp_path)).levels[-1].capacity_bytes == 2 * GIB


def test_unknown_memory_is_null_with_a_warning(tmp_path):
    cpu = read_cpu(Tree(server(tmp_path, memory_kib=None)))
    assert cpu.levels[-1].capacity_bytes is None
    assert any("size of the memory is unknown" in warning for warning in cpu.warnings)


def test_memory_of_gpus_among_the_nodes_is_named(tmp_path):
    server(tmp_path)
    write(tmp_path, "proc/driver/nvidia/gpus/0004:05:00.0/numa_status", "Node:      255\nStatus:    online\nSize: 1")
    assert any("1 NUMA nodes are GPU memory" in warning for warning in read_cpu(Tree(tmp_path)).warnings)


def test_sockets_and_nodes(tmp_path):
    server(tmp_path)
    for cpu in (2, 3, 6, 7):
        write(tmp_path, f"{CPU}/cpu{cpu}/topology/physical_package_id", "1")
    write(tmp_path, "sys/devices/system/node/node0/cpumap", "000000ff")
    write(tmp_path, "sys/devices/system/node/node1/cpumap", "00000000")  # memory alone
    facts = read_cpu(Tree(tmp_path)).facts
    assert (facts["sockets"]["value"], facts["numa_nodes"]["value"]) == (2, 1)


def test_without_topology_cores_come_from_cpuinfo_or_are_logical_cpus(tmp_path):
    write(tmp_path, f"{CPU}/online", "0-3")
    for cpu in range(4):
        write(tmp_path, f"{CPU}/cpu{cpu}/cache/none", "")
    blocks = [f"processor : {cpu}\nphysical id : 0\ncore id : {cpu // 2}\n" for cpu in range(4)]
    write(tmp_path, "proc/cpuinfo", "\n".join(blocks))
    assert read_cpu(Tree(tmp_path)).units == 2
    write(tmp_path, "proc/cpuinfo", "")
    cpu = read_cpu(Tree(tmp_path))
    assert cpu.units == 4
    assert "logical CPUs" in cpu.sources["units"]


def test_nothing_known_is_null(tmp_path):
    write(tmp_path, "proc/version", "Linux")
    cpu = read_cpu(Tree(tmp_path))
    assert (cpu.name, cpu.units, cpu.facts.get("logical_cpus")) == (None, None, None)


# Control groups


def test_version_2_limits_bind_from_any_ancestor(tmp_path):
    write(tmp_path, "proc/self/cgroup", "0::/app/job")
    write(tmp_path, "proc/self/mountinfo", MOUNTS_V2)
    write(tmp_path, "sys/fs/cgroup/app/cpu.max", "150000 100000")
    write(tmp_path, "sys/fs/cgroup/app/job/cpu.max", "max 100000")
    write(tmp_path, "sys/fs/cgroup/app/job/cpuset.cpus.effective", "2-3")
    write(tmp_path, "sys/fs/cgroup/app/memory.max", str(2 * GIB))
    write(tmp_path, "sys/fs/cgroup/app/job/memory.max", str(3 * GIB))
    limits = read_limits(Tree(tmp_path))
    assert (limits.quota_cpus, limits.quota_source) == (1.5, "/sys/fs/cgroup/app/cpu.max")
    assert (limits.cpus, limits.memory_bytes) == (0b1100, 2 * GIB)
    assert limits.concurrent_cpus == 2


def test_version_1_controllers_have_a_folder_each(tmp_path):
    write(tmp_path, "proc/self/cgroup", "3:memory:/m\n2:cpuset:/s\n1:cpu,cpuacct:/c")
    write(tmp_path, "proc/self/mountinfo", MOUNTS_V1)
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "400000")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us", "100000")
    write(tmp_path, "sys/fs/cgroup/cpuset/s/cpuset.cpus", "0,2")
    write(tmp_path, "sys/fs/cgroup/memory/m/memory.limit_in_bytes", str(GIB))
    limits = read_limits(Tree(tmp_path))
    assert (limits.quota_cpus, limits.cpus, limits.memory_bytes) == (4.0, 0b101, GIB)


def test_no_limit_is_none(tmp_path):
    write(tmp_path, "proc/self/cgroup", "2:memory:/\n1:cpu,cpuacct:/\n0::/")
    write(tmp_path, "proc/self/mountinfo", f"{MOUNTS_V1}\n{MOUNTS_V2}")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000")
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
    write(tmp_path, "sys/fs/cgroup/memory.max", "max")
    assert read_limits(Tree(tmp_path)) == Limits()
    assert read_limits(Tree(tmp_path / "nothing")) == Limits()


def test_a_container_without_a_namespace_of_its_own_is_found_beneath_its_mount(tmp_path):
    write(tmp_path, "proc/self/cgroup", "0::/docker/abc/inner")
    mounts = r"31 23 0:28 /docker/abc /mnt/c\040group rw - cgroup2 cgroup rw"
    write(tmp_path, "proc/self/mountinfo", mounts)
    write(tmp_path, "mnt/c group/inner/cpu.max", "200000 100000")
    assert read_limits(Tree(tmp_path)).quota_source == "/mnt/c group/inner/cpu.max"
    write(tmp_path, "proc/self/cgroup", "0::/../other")
    write(tmp_path, "mnt/c group/cpu.max", "300000 100000")
    assert read_limits(Tree(tmp_path)).quota_cpus == 3.0


@pytest.mark.parametrize("text", ["", "::::", "0::", "no colon", "0::relative", "\x00\xff"])
def test_damaged_control_group_files_limit_nothing(tmp_path, text):
    write(tmp_path, "proc/self/cgroup", text)
    write(tmp_path, "proc/self/mountinfo", f"junk\n1 2 3\n - cgroup2\n{MOUNTS_V2}")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "0 0")
    assert read_limits(Tree(tmp_path)).quota_cpus is None


# Virtual machines


def virtual(root, l3, cores, flags="fpu hypervisor"):
    cpus = list(range(cores))
    caches = [Shared(2, "Unified", "2M", private(cpus)), Shared(3, "Unified", l3, [cpus])]
    return read_cpu(Tree(build(root, cpus, caches, flags=flags)))


@pytest.mark.parametrize(("l3", "cores"), [("260M", 2), ("33M", 2), ("32M", 2), ("260M", 32)])
def test_a_virtual_machine_with_a_whole_sockets_cache_is_told_to_calibrate(tmp_path, l3, cores):
    cpu = virtual(tmp_path, l3, cores)
    (warning,) = cpu.warnings
    assert f"L3 of {l3[:-1]} MiB for {cores} cores is implausible" in warning
    assert "sizer calibrate" in warning
    assert cpu.facts["hypervisor"]["source"] == "/proc/cpuinfo flags"


@pytest.mark.parametrize(("l3", "cores"), [("32M", 8), ("16M", 4), ("260M", 64)])
def test_a_virtual_machine_with_a_cache_of_its_size_is_not(tmp_path, l3, cores):
    assert virtual(tmp_path, l3, cores).warnings == ()


def test_a_real_machine_may_have_any_cache(tmp_path):
    cpu = virtual(tmp_path, "768M", 2, flags="fpu")
    assert cpu.warnings == ()
    assert "hypervisor" not in cpu.facts


def test_an_affinity_does_not_make_a_virtual_machines_cache_implausible(tmp_path):
    cpus = list(range(64))
    build(tmp_path, cpus, [Shared(3, "Unified", "260M", [cpus])], flags="hypervisor")
    assert used(tmp_path, 0, 1).warnings == ()


@pytest.mark.parametrize(
    ("vendor", "product", "found"),
    [
        ("QEMU", "Standard PC", True),
        ("Amazon EC2", "c7g.large", True),
        ("Amazon EC2", "c7g.metal", False),
        ("Microsoft Corporation", "Virtual Machine", True),
        ("Google", "Google Compute Engine", True),
        ("Dell Inc.", "PowerEdge R7525", False),
    ],
)
def test_firmware_tells_a_virtual_machine_where_the_cpu_does_not(tmp_path, vendor, product, found):
    server(tmp_path)
    write(tmp_path, "sys/class/dmi/id/sys_vendor", vendor)
    write(tmp_path, "sys/class/dmi/id/product_name", product)
    assert ("hypervisor" in read_cpu(Tree(tmp_path)).facts) is found
