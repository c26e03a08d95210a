"""How memory is handed out: by default glibc gives large blocks back to the kernel at once, and asks for them again.

A step allocates and frees the same activations and gradients each time. Above 128 KiB to 32 MiB glibc maps each block
anew (mallopt(3), M_MMAP_THRESHOLD), so that the kernel clears every page of it once a step.
"""

from __future__ import annotations

import ctypes.util
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sizer.tuning.levers.protocol import IDENTICAL, Changed, Lever, Seen

#: Blocks below 1 GiB stay with the process, and nothing is given back before 4 GiB lie idle.
_THRESHOLDS = {"MALLOC_MMAP_THRESHOLD_": f"{2**30}", "MALLOC_TRIM_THRESHOLD_": f"{2**32}"}
#: glibc 2.35 and later ask for huge pages themselves.
_HUGE = {
    "GLIBC_TUNABLES": f"glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold={2**30}:glibc.malloc.trim_threshold={2**32}"
}
_HUGE_SINCE = (2, 35)
_LIBRARIES = {
    "jemalloc": ("libjemalloc.so.2", "jemalloc"),
    "tcmalloc": ("libtcmalloc_minimal.so.4", "tcmalloc_minimal"),
}
#: Part of the kernel's time that is saved: it had 0.78, 0.51 and 0.40 of a step of allocator, optimizer and (before it
#: freed large blocks) compile_friendly of benchmarks/tune_scripts, which took 0.53, 0.40 and 0.28 less.
_SAVED = 0.75
_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib")


def propose(seen: Seen) -> Iterator[Lever]:
    """Glibc's thresholds, huge pages on top, and other allocators that are installed."""
    hope = min(0.05 + _SAVED * (seen.system_share or 0.0), 0.8)
    if platform.libc_ver()[0] == "glibc":
        yield _lever("malloc-thresholds", "freed memory stays with the process", hope, _THRESHOLDS)
        version = tuple(int(part) for part in platform.libc_ver()[1].split(".")[:2])
        if version >= _HUGE_SINCE and _huge_pages_on_request():
            yield _lever("huge-pages", "freed memory stays with the process, in huge pages", 1.05 * hope, _HUGE)
    for name, path in installed():
        yield _lever(name, f"{name} hands out memory", 0.8 * hope, {"LD_PRELOAD": path})


def _lever(name: str, changes: str, hope: float, environment: Mapping[str, str]) -> Lever:
    return Lever(name, "allocator", changes, "allocator", IDENTICAL, hope, environment=environment)


def _huge_pages_on_request() -> bool:
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return path.exists() and "[never]" not in path.read_text()


def installed() -> Iterator[tuple[str, str]]:
    """Allocators that the dynamic linker finds, by the path that LD_PRELOAD takes."""
    for name, (file, short) in _LIBRARIES.items():
        folders = [Path(root) for root in _FOLDERS] + [
            Path(root, f"{platform.machine()}-linux-gnu") for root in _FOLDERS
        ]
        found = next((folder / file for folder in folders if (folder / file).exists()), None)
        if found is not None or ctypes.util.find_library(short):
            yield name, f"{found or ctypes.util.find_library(short)}"


def apply(settings: Mapping[str, Any], changed: Changed) -> None:  # noqa: ARG001
    """The environment is all."""
    changed("allocator")
