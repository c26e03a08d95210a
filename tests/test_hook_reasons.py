"""What the hook says where there is little to report, when it leaves, and where a step's time goes."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import sys
import time
import weakref
from importlib.resources import files

import jsonschema
import pytest
import torch
from test_hook_whole_steps import in_torch
from torch import nn

import sizer
from sizer.hook import blocks, watching
from sizer.hook.watching import Watch
from sizer.report.hook import training_text
from sizer.script_runs.measuring import StepClock
from sizer.script_runs.script import when_torch_is_imported


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
        self.scale = nn.Parameter(torch.ones(1))

    def act(self, x):
        return self.part(x) * self.scale


def train(model, optimizer, call=None, steps=1):
    for _ in range(steps):
        optimizer.zero_grad()
        (call or model)(torch.rand(16, 6)).square().mean().backward()
        optimizer.step()


def words(capsys):
    return " ".join(capsys.readouterr().err.replace("sizer:", "").split())


def test_advise_on_a_model_trained_through_a_method_reports_after_one_step_and_is_gone(capsys):
    before, agent = in_torch(), Agent()
    optimizer = torch.optim.Adam(agent.parameters())
    sizer.advise(agent, optimizer)
    train(agent, optimizer, agent.act)
    assert in_torch() == before
    said = words(capsys)
    assert said.startswith("Agent 6-8-2, 74 parameters, all trained")
    assert "covers 99 % of what adam trains: 74 of 75 parameters" in said


def test_advise_on_a_model_that_is_never_called_warns_and_is_gone(capsys):
    before, agent = in_torch(), Agent()
    optimizer = torch.optim.Adam(agent.parameters())
    sizer.advise(agent, optimizer)
    for _ in range(watching.MAX_WITHOUT_CALL):
        (agent.scale * 2).sum().backward()
        optimizer.step()
    assert in_torch() == before
    assert "nothing that it trains was called as a module" in words(capsys)


def test_after_200_calls_without_a_step_it_warns_and_is_gone(capsys):
    before, model = in_torch(), nn.Linear(6, 1)
    watch = Watch().start(look=False)
    calls, until = 0, time.monotonic() + 20  # (a hook that stays notes every call, and each costs more than the last)
    while in_torch() != before and calls < 250 and time.monotonic() < until:
        model(torch.rand(2, 6)).sum().backward()
        calls += 1
    if calls != 200:
        watch.stop()
    assert calls == 200
    watch.stop()
    watch.say_if_nothing_trained()
    why = "Linear was called 200 times with gradients on, and none of torch's optimizers stepped"
    assert words(capsys) == f"warning: {why}; the hook is gone"


def evaluated(model):
    with torch.no_grad():
        model(torch.rand(2, 6))


def stepped(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.weight.grad = torch.ones_like(model.weight)
    optimizer.step()


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (lambda _: None, "no module was called and no optimizer stepped in this process"),
        (evaluated, "modules were called with gradients off or everything frozen (1 in all)"),
        (stepped, "an optimizer stepped, and no module that it trains was called with gradients on"),
        (lambda model: model(torch.rand(2, 6)), "Linear was called 1 time with gradients on, and none of torch's"),
    ],
)
def test_no_training_step_was_seen_says_why(capsys, action, why):
    with Watch() as watch:
        action(nn.Linear(6, 1))
    assert watch.record is None
    assert f"no training step was seen: {why}" in words(capsys)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_only_the_first_rank_prepares_and_speaks(rank, monkeypatch, capsys):
    """Each process of a distributed training would read, trace and say the same."""
    monkeypatch.setenv("RANK", rank)
    prepared = []
    monkeypatch.setattr(blocks, "prepare", prepared.append)
    with Watch(measure=1):
        pass
    model = nn.Linear(6, 1)
    with Watch(model=model):
        train(model, torch.optim.SGD(model.parameters(), lr=0.1))
    first = rank == "0"
    assert prepared == [None, model] * first
    said = words(capsys)
    assert ("no training step was seen" in said) == first
    assert ("working sets" in said) == first


def test_children_that_may_have_trained_are_named(monkeypatch):
    times = type("times", (), {"children_user": 12.3})
    monkeypatch.setattr(blocks.os, "times", lambda: times)
    assert "child processes used 12 s and may have trained" in blocks.why_nothing(None)


def test_a_weak_proxy_to_the_dead_does_not_stop_it(capsys):
    class Thing:
        pass

    thing = Thing()
    proxies = [weakref.proxy(thing)]
    del thing
    gc.collect()
    model = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Watch() as watch:  # looks through all objects, under this suite's -W error
        train(model, optimizer, steps=2)
    assert watch.record is not None
    assert len(proxies) == 1
    assert "warning" not in capsys.readouterr().err


def test_asking_whether_torch_is_there_changes_nothing(monkeypatch):
    called = []
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    torch_modules = {name: sys.modules[name] for name in list(sys.modules) if name == "torch"}
    for name in torch_modules:
        monkeypatch.delitem(sys.modules, name)
    when_torch_is_imported(lambda: called.append(1))
    for _ in range(2):
        assert importlib.util.find_spec("torch").origin == torch.__spec__.origin
    assert called == []
    waiting = sys.meta_path[0]
    spec = waiting.find_spec("torch")
    spec.loader._loader = type("Loader", (), {"exec_module": staticmethod(lambda module: None)})
    spec.loader.exec_module(type(sys)("torch"))
    assert called == [1]
    assert waiting not in sys.meta_path


class SlowData(torch.utils.data.Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        time.sleep(0.004)
        return torch.rand(6)


def test_a_script_that_waits_for_its_loader_is_told_so_first(capsys):
    model = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Watch(measure=8) as watch:
        for batch in torch.utils.data.DataLoader(SlowData(), batch_size=4):
            train(model, optimizer, lambda _, batch=batch: model(batch))
    said = words(capsys)
    shares = watch.record.measured.shares
    assert said.startswith(f"{100 * shares['waiting']:.0f} % of the time goes into waiting for data")
    assert sum(shares.values()) == pytest.approx(1)
    assert watch.measured_s == watch.record.measured.time_per_step_s > 0.004


def test_a_measured_step_is_from_one_step_of_the_same_optimizer_to_its_next():
    first, second = nn.Linear(6, 1), nn.Linear(6, 1)
    optimizers = torch.optim.SGD(first.parameters(), lr=0.1), torch.optim.SGD(second.parameters(), lr=0.1)
    with Watch(measure=5, quiet=True) as watch:
        for _ in range(9):
            train(first, optimizers[0])
            time.sleep(0.02)
            train(second, optimizers[1])
    measured = watch.record.measured
    assert measured.steps == 5
    assert measured.time_per_step_s > 0.02
    assert measured.shares["others"] > 0.5


def test_time_is_charged_to_the_innermost_part_and_never_twice(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr("sizer.script_runs.measuring.time.perf_counter", lambda: float(next(now)))
    clock = StepClock()
    optimizer = clock.enter("optimizer")  # after 1 s of rest
    clock.leave(clock.enter("forward"))  # 1 s of the optimizer, 1 s forward
    clock.leave(optimizer)
    clock.end_of_step()
    clock.end_of_others()
    clock.end_of_step()
    clock.end_of_step(whole=False)
    assert clock.steps() == [(0, 1, 0, 2, 0, 2), (0, 0, 0, 0, 1, 1)]


def test_the_record_is_one_of_its_schema(capsys):
    parts = nn.Linear(6, 8), nn.Linear(6, 4)
    optimizer = torch.optim.Adam([*parts[0].parameters(), *parts[1].parameters()])
    with Watch(measure=2) as watch:
        train(None, optimizer, lambda x: torch.cat([part(x) for part in parts], 1), steps=5)
    schema = json.loads(files("sizer.schemas").joinpath("module-1.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(watch.record.to_json()), schema)
    assert [part.widths for part in watch.record.step.parts] == [(6, 8), (6, 4)]
    assert training_text([watch.record]).count("part Linear") == 2


@pytest.mark.parametrize("frozen", [True, False])
def test_why_there_is_no_prediction(frozen):
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    model[0].requires_grad_(not frozen)
    x = torch.rand(4, 6, requires_grad=not frozen)
    with Watch(quiet=True) as watch:
        train(model, torch.optim.SGD(model[2].parameters(), lr=0.1), lambda _: model(x))
    expected = "some of the parameters are frozen" if frozen else "the input requires a gradient"
    assert expected in watch.record.outside


def test_a_batch_is_not_advised_without_a_predicted_effect():
    model = nn.Sequential(nn.Linear(64, 512), nn.Tanh(), nn.Linear(512, 1))
    record = sizer.inspect(model, torch.empty(4000, 64))
    assert record.outside is not None
    assert [advice for advice in record.advice if advice.kind == "batch"] == []


def test_optimizers_that_were_there_before_are_found(capsys):
    class Own(torch.optim.SGD):
        """An optimizer of the user's."""

    first, second = nn.Linear(6, 1), nn.Linear(6, 1)
    optimizers = Own(first.parameters(), lr=0.1), torch.optim.Adam(second.parameters())
    with Watch() as watch:
        for _ in range(3):
            first(torch.rand(4, 6)).square().mean().backward()
            second(torch.rand(4, 6)).square().mean().backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    assert watch.record.optimizer == "Own"
    assert [other.optimizer for other in watch.record.other_optimizers] == ["adam"]
    assert "optimizer 2 of 2:" in capsys.readouterr().err
