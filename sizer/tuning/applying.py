"""`sizer run --with tuned.json`: the recommended levers of a record, in place in another run of the same script."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sizer.base.errors import UsageError
from sizer.script_runs.script import when_torch_is_imported
from sizer.tuning.levers import allocator
from sizer.tuning.levers.catalogue import FILES, put_in_place
from sizer.tuning.record import Tuning
from sizer.tuning.tuning import file_of, machine, sha256, torch_version

#: The variables that levers set. A record may come from anybody, and others make a process load or send what they name.
_SET_BY_LEVERS = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES"),
    *("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"),
)


def check(record: Tuning, named: str, script: str, module: bool) -> None:
    """Raises UsageError where the record is of another script, torch, or machine, or recommends what is no lever."""
    where = record.where
    if not record.recommended:
        raise UsageError(f"{named} recommends nothing for {where.script}: run it without --with")
    if sha256(file_of(script, module)) != where.sha256:
        changed = "has changed since" if Path(script).name == Path(where.script).name else "is another script than"
        raise UsageError(f"{script} {changed} {where.script} was tuned for {named}; tune it again: sizer tune {script}")
    if (here := torch_version()) != where.torch:
        raise UsageError(f"{named} was measured with torch {where.torch}, and here is {here}; tune again")
    name, _ = machine()
    if name != where.machine:
        raise UsageError(f"{named} was measured on {where.machine}, and this is {name}; tune again on this machine")
    check_levers(record, named)
    if _cpus() != record.facts.get("cpus"):
        raise UsageError(
            f"{named} was measured with {record.facts.get('cpus')} processors, and here are {_cpus()}; tune again"
        )


def check_levers(record: Tuning, named: str) -> None:
    """Raises UsageError where a record asks for what no lever does."""
    libraries = dict(allocator.installed()).values() if "LD_PRELOAD" in record.environment else ()
    for name, value in record.environment.items():
        if not (name in _SET_BY_LEVERS or (name == "LD_PRELOAD" and value in libraries)):
            raise UsageError(f"{named} sets {f'{name}={value}'[:80]}, which no lever does here; tune again")
    unknown = [lever.file for lever in record.chosen() if lever.file not in FILES]
    if unknown:
        raise UsageError(f"{named} has the lever {unknown[0][:40]}, which this version does not know; tune again")


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def begin_anew(record: Tuning) -> None:
    """Start this process again with the record's environment, where it lacks that; else go on.

    What allocators and threads are told they read before the first line of Python.
    """
    wanted = {name: _joined(name, value) for name, value in record.environment.items()}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})  # noqa: S606


def _joined(name: str, value: str) -> str:
    """A library to load first stands before those of the user."""
    own = os.environ.get(name, "")
    if name != "LD_PRELOAD" or not own:
        return value
    return own if value in own.split(":") else f"{value}:{own}"


def put(record: Tuning) -> None:
    """Apply the recommended levers once torch is imported."""
    chosen = [(lever.file, lever.settings) for lever in record.chosen()]
    when_torch_is_imported(lambda: put_in_place(chosen, lambda what: None))  # noqa: ARG005
