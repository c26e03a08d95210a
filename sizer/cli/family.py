"""`sizer recommend package.module:make`: sizes of what a function builds. Imported when asked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sizer.base.errors import UsageError

#: Options that only a family has, by their names in the command.
OWN = ("widths", "vary", "inputs", "loss", "budget", "rank_by", "threads", "now", "verify")
#: Data sets that are named with a colon, too.
_DATA_SETS = ("sklearn", "pmlb")


def is_family(target: str | None, given: Iterable[str]) -> bool:
    """Whether a command line is about a family: its target names a function, or it has an option that only that has."""
    if target is not None and ":" in target and target.partition(":")[0].lower() not in _DATA_SETS:
        return not Path(target).exists()
    return target is not None and bool({"widths", "vary", "inputs"} & set(given))


def check_options(given: Iterable[str]) -> None:
    """Raises UsageError for an option that only a family has, where the command line is not about one."""
    for name in given:
        if name in OWN:
            option = {"widths": "width", "inputs": "input"}.get(name, name).replace("_", "-")
            raise UsageError(
                f"--{option} is for a function that builds modules: name it first, "
                f"sizer recommend package.module:make --width 32-1024 --input 64,3,32,32"
            )


def recommend_target(target: str, given: Iterable[str], options: dict[str, Any]) -> Any:
    """Recommend sizes of what the target builds; ``given`` are the options that stand on the command line."""
    from sizer.cli.output import progress_bar, say_changes
    from sizer.devices import is_device_id
    from sizer.families.asking import recommend_made, refuse_others
    from sizer.inspection.loading import named_function

    refuse_others(name for name in given if name != "data")
    if ":" not in target:
        raise UsageError(f"{target!r} names no function; expected package.module:make or file.py:make")
    if options["device"] is None or is_device_id(options["device"]):  # (others are refused, with what would do)
        say_changes(options["device"], options["threads"], told_elsewhere=True)
    own = {name: options[name] for name in ("optimizer", "dtype", "device", "top", "max_bytes", "max_time", "rank_by")}
    with progress_bar(quiet=False) as progress:
        return recommend_made(
            named_function(target),
            widths=options["widths"] or None,
            vary=options["vary"],
            inputs=options["inputs"],
            loss=options["loss"],
            named=target,
            threads=options["threads"],
            levels=options["levels"] or None,
            budget_s=options["budget"],
            now=options["now"] or None,
            verify_s=options["verify"],
            progress=progress,
            **own,
        )
