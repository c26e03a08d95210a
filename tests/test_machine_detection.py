"""The whole of detection: sysroots, the cache on disk, the fingerprint, the command, the schema."""

from __future__ import annotations

import importlib.resources
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from fake_gpus import FakeNvml, Gpu
from jsonschema import Draft202012Validator
from machines import CPU, build, hybrid, server, write

from sizer.base.errors import MachineError
from sizer.base.records import rebuild
from sizer.base.storage import cache_folder
from sizer.cli import run
from sizer.cli.machine import detect as detect_command
from sizer.detection import detect as detection
from sizer.detection import detect as detection_cache
from sizer.detection import gpus
from sizer.detection.captured_tree import Tree
from sizer.detection.detect import detect, fingerprint
from sizer.detection.gpu_device import build_device
from sizer.detection.nvml import read_nvml
from sizer.detection.procfs import current_process
from sizer.method.hardware import RAM, Device, Level, Machine

SCHEMA = json.loads(importlib.resources.files("sizer.schemas").joinpath("machine-1.json").read_text(encoding="utf-8"))
MACHINE = Machine((Device("cpu", "cpu", "CPU", 2, (Level(RAM, 2**30, 1, source="test"),)),), (), "0123456789abcdef")


def validate(record):
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(record)


# Sysroots


def test_a_sysroot_shows_nothing_of_the_running_machine(tmp_path, monkeypatch):
    server(tmp_path)
    write(tmp_path, "proc/driver/nvidia/version", "present in the capture")
    write(tmp_path, "proc/self/cgroup", "0::/")
    write(tmp_path, "proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw")
    write(tmp_path, "sys/fs/cgroup/cpuset.cpus.effective", "0")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "100000 100000")

    def forbidden(*_: object):
        raise AssertionError("asked the running machine")

    monkeypatch.setattr(os, "sched_getaffinity", forbidden, raising=False)
    monkeypatch.setattr(detection, "_running_machine", forbidden)
    machine = detect(tmp_path)
    assert [device.id for device in machine.devices] == ["cpu"]
    assert machine.devices[0].units == 4
    assert machine.fingerprint is None
    assert not cache_folder().exists()


@pytest.mark.parametrize("make", [lambda path: path / "missing", lambda path: path, lambda path: path / "file"])
def test_a_sysroot_that_is_none_is_one_clear_line(tmp_path, make):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="--sysroot takes the folder") as caught:
        detect(make(tmp_path))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("part", ["proc/version", "sys/kernel/x"])
def test_half_a_sysroot_will_do(tmp_path, part):
    write(tmp_path, part, "")
    assert detect(tmp_path).devices[0].levels[-1].name == RAM


# The running machine


def test_the_running_machine_has_a_cpu_with_cores_and_memory():
    machine = detect(fresh=True)
    cpu = machine.devices[0]
    assert (cpu.id, cpu.levels[-1].name, cpu.levels[-1].instances) == ("cpu", RAM, 1)
    assert cpu.units is not None
    assert cpu.levels[-1].capacity_bytes is not None
    validate(machine.to_dict())


def test_the_second_call_reads_the_first_ones_answer(monkeypatch):
    first = detect()

    def again(*_: object):
        raise AssertionError("read the hardware again")

    monkeypatch.setattr(detection, "_running_cpu", again)
    assert detect() == first
    with pytest.raises(AssertionError):
        detect(fresh=True)


def test_the_second_call_is_fast():
    detect()
    best = min(_timed(detect) for _ in range(5))
    assert best < 0.02


def _timed(call):
    start = time.process_time()
    call()
    return time.process_time() - start


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "not JSON",
        "[]",
        "null",
        "[" * 100_000,
        '{"format": "sizer.machine/1"}',
        json.dumps(MACHINE.to_dict() | {"format": "sizer.machine/2"}),
        json.dumps(MACHINE.to_dict() | {"fingerprint": "another"}),
        json.dumps(MACHINE.to_dict() | {"devices": []}),
        json.dumps(MACHINE.to_dict() | {"devices": [{"id": "cpu"}]}),
        json.dumps(MACHINE.to_dict()).replace("1073741824", '"a lot"'),
        json.dumps(MACHINE.to_dict()).replace("1073741824", "0"),
        json.dumps(MACHINE.to_dict()).replace('"id": "cpu"', '"id": "gpu"'),
    ],
)
def test_a_damaged_cache_file_is_ignored(damage):
    assert MACHINE.fingerprint is not None
    file = cache_folder() / f"machine-{MACHINE.fingerprint}.json"
    detection_cache.store(MACHINE)
    assert detection_cache.load(MACHINE.fingerprint) == MACHINE
    file.write_text(damage)
    assert detection_cache.load(MACHINE.fingerprint) is None


