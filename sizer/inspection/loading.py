"""What `sizer inspect` can be pointed at: ``package.module:factory``, a Python file, and exported programs."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sizer.base.errors import SizerError, UsageError, did_you_mean

if TYPE_CHECKING:
    import torch
    from torch import nn

_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")
#: Functions without a return annotation that are taken to build a network, by their names.
_BUILDERS = re.compile(r"(make|build|create|get|new)(_|$)|(^|_)(net|network|model)($|_)", re.IGNORECASE)


def load_target(target: str, inputs: tuple[str, ...]) -> tuple[nn.Module, Any]:
    """The module that a target names, and what to call it with: tensors of the given shapes, the program's, or None.

    Raises UsageError for a target that is none, SizerError when the factory fails.
    """
    given = tuple(map(input_tensor, inputs))
    suffix = Path(target).suffix.lower()
    if suffix in _PICKLES:
        raise UsageError(
            f"{target}: a {suffix} file is a pickle, and loading one runs whatever code it holds; export the model "
            f"(torch.export.save to a .pt2 file), or name the function that builds it: package.module:factory"
        )
    if suffix == ".pt2":
        from sizer.inspection.exported_program import load_exported

        module, own = load_exported(Path(target))
        return module, given or own
    if suffix == ".py":
        target = f"{target}:{_only_builder(target)}"
    if ":" not in target:
        raise UsageError(
            f"{target!r} is nothing to inspect; expected package.module:factory, a file.py or file.pt2, or --mlp "
            f"784-512-10"
        )
    return _built(target), given or None


def input_tensor(text: str) -> torch.Tensor:
    """A meta tensor from ``256,784``, ``256x784`` or ``8,128:int64``."""
    import torch

    shape, _, name = text.partition(":")
    dtype = getattr(torch, name.strip() or "float32", None)
    sizes = [part.strip() for part in re.split(r"[,x\u00d7-]", shape.strip().strip("()[]").rstrip(","))]
    if not isinstance(dtype, torch.dtype) or not all(size.isdecimal() and len(size) < 16 for size in sizes):
        raise UsageError(
            f"input {text!r} is no shape; expected sizes with commas, and a type if not float32: 8,128:int64"
        )
    return torch.empty([int(size) for size in sizes], dtype=dtype, device="meta")


def _built(target: str) -> nn.Module:
    """The module of ``package.module:factory``: built on the meta device, for real where it needs values."""
    import torch

    made = named_function(target)
    if isinstance(made, torch.nn.Module):
        return made
    try:
        try:
            with torch.device("meta"):
                module = made()
        except Exception:  # whatever it needs values for (NumPy raises TypeError); a true error comes again
            module = made()
    except Exception as error:
        raise SizerError(f"{target} raised {type(error).__name__}: {' '.join(str(error).split())}") from error
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"{target} gave a {type(module).__name__}; expected a torch.nn.Module")
    return module


def named_function(target: str) -> Any:
    """What ``package.module:name`` or ``file.py:name`` names."""
    module_name, _, attribute = target.rpartition(":")
    module = _imported(module_name)
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is None or not callable(found):
        meant = did_you_mean(attribute, builders(module))
        raise UsageError(
            f"{module_name} has no function or class {attribute!r} that builds a module{'; ' + meant if meant else ''}"
        )
    return found


def _imported(name: str) -> ModuleType:
    """The module of a name, or of a file that ends in .py; its code runs."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return _of_file(Path(name)) if name.endswith(".py") else importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"cannot import {name!r}: {error}") from None
    except SizerError:
        raise
    except Exception as error:
        raise SizerError(f"importing {name} raised {type(error).__name__}: {error}") from error


def _of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    name = path.stem if path.stem.isidentifier() else "inspected"
    if (loaded := sys.modules.get(name)) is not None and getattr(loaded, "__file__", None) == str(path.resolve()):
        return loaded
    specification = importlib.util.spec_from_file_location(name, path.resolve())
    assert specification is not None  # (the name ends in .py)
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    if str(path.resolve().parent) not in sys.path:
        sys.path.insert(0, str(path.resolve().parent))  # (as Python does for a script: it may import its neighbours)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


def _only_builder(path: str) -> str:
    """The one thing in a file that builds a module. Raises UsageError, which names them, for none or several."""
    found = builders(_imported(path))
    if not found:
        raise UsageError(
            f"{path} has no class or function that builds a torch.nn.Module without arguments; write one, such as "
            f"def make(): return Net(64), and name it: {path}:make"
        )
    if len(found) > 1:
        raise UsageError(f"{path} has {', '.join(found)}; name one of them: {path}:{found[0]}")
    return found[0]


def builders(module: ModuleType) -> list[str]:
    """Names of what in a module builds a torch.nn.Module without arguments: modules, classes, functions; best first.

    A function counts when it is annotated to return a module, or called so (``make``, ``build_net``); none is called.
    A class that one of the modules is of is left out.
    """
    import torch

    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    ready = [name for name, value in own.items() if isinstance(value, torch.nn.Module)]
    defined = {name: value for name, value in own.items() if getattr(value, "__module__", None) == module.__name__}
    callable_ = {name: value for name, value in defined.items() if _needs_nothing(value)}
    functions = [name for name, value in callable_.items() if inspect.isfunction(value) and _builds(value)]
    made = {type(own[name]) for name in ready}
    classes = [name for name, value in callable_.items() if _is_module_class(value) and value not in made]
    return list(dict.fromkeys([*functions, *ready, *classes]))


def _is_module_class(value: Any) -> bool:
    import torch

    return inspect.isclass(value) and issubclass(value, torch.nn.Module)


def _needs_nothing(value: Any) -> bool:
    """Whether it can be called without arguments."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return False
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(one.default is not one.empty or one.kind in optional for one in parameters)


def _builds(function: Any) -> bool:
    returned = function.__annotations__.get("return")
    if returned is None:
        return bool(_BUILDERS.search(function.__name__))
    return _is_module_class(returned) or bool(re.search(r"Module|Net", str(returned)))
