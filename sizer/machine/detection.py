"""Detection: every probe's reading put together in one `Machine`, kept on disk between calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sizer.errors import MachineError
from sizer.hardware import RAM, Device, Machine
from sizer.machine.tree import Tree


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
    from sizer.machine import detection_cache
    from sizer.machine.fingerprint import fingerprint

    tree = Tree("/")
    identity = fingerprint(tree, os.environ)
    cached = None if fresh else detection_cache.load(identity)
    return cached or _running_machine(tree, identity)


def _captured_machine(sysroot: Path) -> Machine:
    if not sysroot.is_dir():
        raise MachineError(f"{sysroot} is not a folder; --sysroot takes the folder that holds a machine's proc, sys.")
    tree = Tree(sysroot)
    if not (tree.names("/proc") or tree.names("/sys")):
        raise MachineError(
            f"{sysroot} holds neither a readable proc nor a readable sys; --sysroot takes the folder that holds them."
        )
    from sizer.machine.linux import read_cpu

    return Machine((read_cpu(tree),))


def _running_machine(tree: Tree, identity: str) -> Machine:
    from sizer.machine import detection_cache
    from sizer.machine.gpus import read_gpus

    cpu = _running_cpu(tree)
    gpus = read_gpus(tree, os.environ)
    machine = Machine((cpu, *gpus.devices), gpus.warnings, identity)
    if not gpus.failed:  # a driver that fails now may work the next time
        detection_cache.store(machine)
    return machine


def _running_cpu(tree: Tree) -> Device:
    """The best probe of this platform; py-cpuinfo where it found no cache."""
    cpu = _platform_cpu(tree)
    if any(level.name != RAM for level in cpu.levels):
        return cpu
    from sizer.machine.cpuinfo_fallback import add_caches

    return add_caches(cpu)


def _platform_cpu(tree: Tree) -> Device:
    platform: str = sys.platform
    if platform == "linux":
        from sizer.machine.linux import read_cpu
        from sizer.machine.process import current_process

        return read_cpu(tree, current_process(tree))
    if platform == "darwin":
        from sizer.machine.macos import read_macos_cpu

        return read_macos_cpu()
    if platform == "win32":
        from sizer.machine.windows import read_windows_cpu

        return read_windows_cpu()
    from sizer.machine.other_platforms import read_other_cpu

    return read_other_cpu()
