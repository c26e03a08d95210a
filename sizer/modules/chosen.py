"""The device and coefficients of this process, read once: a training's first step has no time to read them again."""

from __future__ import annotations

import os
from pathlib import Path

from sizer.devices import Chosen, choose
from sizer.files import config_folder, data_folder

#: Beginnings of environment variables that say what this process may use, or where profiles lie.
_VARIABLES = ("SIZER", "XDG_", "CUDA", "NVIDIA", "HIP", "ROCR", "OMP_", "HOME")

_known: dict[tuple[object, ...], Chosen] = {}


def chosen_for(name: str | None, dtype: str) -> Chosen:
    """As `sizer.devices.choose`, once for a name and dtype while threads, CPUs, environment and profiles are the same.

    A profile that is named is always read: its file may have been edited in place.
    """
    if name is not None and name.partition(":")[0] not in ("cpu", "cuda", "mps"):
        return choose(name, dtype)
    key = (name, dtype, *_conditions())
    if key not in _known:
        if len(_known) > 64:
            _known.clear()
        _known[key] = choose(name, dtype)
    return _known[key]


def _conditions() -> tuple[object, ...]:
    """What a choice depends on beside its arguments."""
    import torch

    affinity = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    variables = tuple(sorted((name, os.environ[name]) for name in os.environ if name.startswith(_VARIABLES)))
    stated = [Path(entry) for entry in os.environ.get("SIZER_PROFILES", "").split(os.pathsep) if entry]
    folders = [*stated, config_folder() / "profiles", data_folder() / "profiles"]
    return torch.get_num_threads(), affinity, variables, tuple(map(_changed_ns, folders))


def _changed_ns(folder: Path) -> int | None:
    """When a file was last put into a folder or taken out, None for a folder that is not there."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None