def test_binary_junk_in_the_cache_is_ignored():
    detection_cache.store(MACHINE)
    (cache_folder() / f"machine-{MACHINE.fingerprint}.json").write_bytes(b"\xff\xfe\x00" * 100)
    assert detection_cache.load("0123456789abcdef") is None


def test_a_cache_folder_that_cannot_be_made_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "below"))
    detection_cache.store(MACHINE)
    assert detection_cache.load("0123456789abcdef") is None
    assert detect().devices[0].id == "cpu"


def test_the_cache_keeps_the_newest_records():
    for number in range(40):
        detection_cache.store(replace(MACHINE, fingerprint=f"{number:016x}"))
        file = cache_folder() / f"machine-{number:016x}.json"
        os.utime(file, (number, number))
    files = sorted(file.name for file in cache_folder().iterdir())
    assert len(files) == 16
    assert files[-1] == f"machine-{39:016x}.json"


def test_a_failing_driver_is_not_remembered(monkeypatch):
    found = gpus.Gpus((), ("the driver failed",), failed=True)
    with monkeypatch.context() as patch:
        patch.setattr(gpus, "read_gpus", lambda tree, environment: found)
        assert detect().warnings == ("the driver failed",)
    assert detect().warnings == ()


def test_gpus_follow_the_cpu(monkeypatch):
    gpu = build_device(0, None, read_nvml(lambda: FakeNvml(Gpu()))[0], None)
    monkeypatch.setattr(gpus, "read_gpus", lambda tree, environment: gpus.Gpus((gpu,)))
    machine = detect()
    assert [device.id for device in machine.devices] == ["cpu", "cuda:0"]
    assert detect() == machine
    validate(machine.to_dict())


def test_a_running_machine_without_a_cache_description_asks_py_cpuinfo(monkeypatch):
    asked = []
    bare = MACHINE.devices[0]
    monkeypatch.setattr(detection, "_platform_cpu", lambda tree: bare)
    monkeypatch.setattr("sizer.detection.fallbacks._query", lambda: asked.append(1) or {})
    detect(fresh=True)
    assert asked
    detect()
    assert len(asked) == 1  # its answer is kept with the rest


# The fingerprint


@pytest.fixture
def identity(tmp_path, monkeypatch):
    """The fingerprint of a synthetic machine, under the given environment."""
    monkeypatch.setattr(sys, "platform", "linux")
    server(tmp_path)
    write(tmp_path, "proc/self/cgroup", "0::/")
    write(tmp_path, "proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw")
    return lambda **environment: fingerprint(Tree(tmp_path), environment)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("proc/cpuinfo", "processor : 0\nmodel name : Another CPU"),
        ("proc/cpuinfo", "processor : 0\nmodel name : Test CPU\nflags : hypervisor"),
        (f"{CPU}/online", "0-5"),
        ("proc/meminfo", "MemTotal: 99 kB"),
        ("sys/fs/cgroup/cpu.max", "100000 100000"),
        ("sys/fs/cgroup/memory.max", "1000000"),
        ("sys/fs/cgroup/cpuset.cpus.effective", "0"),
        ("proc/driver/nvidia/version", "580"),
        ("proc/driver/nvidia/gpus/0000:1a:00.0/information", "x"),
        ("proc/driver/nvidia/capabilities/gpu0/mig/gi1/access", "x"),
        ("dev/nvidia0", ""),
    ],
)
def test_what_can_change_the_record_changes_the_fingerprint(identity, tmp_path, file, text):
    before = identity()
    assert before == identity()
    write(tmp_path, file, text)
    assert identity() != before


@pytest.mark.parametrize(
    ("file", "here", "there"),
    [
        ("proc/driver/nvidia/gpus/0000:1a:00.0/information", "GPU UUID: \t GPU-aa11", "GPU UUID: \t GPU-bb22"),
        ("proc/sys/kernel/random/boot_id", "one", "other"),
    ],
)
def test_another_node_of_the_same_kind_has_another_fingerprint(identity, tmp_path, file, here, there):
    """A home is shared by many nodes: the GPUs' UUIDs tell them apart, else the boot."""
    write(tmp_path, "dev/nvidia0", "")
    write(tmp_path, file, here)
    first = identity()
    write(tmp_path, file, there)
    assert identity() != first


def test_without_a_gpu_a_boot_changes_nothing(identity, tmp_path):
    first = identity()
    write(tmp_path, "proc/sys/kernel/random/boot_id", "one")
    assert identity() == first


