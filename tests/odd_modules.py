"""Modules that an inspection could leave something behind in: name -> a function that makes (module, arguments).

Each is made anew by its function; the globals of this module belong to their state.
"""

from __future__ import annotations

import functools
import random
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.utils.checkpoint import checkpoint

ODD: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = {}
COUNTER = 0
SEEN: list[Any] = []
TABLE: dict[str, Any] = {}
SCALE = nn.Parameter(torch.ones(4))
STEPS = torch.zeros(())
OUTSIDE = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
GENERATOR, PYTHON, NUMPY = torch.Generator(), random.Random(3), np.random.default_rng(3)  # noqa: S311


def x() -> torch.Tensor:
    return torch.randn(6, 4)


def odd(make: Callable[[], Any]) -> Callable[[], Any]:
    """Register a maker of a module that takes a (6, 4) batch, or of (module, arguments)."""

    def made() -> tuple[nn.Module, tuple[Any, ...]]:
        result = make()
        return result if isinstance(result, tuple) else (result, (x(),))

    ODD[make.__name__.strip("_")] = made
    return make


class Plain(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layer, self.act = nn.Linear(4, width), nn.ReLU()

    def forward(self, x):
        return self.act(self.layer(x))


def with_forward(forward: Callable[..., Any], **attributes: Any) -> nn.Module:
    """A `Plain` whose class has another forward."""
    module = type("Odd", (Plain,), {"forward": forward})()
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


@odd
def closure_over_a_module():
    old = nn.Linear(4, 4)
    return with_forward(lambda self, x: old(self.layer(x)), hidden=[weakref.ref(old)], keep=lambda: old)


@odd
def closure_over_a_batch_norm():
    norm = nn.BatchNorm1d(4)
    return with_forward(lambda self, x: norm(self.layer(x)), keep=lambda: norm)


@odd
def rebound_forward():
    module = Plain()
    old = module.forward

    def forward(x):
        module.calls = getattr(module, "calls", 0) + 1
        return old(x) * 2

    module.forward = forward
    return module


@odd
def rebound_with_wraps():
    module = Plain()

    @functools.wraps(module.forward)
    def forward(*args):
        SEEN.append(args)
        return type(module).forward(module, *args)

    module.forward = forward
    return module


@odd
def rebound_method():
    module = Plain()
    module.forward = types.MethodType(lambda self, x: self.layer(x) + self.layer.weight.sum(), module)
    return module


@odd
def rebound_partial():
    module = Plain()
    module.forward = functools.partial(lambda scale, x: module.layer(x) * scale, 3.0)
    return module


@odd
def recursive_closure():
    module = Plain()

    def forward(x, depth=2):
        return module.layer(x) if depth == 0 else forward(x, depth - 1) + x

    module.forward = forward
    return module


@odd
def nonlocal_counter():
    calls = 0

    def forward(self, x):
        nonlocal calls
        calls += 1
        return self.layer(x)

    return with_forward(forward, read=lambda: calls)


@odd
def caches_its_input():
    def forward(self, x):
        self.seen = x
        self.history.append(x)
        self.by_shape[x.shape] = x
        return self.layer(x)

    return with_forward(forward, seen=None, history=[], by_shape={})


@odd
def caches_in_a_deque():
    return with_forward(lambda self, x: (self.last.append(x), self.layer(x))[1], last=deque([1, 2], maxlen=2))


@odd
def caches_in_a_defaultdict():
    return with_forward(lambda self, x: (self.counts["x"].append(1), self.layer(x))[1], counts=defaultdict(list))


@odd
def reorders_a_dictionary_outside():
    recent = OrderedDict(a=1, b=2, c=3)

    def forward(self, x):
        self.holder.recent.move_to_end("a")
        self.holder.recent["d"] = x
        return self.layer(x)

    return with_forward(forward, holder=types.SimpleNamespace(recent=recent))


@odd
def holds_a_dead_proxy():
    gone = Cache()
    module = with_forward(
        lambda self, x: (self.cache.put(x), self.layer(x))[1], gone=weakref.proxy(gone), cache=Cache()
    )
    del gone
    return module


@odd
def caches_in_a_set():
    return with_forward(lambda self, x: (self.shapes.add(tuple(x.shape)), self.layer(x))[1], shapes={(1,)})


class Cache:
    def __init__(self) -> None:
        self.values, self.calls = [], 0

    def put(self, value):
        self.values.append(value)
        self.calls += 1
        self.fresh = value


class SlottedCache:
    __slots__ = ("calls", "value")

    def __init__(self) -> None:
        self.calls, self.value = 0, None


@odd
def caches_in_an_object():
    return with_forward(lambda self, x: (self.cache.put(x), self.layer(x))[1], cache=Cache())


@odd
def caches_in_a_slotted_object():
    def forward(self, x):
        self.cache.value, self.cache.calls = x, self.cache.calls + 1
        return self.layer(x)

    return with_forward(forward, cache=SlottedCache())


@odd
def caches_in_a_nested_object():
    return with_forward(
        lambda self, x: (self.holder.inner[0].put(x), self.layer(x))[1],
        holder=types.SimpleNamespace(inner=(Cache(), Cache())),
    )


@functools.lru_cache(maxsize=8)
def mask(size: int, device: str) -> torch.Tensor:
    return torch.ones(size, device=device)


@odd
def uses_a_cached_function():
    mask.cache_clear()
    return with_forward(lambda self, x: self.layer(x) * mask(4, str(x.device)))


@odd
def rebinds_a_global():
    def forward(self, x):
        global COUNTER
        COUNTER += 1
        return self.layer(x)

    return with_forward(forward)


@odd
def makes_a_global():
    def forward(self, x):
        global MADE
        MADE = x
        return self.layer(x)

    return with_forward(forward)


@odd
def appends_to_a_global():
    return with_forward(lambda self, x: (SEEN.append(x), TABLE.update(x=x), self.layer(x))[2])


@odd
def trains_a_global_parameter():
    return with_forward(lambda self, x: self.layer(x) * SCALE)


@odd
def counts_in_a_global_tensor():
    return with_forward(lambda self, x: (STEPS.add_(1), self.layer(x))[1])


@odd
def uses_a_global_module():
    return with_forward(lambda self, x: OUTSIDE(self.layer(x)))


@odd
def freezes_a_global_parameter():
    return with_forward(lambda self, x: (SCALE.requires_grad_(True), self.layer(x) * SCALE.detach())[1])


@odd
def counts_on_its_class():
    def forward(self, x):
        type(self).calls += 1
        type(self).last = x
        return self.layer(x)

    module = with_forward(forward)
    type(module).calls = 0
    return module


class Registered(Plain):
    made = 0

    def __new__(cls):
        cls.made += 1
        return super().__new__(cls)


@odd
def counts_its_instances():
    return Registered()


@odd
def needs_arguments_when_made():
    class Named(Plain):
        def __new__(cls, name):
            return super().__new__(cls)

        def __init__(self, name):
            super().__init__()
            self.name = name

    return Named("x")


@odd
def rewrites_a_buffer():
    def forward(self, x):
        self.mean.mul_(0.9).add_(0.1 * x.mean(0).detach())
        self.steps += 1
        return self.layer(x - self.mean)

    module = with_forward(forward)
    module.register_buffer("mean", torch.zeros(4))
    module.register_buffer("steps", torch.zeros((), dtype=torch.int64))
    return module


@odd
def replaces_a_buffer():
    module = with_forward(lambda self, x: (setattr(self, "mean", x.mean(0).detach()), self.layer(x))[1])
    module.register_buffer("mean", torch.zeros(4))
    return module


@odd
def averages_its_weights():
    def forward(self, x):
        with torch.no_grad():
            for average, weight in zip(self.average, self.layer.parameters(), strict=True):
                average.lerp_(weight, 0.1)
        return self.layer(x)

    return with_forward(forward, average=[torch.zeros(4, 4), torch.zeros(4)])


@odd
def batch_norm():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


@odd
def batch_norm_in_eval():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)).eval()


