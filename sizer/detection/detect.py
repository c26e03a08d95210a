"""Detection: every probe's reading put together in one `Machine`, kept on disk between calls.

First what is asked: the machine, or one device of it. Then the fingerprint, cheap facts that differ between machines
and between the shares of one that processes are given, under which an answer is kept; last the kept answers.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sizer._version import __version__
from sizer.base.errors import MachineError, UsageError
from sizer.base.records import rebuild
from sizer.base.storage import cache_folder, write_whole
from sizer.detection.captured_tree import Tree
from sizer.detection.procfs import current_process, read_cpuinfo
from sizer.method.hardware import MACHINE_FORMAT, RAM, Device, Level, Machine

# The first processor's block; a full read of /proc/cpuinfo takes milliseconds on a large machine.
_CPUINFO_LIMIT_BYTES = 4096
_CPU_FIELDS = ("model name", "vendor_id", "cpu family", "model", "stepping", "cpu", "cpu implementer", "cpu part")
_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "PROCESSOR_IDENTIFIER")
_GPU_FOLDERS = ("/proc/driver/nvidia/gpus", "/proc/driver/nvidia/capabilities")
_GPU_DEVICE_PREFIXES = ("nvidia", "nvhost-gpu", "dxg")
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
# Containers of many sizes on one machine have a file each; the oldest go.
_MAX_FILES = 16
_MAX_BYTES = 1 << 22


def detect(sysroot: str | os.PathLike[str] | None = None, fresh: bool = False) -> Machine:
    """The machine's devices and their memory levels.

    ``sysroot`` names a folder that holds another Linux machine's ``proc`` and ``sys``: only they are read, all online
    CPUs count, and nothing of the running machine is in the answer. Without it the running machine is read as this
    process sees it (affinity, control groups, CUDA_VISIBLE_DEVICES); the answer comes from the user's cache folder if
    the machine has not changed, unless it is to be ``fresh``.

    Raises MachineError when the sysroot is not such a folder.
    """
    if sysroot is not None:
        return _captured_machine(Path(sysroot))

    tree = Tree("/")
    identity = fingerprint(tree, os.environ)
    cached = None if fresh else load(identity)
    return cached or _running_machine(tree, identity)


def detected(name: str | None) -> Device:
    """A device of this machine; None: the first GPU, else the CPU. Raises UsageError for one that it does not have."""
    machine = detect()
    if name is None:
        return machine.device("cuda:0") or machine.devices[0]
    wanted = "cuda:0" if name == "cuda" else name
    device = machine.device(wanted)
    if device is None:
        known = ", ".join(device.id for device in machine.devices)
        raise UsageError(
            f"this machine has no device {wanted!r}; it has {known}. {_hint(wanted)} (`sizer profiles list`)"
        )
    return device


def _hint(wanted: str) -> str:
    """What to do for a device that was not found."""
    from sizer.detection.gpu_device import other_gpu

    other = None if wanted.startswith("cpu") else other_gpu()
    if other is None:
        return "To plan for another machine name a profile"
    return f"PyTorch sees {other}; sizer detects NVIDIA GPUs only: name a profile"


def _captured_machine(sysroot: Path) -> Machine:
    if not sysroot.is_dir():
        raise MachineError(f"{sysroot} is not a folder; --sysroot takes the folder that holds a machine's proc, sys.")
    tree = Tree(sysroot)
    if not (tree.names("/proc") or tree.names("/sys")):
        raise MachineError(
            f"{sysroot} holds neither a readable proc nor a readable sys; --sysroot takes the folder that holds them."
        )
    from sizer.detection.linux import read_cpu

    return Machine((read_cpu(tree),))


def _running_machine(tree: Tree, identity: str) -> Machine:
    from sizer.detection.gpus import read_gpus

    cpu = _running_cpu(tree)
    gpus = read_gpus(tree, os.environ)
    machine = Machine((cpu, *gpus.devices), gpus.warnings, identity)
    # A driver that fails now may work the next time; GPUs without one are somebody's stand-ins, in this process only.
    if not gpus.failed and (gpus.driver_is_there or not gpus.devices):
        store(machine)
    return machine


def _running_cpu(tree: Tree) -> Device:
    """The best probe of this platform; py-cpuinfo where it found no cache."""
    cpu = _platform_cpu(tree)
    if any(level.name != RAM for level in cpu.levels):
        return cpu
    from sizer.detection.fallbacks import add_caches

    return add_caches(cpu)


def _platform_cpu(tree: Tree) -> Device:
    platform: str = sys.platform
    if platform == "linux":
        from sizer.detection.linux import read_cpu
        from sizer.detection.procfs import current_process

        return read_cpu(tree, current_process(tree))
    if platform == "darwin":
        from sizer.detection.macos import read_macos_cpu

        return read_macos_cpu()
    if platform == "win32":
        from sizer.detection.windows import read_windows_cpu

        return read_windows_cpu()
    from sizer.detection.fallbacks import read_other_cpu

    return read_other_cpu()


def fingerprint(tree: Tree, environment: Mapping[str, str]) -> str:
    """16 hexadecimal digits that differ between machines, and between the shares of one that processes are given."""
    return _fnv1a("\n".join(f"{name}={value}" for name, value in _facts(tree, environment)))


def _facts(tree: Tree, environment: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    yield "sizer", __version__
    yield "platform", sys.platform
    yield "cpus", os.cpu_count()
    for name in _ENVIRONMENT:
        yield name, environment.get(name)
    if hasattr(os, "uname"):
        yield "kernel", (os.uname().machine, os.uname().release)
    yield "initialised", initialised_gpus(sys.modules.get("torch"))
    if sys.platform == "linux":
        yield from _linux_facts(tree)


def initialised_gpus(torch: Any) -> list[str] | None:
    """The GPUs of this process once CUDA runs in it: the environment says nothing of them any more. None before."""
    cuda = getattr(torch, "cuda", None)  # (torch may be half imported)
    if not getattr(cuda, "is_initialized", lambda: False)():
        return None
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [str(getattr(one, "uuid", one.name)) for one in found]


def _linux_facts(tree: Tree) -> Iterator[tuple[str, object]]:
    cpuinfo = read_cpuinfo(tree, _CPUINFO_LIMIT_BYTES)
    first = next(iter(cpuinfo.by_cpu.values()), {})
    yield "cpu", [(name, first.get(name)) for name in _CPU_FIELDS]
    yield "hypervisor", cpuinfo.has_flag("hypervisor")
    yield "online", tree.word("/sys/devices/system/cpu/online")
    yield "process", current_process(tree)
    yield "memory", (tree.text("/proc/meminfo", 64) or "").partition("\n")[0]
    yield "driver", tree.word("/proc/driver/nvidia/version")
    yield "gpus", [tree.names(folder) for folder in _GPU_FOLDERS]
    yield "mig", [tree.names(f"{_GPU_FOLDERS[1]}/{gpu}/mig") for gpu in tree.names(_GPU_FOLDERS[1])]
    devices = [name for name in tree.names("/dev") if name.startswith(_GPU_DEVICE_PREFIXES)]
    yield "gpu devices", devices
    if devices:
        yield "whose", _gpu_uuids(tree) or tree.word(_BOOT_ID)


def _gpu_uuids(tree: Tree) -> list[str] | None:
    """The UUIDs of the GPUs by the driver, None where it does not tell them all: a home may be shared by many nodes."""
    told = [tree.text(f"{_GPU_FOLDERS[0]}/{gpu}/information", 4096) or "" for gpu in tree.names(_GPU_FOLDERS[0])]
    lines = [[line for line in text.splitlines() if line.startswith("GPU UUID")] for text in told]
    known = [found[0].partition(":")[2].strip() for found in lines if found and "?" not in found[0]]
    return known if known and len(known) == len(told) else None


def _fnv1a(text: str) -> str:
    """The 64-bit FNV-1a hash: importing hashlib would cost more than the whole detection."""
    value = _FNV_OFFSET
    for byte in text.encode("utf-8", "surrogateescape"):
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def load(fingerprint: str) -> Machine | None:
    """The stored machine of this fingerprint, None where there is no sound one."""
    try:
        with _path(fingerprint).open("rb") as stream:
            record = json.loads(stream.read(_MAX_BYTES))
        if record["format"] != MACHINE_FORMAT or record["fingerprint"] != fingerprint:
            return None
        machine = rebuild(Machine, record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return machine if _is_sound(machine) else None


def store(machine: Machine) -> None:
    """Keep a machine under its fingerprint; a cache folder that cannot be written is no error."""
    if machine.fingerprint is None:
        return
    path = _path(machine.fingerprint)
    try:
        write_whole(path, json.dumps(machine.to_dict()))
        files = sorted(path.parent.glob("machine-*.json"), key=lambda file: file.stat().st_mtime)
        for file in files[:-_MAX_FILES]:
            file.unlink(missing_ok=True)
    except OSError:
        return


def _path(fingerprint: str) -> Path:
    return cache_folder() / f"machine-{fingerprint}.json"


def _is_sound(machine: Machine) -> bool:
    """Whether a record that parses also has values that every reader of it can rely on."""
    return (
        machine.devices[:1] != ()
        and machine.devices[0].id == "cpu"
        and all(device.levels and all(_is_sound_level(level) for level in device.levels) for device in machine.devices)
        and all(isinstance(device.units, int | None) for device in machine.devices)
    )


def _is_sound_level(level: Level) -> bool:
    numbers = (level.capacity_bytes, level.instances, level.cpus_per_instance, level.line_bytes, level.effective_bytes)
    return isinstance(level.name, str) and all(one is None or (type(one) is int and one > 0) for one in numbers)
