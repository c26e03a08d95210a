"""Running a user's script or module as ``__main__``, as python itself would: arguments, path, exit code, traceback."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Sequence
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

from sizer.base.errors import UsageError


def when_torch_is_imported(action: Callable[[], object]) -> None:
    """Call the action now if torch is there, else right after its import."""
    if "torch" in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _Waiting(action))


class _Waiting(MetaPathFinder):
    """Finds torch as the others would, with a loader that calls the action at the end; gone after that.

    Asking whether torch is there (`importlib.util.find_spec`, as many libraries do) imports and changes nothing.
    """

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action
        self._asking: set[int] = set()  # threads whose question is on its way to the other finders

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """The spec of torch; None for everything else."""
        thread = threading.get_ident()
        if fullname != "torch" or thread in self._asking:
            return None
        self._asking.add(thread)
        try:
            spec = find_spec("torch")
        finally:
            self._asking.discard(thread)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._imported)
        return spec

    def _imported(self) -> None:
        """Torch is there: nothing is waited for any more, whoever found it."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            self.action()


class _Loader(Loader):
    """A loader that hands everything to the real one."""

    def __init__(self, loader: Loader, action: Callable[[], object]) -> None:
        self._loader, self._action = loader, action

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the real loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the real loader does, then put that back in place and call the action."""
        self._loader.exec_module(module)
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._action()

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)


class Program:
    """A script or module, found and compiled but not yet run."""

    def __init__(self, code: CodeType, file: str, path: str, module: types.ModuleType) -> None:
        self.code, self.file, self.path, self.module = code, file, path, module


def load_script(path: str) -> Program:
    """The program of a script file. Raises UsageError when there is none; a script's SyntaxError is its own."""
    file = Path(path)
    if file.is_dir():
        raise UsageError(f"{path} is a folder; expected a Python script, or -m MODULE")
    try:
        source = file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the script {path}: {error.strerror or error}") from None
    module = types.ModuleType("__main__")
    module.__file__ = str(file.absolute())
    return Program(_compiled(source, module.__file__), path, str(file.resolve().parent), module)


def load_module(name: str) -> Program:
    """The program of a module, or of a package's ``__main__``. Raises UsageError when there is none."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, str(Path.cwd()))
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except (ImportError, ValueError) as error:
        raise UsageError(f"cannot find the module {name}: {error}") from None
    loader = getattr(spec, "loader", None)
    code: CodeType | None = None
    if spec is not None and isinstance(loader, InspectLoader):
        code = loader.get_code(spec.name)
    if spec is None or code is None:
        raise UsageError(f"there is no module {name} that can be run; expected one that `python -m {name}` runs")
    module = types.ModuleType("__main__")
    module.__spec__, module.__loader__, module.__package__ = spec, loader, spec.parent
    module.__file__ = spec.origin
    return Program(code, spec.origin or name, "", module)


def _compiled(source: bytes, path: str) -> CodeType:
    try:
        return compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        end_as_python_does(sys.exc_info(), skip=2)


def run_program(program: Program, arguments: list[str]) -> NoReturn:
    """Run it as ``__main__`` and leave as it leaves: its exit code, its traceback, its interrupt."""
    sys.argv = [program.file, *arguments]
    if program.path and not getattr(sys.flags, "safe_path", False):
        sys.path[0] = program.path
    sys.modules["__main__"] = program.module
    try:
        exec(program.code, program.module.__dict__)  # noqa: S102 (this is the command's purpose)
    except SystemExit:
        raise
    except BaseException:
        end_as_python_does(sys.exc_info(), skip=1)
    raise SystemExit(0)


def end_as_python_does(raised: Any, skip: int) -> NoReturn:
    """Show the traceback without our own frames and end: exit code 1, or by the interrupt's signal."""
    kind, error, traceback = raised
    for _ in range(skip):
        traceback = traceback.tb_next if traceback is not None else None
    sys.excepthook(kind, error.with_traceback(traceback), traceback)
    if not issubclass(kind, KeyboardInterrupt):
        raise SystemExit(1)
    _end_by_interrupt()


def _end_by_interrupt() -> NoReturn:
    """As the interpreter ends after a Ctrl-C: exit functions, flushed streams, then the signal itself."""
    import atexit

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if os.name == "posix":
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    raise SystemExit(130)