@odd
def lazy_layer():
    return nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2))


@odd
def creates_a_parameter():
    def forward(self, x):
        if not hasattr(self, "scale"):
            self.scale = nn.Parameter(torch.ones(x.shape[-1]))
        return self.layer(x) * self.scale

    return with_forward(forward)


@odd
def adds_a_layer():
    def forward(self, x):
        if "added" not in self._modules:
            self.added = nn.Linear(4, 4)
        return self.added(self.layer(x))

    return with_forward(forward)


@odd
def weight_norm():
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.ReLU())


@odd
def spectral_norm():
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 4)), nn.ReLU())


@odd
def orthogonal():
    return nn.Sequential(parametrizations.orthogonal(nn.Linear(4, 4)), nn.ReLU())


class Symmetric(nn.Module):
    def forward(self, weight):
        return weight.triu() + weight.triu(1).transpose(-1, -2)


@odd
def parametrized():
    module = Plain()
    parametrize.register_parametrization(module.layer, "weight", Symmetric())
    return module


@odd
def older_spectral_norm():
    return nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 4)))


@odd
def pruned():
    module = Plain()
    prune.l1_unstructured(module.layer, "weight", 0.5)
    return module


def _appends(*_: Any) -> None:
    SEEN.append("hook")


@odd
def hooks_of_all_kinds():
    module = Plain()
    module.register_forward_pre_hook(_appends)
    module.register_forward_hook(_appends)
    module.register_full_backward_hook(_appends)
    module.register_full_backward_pre_hook(_appends)
    module.register_state_dict_pre_hook(_appends)
    module.layer.weight.register_hook(_appends)
    module.layer.bias.register_post_accumulate_grad_hook(_appends)
    return module


