"""Trainings that do something unusual to torch while the hook counts: they go on as without it, and it leaves."""

from __future__ import annotations

import contextlib
import sys
import threading

import pytest
import torch
from test_hook_whole_steps import digest, in_torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import sizer

ONE_STEP = 2880  # FLOPs of a step of `network` on 8 rows
FORWARD = 1344


def network():
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 1))


def loss_of(model):
    return model(torch.randn(8, 6)).square().mean()


def plain(model, optimizer):
    optimizer.zero_grad()
    loss_of(model).backward()
    optimizer.step()


def function_transforms(model, optimizer):
    parameters = dict(model.named_parameters())

    def loss(parameters, x):
        return torch.func.functional_call(model, parameters, (x,)).square().mean()

    torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, torch.randn(4, 1, 6))
    plain(model, optimizer)


def scripted(model, optimizer):
    optimizer.zero_grad()
    loss_of(torch.jit.script(model)).backward()
    optimizer.step()


def in_a_thread(model, optimizer):
    thread = threading.Thread(target=plain, args=(model, optimizer))
    thread.start()
    thread.join()


def optimizer_in_a_thread(model, optimizer):
    loss_of(model).backward()
    thread = threading.Thread(target=optimizer.step)
    thread.start()
    thread.join()
    optimizer.zero_grad()


def inside_a_mode(model, optimizer):
    with FlopCounterMode(display=False) as counter:
        loss = loss_of(model)
        loss.backward()
    assert counter.get_total_flops() == ONE_STEP
    optimizer.step()
    optimizer.zero_grad()


def around_its_step(model, optimizer):
    loss = loss_of(model)
    with FlopCounterMode(display=False) as counter:
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model(torch.randn(8, 6))
    assert counter.get_total_flops() == ONE_STEP
    optimizer.zero_grad()


def data_parallel(model, optimizer):
    plain(nn.DataParallel(model), optimizer)


def a_closure_that_raises(model, optimizer):
    with contextlib.suppress(ZeroDivisionError):
        optimizer.step(lambda: 1 / 0)
    plain(model, optimizer)


def anomaly_detection(model, optimizer):
    with torch.autograd.detect_anomaly(check_nan=True):
        plain(model, optimizer)


def two_gradients(model, optimizer):
    """As sharpness-aware training does."""
    optimizer.zero_grad()
    loss_of(model).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * parameter.grad)
    plain(model, optimizer)


def evaluation_in_inference_mode(model, optimizer):
    with torch.inference_mode():
        model(torch.randn(8, 6))
    plain(model, optimizer)


ODD = {
    function_transforms: None,
    scripted: None,
    in_a_thread: ONE_STEP,
    optimizer_in_a_thread: ONE_STEP,
    inside_a_mode: ONE_STEP,
    around_its_step: ONE_STEP,
    data_parallel: ONE_STEP,
    a_closure_that_raises: ONE_STEP,
    anomaly_detection: ONE_STEP,
    two_gradients: ONE_STEP,
    evaluation_in_inference_mode: ONE_STEP + FORWARD,
}


@pytest.fixture(autouse=True)
def nothing_compiled():
    """Where anything was compiled, FLOPs are those of the traced calls: what other tests compiled is forgotten."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


def train(step):
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(3):
        step(model, optimizer)
    return digest([model])


@pytest.mark.filterwarnings("ignore")  # torch's own, about TorchScript and anomalies
@pytest.mark.parametrize("step", ODD, ids=lambda step: step.__name__)
def test_an_odd_training_is_the_same_and_left(step):
    without, before = train(step), in_torch()
    watch = sizer.watch(quiet=True).start(look=False)
    with_hook = train(step)
    assert in_torch() == before
    watch.stop()
    assert with_hook == without
    assert watch.trained
    if ODD[step] is not None:
        assert sum(watch.record.flops) == ODD[step]


@pytest.mark.parametrize("dropout", [False, True])
def test_a_training_with_hooks_of_its_own_on_steps_goes_on(dropout, capsys):
    """Also where the report, made inside of the hook, has to call a copy of the model."""
    from torch.optim.optimizer import _global_optimizer_post_hooks, register_optimizer_step_post_hook

    model, told = network(), []
    if dropout:
        model.append(torch.nn.Dropout(0.1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sizer.watch():
        own = register_optimizer_step_post_hook(lambda *_: told.append(1))
        try:
            for _ in range(4):
                plain(model, optimizer)
        finally:
            own.remove()
        assert not _global_optimizer_post_hooks  # (the report is out, and so is the hook)
    assert len(told) == 4
    assert "sizer" in capsys.readouterr().err


def test_what_is_compiled_after_the_count_has_begun_is_compiled_as_without_the_hook(monkeypatch):
    checked = torch.distributions.Distribution._validate_args
    monkeypatch.setattr(
        torch.distributions.Distribution, "_validate_args", checked
    )  # (compiling turns it off for good)
    ran = []

    def backend(graph, inputs):
        def run(*args):
            ran.append(len(graph.graph.nodes))
            return graph.forward(*args)

        return run

    class Late(nn.Module):
        """Compiles its layers in its first call, as some libraries do."""

        def __init__(self):
            super().__init__()
            self.layers, self.compiled = network(), None

        def forward(self, x):
            if self.compiled is None:
                self.compiled = torch.compile(self.layers, backend=backend)
            return self.compiled(x)

    original = torch.compile
    with sizer.watch(quiet=True) as watched:
        model = Late()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(4):
            plain(model, optimizer)
    assert len(ran) == 4
    assert torch.compile is original
    assert watched.record is not None
    torch._dynamo.reset()


def test_an_optimizer_for_each_parameter_steps_inside_the_backward_pass(capsys):
    def train_so():
        torch.manual_seed(0)
        model = network()
        optimizers = {parameter: torch.optim.SGD([parameter], lr=0.1) for parameter in model.parameters()}

        def update(parameter):
            optimizers[parameter].step()
            optimizers[parameter].zero_grad()

        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(update)
        for _ in range(3):
            loss_of(model).backward()
        return digest([model])

    without = train_so()
    with sizer.watch() as watch:
        with_hook = train_so()
    assert with_hook == without
    assert sum(watch.record.flops) == ONE_STEP
    assert capsys.readouterr().err.count("working sets:") == 4
