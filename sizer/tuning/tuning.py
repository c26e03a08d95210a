"""`sizer tune`: from a script and a budget to the record of what makes it cheaper."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from sizer.base.errors import MeasurementError, UsageError
from sizer.base.progress import Progress, silent
from sizer.tuning import refusals
from sizer.tuning.launching import Launcher, Script
from sizer.tuning.outcome import outcome
from sizer.tuning.record import Tuning, Where
from sizer.tuning.session import Session
from sizer.tuning.working_copy import WorkingCopy

#: Shortest budget in s.
_LEAST_S = 20.0


def tune_script(
    script: str,
    arguments: tuple[str, ...] = (),
    *,
    module: bool = False,
    steps: int | None = None,
    budget_s: float = 180.0,
    in_place: bool = False,
    meter: str = "auto",
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,  # noqa: ARG005
) -> Tuning:
    """Try what may make a training script cheaper, for about ``budget_s`` seconds, and say what is proven.

    The script runs in a copy of the current folder unless ``in_place``. ``say`` is told lines for people. An interrupt
    ends it with what is known by then. Raises UsageError and MeasurementError, each one line.
    """
    refusals.check(script, module, os.environ)
    least_budget(budget_s)
    if steps is not None and steps < 8:
        raise UsageError(f"{steps} steps a run are too few; give at least 8, or leave --steps out")
    file = file_of(script, module)
    for effect in refusals.side_effects(file):
        say(f"warning: {effect}, in every run of the script")
    with ExitStack() as stack:
        folder, path = Path.cwd(), script
        copy = None if in_place else stack.enter_context(WorkingCopy(folder))
        if copy is not None:
            folder, path = copy.folder, script if module else copy.inside(script)
        launcher = stack.enter_context(
            Launcher(Script(script, path, module, arguments, folder), meter, copy.put_back if copy else None)
        )
        session = Session(launcher, budget_s, steps, progress, say)
        where = Where(script, module, arguments, sha256(file), torch_version(), python_version(), *machine())
        complete = _conducted(session)
        return outcome(session, where, complete, copy.outside if copy else str)


def least_budget(budget_s: float) -> None:
    """Raises UsageError for a budget in which nothing can be proven."""
    if not _LEAST_S <= budget_s < math.inf:
        raise UsageError(f"a budget of {budget_s:g} s is too short; give at least {_LEAST_S:g} s, such as --budget 3m")


def python_version() -> str:
    """That of this interpreter."""
    return platform.python_version()


def _conducted(session: Session) -> bool:
    """Go through a session; False where it was interrupted after the first look."""
    session.look()
    try:
        session.try_levers()
        session.confirm()
    except KeyboardInterrupt:
        session.launcher.stop()
        return False
    return True


def file_of(script: str, module: bool) -> Path:
    """The file of a script or module. Raises UsageError where there is none."""
    if not module:
        file = Path(script)
        if not file.is_file():
            raise UsageError(f"there is no script {script}; give a Python file, or -m MODULE")
        return file
    sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        spec = find_spec(script)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = find_spec(f"{script}.__main__")
    except (ImportError, ValueError):
        spec = None
    finally:
        sys.path.pop(0)
    if spec is None or spec.origin is None:
        raise UsageError(f"there is no module {script} that can be run; expected one that `python -m {script}` runs")
    return Path(spec.origin)


def sha256(file: Path) -> str:
    """The digest of a script, by which it is known again."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise MeasurementError(f"cannot read {file}: {error.strerror}") from None


def torch_version() -> str:
    """Torch's, without importing it: that would settle what it reads from the environment."""
    from importlib.metadata import version

    return version("torch")


def machine() -> tuple[str, str]:
    """The name of the CPU, and the fingerprint of the machine as this process sees it."""
    from sizer.detection.detect import detect

    found = detect()
    cpu = found.device("cpu")
    return (cpu.name if cpu is not None and cpu.name else platform.machine()), found.fingerprint or ""
