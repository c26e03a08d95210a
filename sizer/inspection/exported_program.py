"""Exported programs (``.pt2``): the graph and the tensors' metadata from the archive's JSON, nothing else.

torch's own loader unpickles parts of the archive, which runs whatever code the file holds. Here only JSON is parsed and
only aten operators are looked up; they run on fake tensors. The weights are never read.
"""

from __future__ import annotations

import functools
import itertools
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sizer.base.archives import ARCHIVE_ERRORS, check_unpacked, read_json
from sizer.base.errors import UsageError
from sizer.inspection.safe_program import operator

#: The largest program text that is read: a 70-billion-parameter language model's has a few MiB.
MAX_PROGRAM_BYTES = 2**28

#: Numbers of torch's serialised types (torch/_export/serde/schema.py).
_TYPES = dict(
    enumerate(
        (
            *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32),
            *(torch.float64, torch.complex32, torch.complex64, torch.complex128, torch.bool, torch.bfloat16),
        ),
        start=1,
    )
)
_FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format}


class _UnknownError(Exception):
    """The program uses something that this reader does not know."""


def load_exported(path: Path) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A module that computes the exported program, its parameters on the meta device, and example inputs for it.

    Raises UsageError for a file that is no such archive, or a program with operators or arguments unknown here.
    """
    program, weights = _read_program(path)
    try:
        return _Program(program, weights).build()
    except _UnknownError as reason:
        raise UsageError(
            f"{path.name}: {reason}, which cannot be inspected; inspect the module it was exported from"
        ) from None
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{path.name} holds no exported program of a known format ({type(error).__name__}: {error})"
        ) from None


def _read_program(path: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """The program, and the file of each parameter's weights: what shares a file is one parameter."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [item for item in archive.infolist() if item.filename.endswith((_NEW, _OLD))]
            if not names:
                raise UsageError(
                    f"{path.name} holds no exported program (no {_NEW.lstrip('/')}); save it with torch.export.save"
                )
            check_unpacked(archive, path.stat().st_size)
            program = read_json(archive, names[0].filename, MAX_PROGRAM_BYTES)
            weights = _weight_files(archive)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except ARCHIVE_ERRORS as error:
        raise UsageError(f"{path.name} is no .pt2 archive ({' '.join(str(error).split())})") from None
    if not isinstance(program, dict):
        raise UsageError(f"{path.name} holds no exported program of a known format")
    return program, weights


def _weight_files(archive: zipfile.ZipFile) -> dict[str, str]:
    for item in archive.infolist():
        if item.filename.endswith("weights/model_weights_config.json"):
            entries = read_json(archive, item.filename, MAX_PROGRAM_BYTES).get("config", {})
            return {name: entry["path_name"] for name, entry in entries.items() if "path_name" in entry}
    return {}


_NEW, _OLD = "models/model.json", "serialized_exported_program.json"


class _Part(nn.Module):
    """Some successive nodes of one layer: tensors from outside in, everything they produce out."""

    def forward(self, run: Any, *tensors: torch.Tensor) -> Any:  # noqa: ARG002 (they are there for who watches)
        """Run the nodes."""
        return run()