def test_cuda_that_runs_in_this_process_changes_the_fingerprint(identity, monkeypatch):
    properties = SimpleNamespace(name="NVIDIA H200", uuid="aa11")
    cuda = SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: 1, get_device_properties=lambda index: properties
    )
    first = identity()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    second = identity()
    properties.uuid = "bb22"
    assert len({first, second, identity()}) == 3


def test_gpus_of_no_driver_are_not_kept(monkeypatch):
    """Stand-ins for a GPU were listed for as long as the cache lived, when they were long taken away."""
    device = Device("cuda:0", "cuda", "NVIDIA H200", 132, (Level(RAM, 2**37, 1, source="test"),))
    monkeypatch.setattr(gpus, "read_gpus", lambda *_, **__: gpus.Gpus((device,)))
    assert detect(fresh=True).device("cuda:0") == device
    monkeypatch.setattr(gpus, "read_gpus", lambda *_, **__: gpus.Gpus())
    assert detect().device("cuda:0") is None


def test_the_environment_and_affinity_change_the_fingerprint(identity, monkeypatch):
    seen = {identity(), identity(CUDA_VISIBLE_DEVICES="0"), identity(CUDA_VISIBLE_DEVICES="0", CUDA_DEVICE_ORDER="x")}
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    seen.add(identity())
    assert len(seen) == 4
    assert all(len(one) == 16 for one in seen)


def test_the_clock_frequency_does_not_change_the_fingerprint(identity, tmp_path):
    write(tmp_path, "proc/cpuinfo", "processor : 0\nmodel name : Test CPU\ncpu MHz : 800.0")
    before = identity()
    write(tmp_path, "proc/cpuinfo", "processor : 0\nmodel name : Test CPU\ncpu MHz : 3900.0")
    assert identity() == before


def test_a_platform_without_affinity_is_not_limited(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert current_process(Tree("/")).affinity is None


def test_the_fingerprint_is_cheap():
    assert min(_timed(lambda: fingerprint(Tree("/"), os.environ)) for _ in range(5)) < 0.005


# The command


@pytest.fixture
def root(tmp_path):
    return str(server(tmp_path))


def test_json_is_the_record(root):
    result = CliRunner().invoke(detect_command, ["--sysroot", root, "--json"])
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert result.stdout == json.dumps(record, indent=2) + "\n"
    assert rebuild(Machine, record) == detect(root)
    validate(record)


@pytest.mark.parametrize(
    "builder", [server, hybrid, lambda root: build(root, [0, 1]), lambda root: build(root, [0], model=None)]
)
def test_every_record_fits_the_schema(tmp_path, builder):
    validate(detect(builder(tmp_path)).to_dict())


def test_the_schema_refuses_what_the_contract_does(root):
    record = detect(root).to_dict()
    level = record["devices"][0]["levels"][0]
    for name, value in (("capacity_bytes", 0), ("name", "cache"), ("source", None), ("instances", "2")):
        kept, level[name] = level[name], value
        assert not Draft202012Validator(SCHEMA).is_valid(record)
        level[name] = kept
    assert Draft202012Validator(SCHEMA).is_valid(record)


def test_warnings_go_to_standard_error(tmp_path):
    result = CliRunner().invoke(detect_command, ["--sysroot", str(build(tmp_path, [0, 1]))])
    assert result.exit_code == 0
    assert "describes no caches" in " ".join(result.stderr.split())
    assert "describes no caches" not in result.stdout


def test_a_wrong_sysroot_is_one_line_and_exit_code_1(tmp_path, capsys):
    assert run(["detect", "--sysroot", str(tmp_path / "missing")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_fresh_reads_again(monkeypatch):
    seen = []
    monkeypatch.setattr("sizer.detection.detect.detect", lambda *arguments: seen.append(arguments) or MACHINE)
    CliRunner().invoke(detect_command, ["--fresh"])
    assert seen == [(None, True)]


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--fresh"]])
def test_the_command_imports_no_heavy_package(arguments):
    code = (
        "import sys; from sizer.cli import run; code = run(['detect', *sys.argv[1:]]); "
        "print([name for name in ('numpy', 'torch', 'pandas', 'scipy', 'matplotlib') if name in sys.modules], "
        "file=sys.stderr); sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert result.stderr.splitlines()[-1] == "[]"


def test_the_kept_answer_needs_no_probe():
    detect()
    code = (
        "import sys; from sizer.detection.detect import detect; detect(); "
        "print([name for name in ('pynvml', 'cpuinfo', 'ctypes', 'subprocess', 'platform', 'hashlib', "
        "'sizer.detection.linux', 'sizer.detection.gpus') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-S", "-c", _with_path(code)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def _with_path(code):
    """Without site, whose .pth files import what they like, the package's folder has to be named."""
    folder = importlib.resources.files("sizer").joinpath("..")
    return f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"