@odd
def hooked_closure():
    old = nn.Linear(4, 4)
    old.weight.register_hook(_appends)
    old.bias.register_post_accumulate_grad_hook(_appends)
    return with_forward(lambda self, x: old(self.layer(x)), keep=lambda: old)


@odd
def hooks_itself_in_forward():
    def forward(self, x):
        self.layer.register_forward_hook(_appends)
        y = self.layer(x)
        y.register_hook(_appends)
        return y

    return with_forward(forward)


@odd
def shared_parameters():
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    module[2].weight = module[0].weight
    return module


@odd
def shared_module():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer)


@odd
def modules_in_a_list():
    return with_forward(
        lambda self, x: self.layers[1](self.layers[0](self.layer(x))), layers=[nn.Linear(4, 4), nn.ReLU()]
    )


@odd
def modules_in_an_ordered_dictionary():
    return with_forward(lambda self, x: self.parts["a"](self.layer(x)), parts=OrderedDict(a=nn.Linear(4, 4)))


@odd
def module_behind_an_object():
    return with_forward(lambda self, x: self.box.inner(self.layer(x)), box=types.SimpleNamespace(inner=nn.Linear(4, 4)))


@odd
def refers_to_its_parent():
    module = nn.Sequential(Plain(), Plain())
    module[0].__dict__["parent"] = module
    return module


class Forwarding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Plain()

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def forward(self, x):
        return self.act(self.layer(x))


@odd
def forwards_attributes():
    return Forwarding()


class Noting(Plain):
    def __setattr__(self, name, value):
        SEEN.append(name)
        super().__setattr__(name, value)

    def forward(self, x):
        self.last = x.shape
        return super().forward(x)


@odd
def notes_attributes():
    return Noting()


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        SEEN.append("backward")
        return 2 * ctx.saved_tensors[0] * gradient


@odd
def autograd_function():
    return with_forward(lambda self, x: Square.apply(self.layer(x)))


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x, scale)
        return x * scale

    @staticmethod
    def backward(ctx, gradient):
        x, scale = ctx.saved_tensors
        return gradient * scale, (gradient * x).sum(0)


@odd
def autograd_function_of_a_global():
    return with_forward(lambda self, x: Scaled.apply(self.layer(x), SCALE))


@odd
def checkpointed():
    return with_forward(lambda self, x: checkpoint(self.layer, x, use_reentrant=False))


@odd
def checkpointed_reentrant():
    return with_forward(lambda self, x: checkpoint(self.layer, self.layer(x), use_reentrant=True))


@odd
def checkpointed_reentrant_over_a_closure():
    old = nn.Linear(4, 4)
    return with_forward(
        lambda self, x: checkpoint(lambda y: old(y), self.layer(x), use_reentrant=True), keep=lambda: old
    )


@odd
def draws_random_numbers():
    def forward(self, x):
        scale = random.random() + np.random.rand() + torch.rand(())  # noqa: S311
        return F.dropout(self.layer(x)) * scale

    return with_forward(forward)


