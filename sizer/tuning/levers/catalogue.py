"""All levers: which modules there are, what they propose for a script, and putting some of them in place together."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, cast

from sizer.tuning.levers.protocol import Changed, Lever, LeverFile, Seen

#: The modules, in the order in which levers are put in place: a model's memory format before its precision, and it is
#: compiled last.
FILES = (
    *("worker_threads", "threads", "pinning", "allocator", "denormals", "batch_size", "optimizer_form", "loader"),
    *("data_in_memory", "channels_last", "precision", "compiled"),
)

#: What another lever of a group is worth beside the most hopeful one, whose gain it mostly shares: huge pages and
#: malloc's thresholds differed by 8 % where they saved half (benchmarks/tune_scripts/allocator.py).
_OTHER_OF_GROUP = 0.5


def lever_file(name: str) -> LeverFile:
    """A module of levers. Raises KeyError for one that is not listed: a record may come from anybody."""
    if name not in FILES:
        raise KeyError(name)
    return cast("LeverFile", importlib.import_module(f"sizer.tuning.levers.{name}"))


def proposed(seen: Seen) -> list[Lever]:
    """What is worth a try, the most hopeful first; of a group that can keep one only, the others after a while."""
    found = sorted((lever for name in FILES for lever in lever_file(name).propose(seen)), key=lambda lever: -lever.hope)
    best = {lever.group: lever for lever in reversed(found)}
    return sorted(found, key=lambda lever: -lever.hope * (1.0 if best[lever.group] is lever else _OTHER_OF_GROUP))


def put_in_place(levers: Sequence[tuple[str, Any]], changed: Changed) -> None:
    """Apply levers, each a module's name and its settings, in the order of `FILES`."""
    for name, settings in sorted(levers, key=lambda each: FILES.index(each[0])):
        lever_file(name).apply(settings, changed)
