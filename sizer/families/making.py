"""Members of a family: built on the meta device to be traced, or for real to be timed; and a step of one.

Building runs the user's code, as inspecting a module does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from sizer.base.errors import SizerError, UsageError
from sizer.calibration.timed_step import make_optimizer
from sizer.families.request import FamilyRequest, with_values
from sizer.inspection.checks import Loss
from sizer.inspection.counts import StepSettings
from sizer.inspection.loading import input_tensor
from sizer.inspection.module import step_settings
from sizer.inspection.tracing import differentiable
from sizer.method.training_step import OPTIMIZER_MOMENTS, known_as

#: Whole numbers that go in are drawn below the smallest table that they may index, else below this: class labels.
_SMALLEST_TABLE = 2


@dataclass(frozen=True)
class Family:
    """A function that builds modules, and how a step of each is called.

    ``example`` is None where the request's shapes say what goes in, else a tensor, a tuple or a mapping of them, or a
    function of the varied values that gives one. ``make_optimizer`` makes one of parameters, None for one by name.
    """

    request: FamilyRequest
    make: Callable[..., Any]
    example: Any = None
    loss: Loss | None = None
    make_optimizer: Callable[..., torch.optim.Optimizer] | None = None

    def built(self, values: Sequence[int]) -> nn.Module:
        """A member, on the device that torch makes tensors on now.

        Raises SizerError when ``make`` does, UsageError when it gives something else.
        """
        named = self.request.named(values)
        try:
            module = self.make(**named)
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise SizerError(f"it cannot be built: {type(error).__name__}: {said}") from error
        if not isinstance(module, nn.Module):
            raise UsageError(f"{self.request.target} gave a {type(module).__name__}; expected a torch.nn.Module")
        return module

    def outlined(self, values: Sequence[int]) -> nn.Module:
        """A member without memory for its parameters, on the meta device; for real where building needs values."""
        try:
            with torch.device("meta"):
                return self.built(values)
        except SizerError:  # whatever it needs values for; a true error comes again
            return self.built(values)

    def settings(self, module: nn.Module, values: Sequence[int]) -> StepSettings:
        """How a member is called; tensors of shapes are on the meta device."""
        example = self.example
        if example is None:
            named = self.request.named(values)
            shapes = [with_values(shape, named) for shape in self.request.inputs]
            example = tuple(map(input_tensor, shapes)) or None
        elif callable(example) and not isinstance(example, torch.Tensor):
            example = example(*values)
        return step_settings(module, example, None, self.loss, self.request.dtype)

    def optimizer_like(self, module: nn.Module) -> Any:
        """The optimizer by name, or one of its kind that holds the module's parameters, wherever these are."""
        if self.make_optimizer is None:
            return self.request.optimizer
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        try:
            return self.make_optimizer(trained)
        except RuntimeError:  # a fused form has no parameters on the meta device
            made = self.make_optimizer([nn.Parameter(torch.zeros(1))])
        made.param_groups = [{**made.param_groups[0], "params": trained}]
        return made

    def optimizer_of(self, module: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of a module that is there for real; one by name in torch's fused form."""
        if self.make_optimizer is None:
            return make_optimizer(module, self.request.optimizer)
        return self.make_optimizer([parameter for parameter in module.parameters() if parameter.requires_grad])


def parameters_of(make: Callable[..., Any]) -> tuple[str, ...]:
    """Names of what a function takes, those without a default first; none where it takes any."""
    try:
        found = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return ()
    if any(one.kind is one.VAR_KEYWORD for one in found):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [one for one in found if one.kind in kinds]
    return tuple(one.name for one in sorted(known, key=lambda one: one.default is not one.empty))


def defaults_of(make: Callable[..., Any], names: Sequence[str]) -> tuple[int, ...] | None:
    """The values that parameters have where nothing is given, the size that is trained now; None where one has none."""
    try:
        found = inspect.signature(make).parameters
    except (TypeError, ValueError):
        return None
    values = [found[name].default if name in found else None for name in names]
    whole = [value for value in values if isinstance(value, int) and not isinstance(value, bool) and value > 0]
    return tuple(whole) if len(whole) == len(names) else None


def as_optimizer(optimizer: Any) -> tuple[str, Callable[..., torch.optim.Optimizer] | None]:
    """The name of an optimizer, and the function that makes it where it is no name that sizer knows.

    Raises UsageError for an optimizer of one module: each member needs its own.
    """
    if optimizer is None:
        return "adam", None
    if isinstance(optimizer, str):
        if (name := known_as(optimizer, OPTIMIZER_MOMENTS)) is not None:
            return name, None
        raise UsageError(f"optimizer is {optimizer!r}; expected one of {', '.join(OPTIMIZER_MOMENTS)}")
    if callable(optimizer) and not isinstance(optimizer, torch.optim.Optimizer):
        inner = optimizer.func if isinstance(optimizer, partial) else optimizer
        return getattr(inner, "__name__", type(inner).__name__), optimizer
    raise UsageError(
        f"optimizer is a {type(optimizer).__name__} of one module; give its name, or a function of parameters that "
        f"makes one, such as functools.partial(torch.optim.AdamW, lr=1e-3)"
    )


def training_step(family: Family, values: Sequence[int], device: str) -> Callable[[], None]:
    """A function that trains a member for one step each time it is called, on tensors that are there for real."""
    module = family.built(values).to(device)
    settings = family.settings(module, values)
    fill = partial(_filled, most=_table_rows(module, settings), device=device)
    args, kwargs = tree_map(lambda leaf: fill(leaf) if isinstance(leaf, torch.Tensor) else leaf, _arguments(settings))
    optimizer, loss = family.optimizer_of(module), family.loss
    kind = torch.device(device).type
    cast = nullcontext() if settings.autocast is None else torch.autocast(kind, dtype=settings.autocast)
    target: torch.Tensor | None = None

    def step() -> None:
        nonlocal target
        optimizer.zero_grad(set_to_none=True)
        with cast:
            output = module(*args, **kwargs)
            if loss is None:
                starts = differentiable(output)
            elif loss.make_target is None:
                starts = [loss.function(output)]
            else:
                target = loss.make_target(output) if target is None else target
                starts = [loss.function(output, target)]
        torch.autograd.backward(starts, [torch.ones_like(start) for start in starts])
        optimizer.step()

    return step


def _arguments(settings: StepSettings) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    return settings.args, settings.kwargs


def _filled(tensor: torch.Tensor, most: int, device: str) -> torch.Tensor:
    """The tensor on a device; one of which only the shape is known with random values."""
    if not tensor.is_meta:
        return tensor.detach().to(device).requires_grad_(tensor.requires_grad)
    draw = torch.Generator().manual_seed(0)
    if tensor.is_floating_point() or tensor.is_complex():
        return torch.randn(tensor.shape, dtype=tensor.dtype, generator=draw).to(device)
    if tensor.dtype == torch.bool:
        return torch.ones(tensor.shape, dtype=torch.bool, device=device)
    return torch.randint(most, tensor.shape, dtype=tensor.dtype, generator=draw).to(device)


def _table_rows(module: nn.Module, settings: StepSettings) -> int:
    """Whole numbers below this are valid for everything that they may index: tables, and rows of what goes in."""
    tables = [part.num_embeddings for part in module.modules() if isinstance(part, (nn.Embedding, nn.EmbeddingBag))]
    rows = [
        leaf.shape[0]
        for leaf in tree_leaves(_arguments(settings))
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.dim() > 1
    ]
    return min([*tables, *(rows if not tables else ())], default=_SMALLEST_TABLE)