class _Program:
    """An exported program in JSON form."""

    def __init__(self, program: Mapping[str, Any], weights: Mapping[str, str]) -> None:
        graph_module = program["graph_module"]
        self.graph = graph_module["graph"]
        self.input_specs = graph_module["signature"]["input_specs"]
        self.root = _Exported(self)
        self.weights = weights
        self.parameters: dict[str, nn.Parameter] = {}
        self.user_inputs: list[str] = []
        self.used: list[set[str]] = []

    def build(self) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        """The module and its example inputs."""
        steps = [(_layer_of(node), node) for node in self.graph["nodes"]]
        for _, node in steps:
            _operator(node["target"])  # refuse early what cannot run
        for (name, kind), _ in steps:
            _part(self.root, name, kind)
        for spec in self.input_specs:
            self._input(spec)
        grouped = itertools.groupby(steps, key=lambda step: step[0][0])
        self.root.steps = [(name, [node for _, node in group]) for name, group in grouped]
        self.used = [{name for node in nodes for name in _inputs(node)} for _, nodes in self.root.steps]
        self.used.append({name for argument in self.graph["outputs"] for name in _names(argument)})
        return self.root, tuple(self.meta(name) for name in self.user_inputs)

    def _input(self, spec: Mapping[str, Any]) -> None:
        (kind, content), *_ = spec.items()
        if kind in ("parameter", "buffer", "tensor_constant"):
            self._own(content["arg"]["name"], content[f"{kind}_name"], is_parameter=kind == "parameter")
        elif kind != "user_input":
            raise _UnknownError(f"it takes an input of kind {kind}")
        elif "as_tensor" not in content["arg"]:
            raise _UnknownError(f"it takes an input that is no tensor ({next(iter(content['arg']))})")
        else:
            self.user_inputs.append(content["arg"]["as_tensor"]["name"])

    def _own(self, name: str, path: str, is_parameter: bool) -> None:
        owner, _, attribute = path.rpartition(".")
        tensor = self.meta(name)
        part = _part(self.root, owner, "Module")
        if is_parameter:
            made = nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)
            part.register_parameter(attribute, self.parameters.setdefault(self.weights.get(path, path), made))
        else:
            part.register_buffer(attribute, tensor)
        self.root.names[name] = path

    def meta(self, name: str) -> torch.Tensor:
        """A tensor of the program on the meta device."""
        described = self.graph["tensor_values"][name]
        sizes, strides = ([self.whole(size) for size in described[field]] for field in ("sizes", "strides"))
        made = torch.empty_strided(sizes, strides, dtype=_TYPES[described["dtype"]], device="meta")
        return made.requires_grad_(bool(described["requires_grad"]))

    def whole(self, value: Mapping[str, Any]) -> int:
        """A size: a number, or the example's value of a dynamic dimension."""
        if "as_int" in value:
            return int(value["as_int"])
        if "as_name" in value:
            return self.whole(self.graph["sym_int_values"][value["as_name"]])
        hint = value["as_expr"].get("hint")
        if hint is None:
            raise _UnknownError(f"it has a dynamic size {value['as_expr'].get('expr_str')} without an example value")
        return int(hint["as_int"])

    def value(self, argument: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        """An argument of a node."""
        (kind, content), *_ = argument.items()
        if kind in ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string", "as_strings"):
            return content
        readers: dict[str, Callable[[], Any]] = {
            "as_none": lambda: None,
            "as_tensor": lambda: values[content["name"]],
            "as_tensors": lambda: [values[one["name"]] for one in content],
            "as_optional_tensors": lambda: [self.value(one, values) for one in content],
            "as_optional_tensor": lambda: self.value(content, values),
            "as_sym_int": lambda: self.whole(content),
            "as_sym_ints": lambda: [self.whole(one) for one in content],
            "as_scalar_type": lambda: _TYPES[content],
            "as_memory_format": lambda: _FORMATS[content],
            "as_layout": lambda: torch.strided,
            "as_device": lambda: torch.device("cpu"),
        }
        if kind not in readers:
            raise _UnknownError(f"it has an argument of kind {kind}")
        return readers[kind]()

    def run(self, nodes: Sequence[Mapping[str, Any]], values: dict[str, Any], used_later: set[str]) -> list[Any]:
        """Run some nodes on the values so far; what later nodes use of what these produce."""
        produced: dict[str, Any] = {}
        for node in nodes:
            given = [(one.get("kind") == 2, one["name"], self.value(one["arg"], values)) for one in node["inputs"]]
            args = [value for by_name, _, value in given if not by_name]
            result = _operator(node["target"])(*args, **{name: value for by_name, name, value in given if by_name})
            several = isinstance(result, (tuple, list)) and "as_tensors" not in node["outputs"][0]
            for output, one in zip(node["outputs"], result if several else [result], strict=False):
                produced.update(zip(_names(output), one if "as_tensors" in output else [one], strict=False))
            values.update(produced)
        return [value for name, value in produced.items() if name in used_later]


class _Exported(nn.Module):
    """Runs an exported program node by node, each under the module it came from."""

    def __init__(self, program: _Program) -> None:
        super().__init__()
        self.program = program
        self.names: dict[str, str] = {}
        self.steps: list[tuple[str, list[Mapping[str, Any]]]] = []

    def forward(self, *inputs: torch.Tensor) -> tuple[Any, ...]:
        """The program's user outputs."""
        named = (self.named_parameters(remove_duplicate=False), self.named_buffers(remove_duplicate=False))
        own = dict(itertools.chain(*named))
        values: dict[str, Any] = dict(zip(self.program.user_inputs, inputs, strict=True))
        values |= {name: own[path] for name, path in self.names.items()}
        parts = dict(self.named_modules(remove_duplicate=False))
        for index, (name, nodes) in enumerate(self.steps):
            run = functools.partial(self.program.run, nodes, values, set().union(*self.program.used[index + 1 :]))
            if name:
                used = [values.get(given) for given in {given for node in nodes for given in _inputs(node)}]
                parts[name](run, *(tensor for tensor in used if isinstance(tensor, torch.Tensor)))
            else:
                run()
        outputs = (argument for argument in self.program.graph["outputs"] if "as_tensor" in argument)
        return tuple(values[argument["as_tensor"]["name"]] for argument in outputs)


def _inputs(node: Mapping[str, Any]) -> Iterator[str]:
    for one in node["inputs"]:
        yield from _names(one["arg"])


def _names(argument: Mapping[str, Any]) -> Iterator[str]:
    (kind, content), *_ = argument.items()
    if kind == "as_tensor":
        yield content["name"]
    elif kind == "as_tensors":
        yield from (one["name"] for one in content)
    elif kind in ("as_optional_tensors", "as_optional_tensor"):
        for one in content if isinstance(content, list) else [content]:
            yield from _names(one)


def _operator(target: str) -> Any:
    try:
        return operator(target)
    except ValueError as reason:
        raise _UnknownError(str(reason)) from None


def _layer_of(node: Mapping[str, Any]) -> tuple[str, str]:
    """Name and kind of the innermost module that a node came from: the last of ``key,path,class;key,path,class``."""
    stack = node.get("metadata", {}).get("nn_module_stack", "")
    _, path, kind = [*stack.split(";")[-1].split(","), "", ""][:3]
    return path.replace("L['self'].", "").replace("L['self']", ""), kind.rpartition(".")[2] or "Module"


def _part(root: nn.Module, path: str, kind: str) -> nn.Module:
    """The stand-in of a module, made with those above it where it is not there; ``kind`` is the original's class."""
    part = root
    names = path.split(".") if path else []
    for depth, name in enumerate(names):
        if name not in part._modules:
            part.add_module(name, type(kind if depth == len(names) - 1 else "Module", (_Part,), {})())
        part = part._modules[name]  # type: ignore[assignment]
    return part