@odd
def draws_from_its_generators():
    def forward(self, x):
        noise = torch.rand(4, generator=self.torch_generator) if not isinstance(x, torch.Tensor) else x
        return self.layer(noise) * (self.python.random() + self.numpy.random() + PYTHON.random() + NUMPY.random())

    return with_forward(
        forward,
        torch_generator=torch.Generator(),
        python=random.Random(1),  # noqa: S311
        numpy=np.random.default_rng(1),
    )


@odd
def seeds_everything():
    def forward(self, x):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        return self.layer(x)

    return with_forward(forward)


@odd
def writes_to_an_array():
    def forward(self, x):
        self.counts[0] += 1
        return self.layer(x)

    return with_forward(forward, counts=np.zeros(3))


@odd
def changes_the_default_type():
    return with_forward(lambda self, x: (torch.set_default_dtype(torch.float64), self.layer(x))[1])


@odd
def switches_its_mode():
    return with_forward(lambda self, x: self.eval().layer(x))


@odd
def freezes_itself():
    return with_forward(lambda self, x: (self.layer.bias.requires_grad_(False), self.layer(x))[1])


@odd
def changes_its_own_weight():
    def forward(self, x):
        with torch.no_grad():
            self.layer.weight.clamp_(-0.1, 0.1)
            self.layer.bias.data = torch.zeros(4)
        return self.layer(x)

    return with_forward(forward)


@odd
def takes_its_own_step():
    def forward(self, x):
        y = self.layer(x)
        gradient = torch.autograd.grad(y.sum(), self.layer.weight, create_graph=True)[0]
        return F.linear(x, self.layer.weight - 0.1 * gradient)

    return with_forward(forward)


@odd
def runs_backward_itself():
    return with_forward(lambda self, x: (self.layer(x).sum().backward(), self.layer(x))[1])


@odd
def has_a_gradient_already():
    module = Plain()
    module(x()).sum().backward()
    return module


@odd
def compiled():
    return torch.compile(Plain())


@odd
def compiled_inside():
    return with_forward(lambda self, x: self.inner(self.layer(x)), inner=torch.compile(nn.Linear(4, 4)))


@odd
def compiled_in_place():
    module = Plain()
    module.compile()
    return module


@odd
def scripted():
    return torch.jit.script(nn.Linear(4, 4))


@odd
def scripted_inside():
    return nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.Linear(4, 4)))


@odd
def traced():
    return torch.jit.trace(nn.Linear(4, 4), torch.zeros(6, 4))


@odd
def data_parallel():
    return nn.DataParallel(Plain())


@odd
def takes_a_dictionary():
    return with_forward(lambda self, batch: self.layer(batch["x"])), (({"batch": {"x": x()}}),)


@odd
def changes_its_input():
    def forward(self, batch):
        batch["y"] = self.layer(batch.pop("x").mul(2))
        return batch["y"]

    return with_forward(forward), (({"batch": {"x": x()}}),)


@odd
def changes_its_input_tensor():
    return with_forward(lambda self, x: self.layer(x.mul_(2))), (x(),)


@odd
def wants_a_gradient_of_its_input():
    return Plain(), (x().requires_grad_(),)


@odd
def depends_on_values():
    def forward(self, x):
        self.cache.put(x)
        SEEN.append(1)
        STEPS.add_(1)
        self.mean.add_(x.mean(0))
        OUTSIDE(x)
        x = x.mul(2).add_(1)
        return self.layer(x[x > 0].reshape(-1, 1).expand(-1, 4)) * SCALE

    module = with_forward(forward, cache=Cache())
    module.register_buffer("mean", torch.zeros(4))
    return module


@odd
def raises_in_forward():
    def forward(self, x):
        self.cache.put(x)
        SEEN.append(x)
        raise ValueError("never")

    return with_forward(forward, cache=Cache())


@odd
def recurrent():
    return nn.LSTM(4, 5, 2, bidirectional=True, batch_first=True), (torch.randn(3, 7, 4),)


@odd
def attention():
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (torch.randn(2, 5, 8),)


@odd
def returns_an_object():
    return with_forward(lambda self, x: types.SimpleNamespace(mean=self.layer(x), more=[x]))


@odd
def returns_a_distribution():
    return with_forward(lambda self, x: torch.distributions.Normal(self.layer(x), 1.0))
