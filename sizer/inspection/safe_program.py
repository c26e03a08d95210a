"""Whether an exported program of somebody else's does arithmetic alone: asked before PyTorch loads it.

torch.export.load runs more than operators: it evaluates the text of sizes (sympy), compiles guards, unpickles custom
objects, and calls whatever attribute of torch a node names (``torch.os.system`` is one). What `sizer` and others export
of networks needs none of it, so a program with any of it is refused. Reads JSON; nothing of the file is run here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

_ATEN = re.compile(r"torch\.ops\.aten\.([A-Za-z_]\w*)\.(\w+)")
#: Arguments of nodes that are no tensors or numbers, but code or objects.
_CODE = ("as_operator", "as_graph", "as_custom_obj", "as_opaque")
#: A size is a number or an expression of symbols, as sympy's constructors write them.
_SIZE = re.compile(r"(?:'[a-z]{1,4}\d{1,9}'|[A-Za-z]\w*|\d{1,15}|[(), =+*-])*")
_SIZE_WORDS = frozenset(
    [
        "Symbol",
        "Integer",
        "Add",
        "Mul",
        "FloorDiv",
        "CleanDiv",
        "Mod",
        "PythonMod",
        "Max",
        "Min",
        "True",
        "False",
        "positive",
        "nonnegative",
        "integer",
        "real",
        "finite",
        "zero",
    ]
)
_SYMBOL = re.compile(r"[a-z]{1,4}\d{1,9}")
_LONGEST_SIZE = 1000
#: Files of tensors' bytes, which are not unpickled whatever the archive says of them.
_TENSOR_FILE = re.compile(r"(?:weight|tensor)_\d{1,9}")


def check_arithmetic(program: Any) -> None:
    """Raises ValueError, with what it is, for a program that is more than operators of aten on tensors and numbers."""
    for name, value in _fields(program):
        if name == "guards_code" and value:
            raise ValueError("it holds guards, which are code")
        if name in _CODE:
            raise ValueError(f"it has an argument that is code or an object ({name})")
        if name == "expr_str":
            _check_size(value)
        if isinstance(value, Mapping) and "target" in value and "inputs" in value:
            operator(str(value["target"]))


def check_tensor_files(config: Any) -> None:
    """Raises ValueError for an archive's list of weights or constants that names anything but tensors' bytes."""
    entries = config.get("config", {}) if isinstance(config, Mapping) else None
    if not isinstance(entries, Mapping):
        raise ValueError("its list of weights is none")  # noqa: TRY004 (as everything else that is refused)
    for name, entry in entries.items():
        if entry.get("use_pickle", True) or not _TENSOR_FILE.fullmatch(str(entry.get("path_name"))):
            raise ValueError(f"{str(name)[:60]} is pickled, or no tensor")


def operator(target: str) -> Any:
    """The operator of aten that a node names. Raises ValueError for anything else, and for one that opens files."""
    found = _ATEN.fullmatch(target)
    if found is None:
        raise ValueError(f"it uses {target[:80]}")
    try:
        operator = getattr(getattr(torch.ops.aten, found[1]), found[2])
        arguments = operator._schema.arguments
    except (AttributeError, RuntimeError):
        raise ValueError(f"it uses {target[:80]}, unknown to this PyTorch {torch.__version__}") from None
    if any("file" in argument.name for argument in arguments):
        raise ValueError(f"it uses {target[:80]}, which opens a file")
    return operator


def _check_size(text: Any) -> None:
    plain = str(text)
    words = re.findall(r"[A-Za-z]\w*", plain)
    is_known = all(word in _SIZE_WORDS or _SYMBOL.fullmatch(word) for word in words)
    if len(plain) > _LONGEST_SIZE or "**" in plain or not is_known or not _SIZE.fullmatch(plain):
        raise ValueError(f"a size in it is no expression of sizes ({plain[:60]!r})")


def _fields(value: Any) -> Iterator[tuple[str | None, Any]]:
    """Every (name, value) in JSON data, at any depth, without recursion."""
    waiting: list[tuple[str | None, Any]] = [(None, value)]
    while waiting:
        name, item = waiting.pop()
        yield name, item
        if isinstance(item, Mapping):
            waiting.extend(item.items())
        elif isinstance(item, list):
            waiting.extend((None, one) for one in item)
