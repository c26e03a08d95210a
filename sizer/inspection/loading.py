"""What `sizer inspect` can be pointed at: ``package.module:factory`` and exported programs."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sizer.base.errors import SizerError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")


def load_target(target: str, inputs: tuple[str, ...]) -> tuple[nn.Module, Any]:
    """The module that a target names, and what to call it with: tensors of the given shapes, the program's, or None.

    Raises UsageError for a target that is none, SizerError when the factory fails.
    """
    given = tuple(map(_tensor, inputs))
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
    if ":" not in target:
        raise UsageError(
            f"{target!r} is nothing to inspect; expected package.module:factory, a file.pt2, or --mlp 784-512-10"
        )
    return _built(target), given or None


def _tensor(text: str) -> torch.Tensor:
    """A meta tensor from ``256,784`` or ``8,128:int64``."""
    import torch

    shape, _, name = text.partition(":")
    dtype = getattr(torch, name or "float32", None)
    sizes = [part.strip() for part in shape.split(",")]
    if not isinstance(dtype, torch.dtype) or not all(size.isdecimal() and len(size) < 16 for size in sizes):
        raise UsageError(
            f"input {text!r} is no shape; expected sizes with commas, and a type if not float32: 8,128:int64"
        )
    return torch.empty([int(size) for size in sizes], dtype=dtype, device="meta")


def _built(target: str) -> nn.Module:
    """The module of ``package.module:factory``: built on the meta device, for real where it needs values."""
    import torch

    made = _found(target)
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


def _found(target: str) -> Any:
    module_name, _, attribute = target.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(f"cannot import {module_name!r}: {error}") from None
    except Exception as error:
        raise SizerError(f"importing {module_name} raised {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is None or not callable(found):
        raise UsageError(f"{module_name} has no function or class {attribute!r} that builds a module")
    return found
