"""Small trainings of every kind: the hook names the whole model and the whole step, and changes nothing."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks as POST_HOOKS  # noqa: N812
from torch.optim.optimizer import _global_optimizer_pre_hooks as PRE_HOOKS  # noqa: N812
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from torch.utils.data.dataloader import _BaseDataLoaderIter
from torch.utils.flop_counter import FlopCounterMode

from sizer.hook.watching import Watch
from sizer.inspection.module_record import ModuleInspection

SCRIPTS = {path.stem: path for path in sorted((Path(__file__).parent / "scripts").glob("*.py"))}
STEPS = 4


def load(name):
    spec = importlib.util.spec_from_file_location(f"training_{name}", SCRIPTS[name])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_torch():
    """What the hook puts something into while it waits."""
    functions = nn.Module.__call__, torch.autograd._engine_run_backward, _BaseDataLoaderIter.__next__
    return (
        *functions,
        torch.optim.Optimizer.__init__,
        len(PRE_HOOKS),
        len(POST_HOOKS),
        len(_get_current_dispatch_mode_stack()),
    )


def digest(state):
    tensors = [
        value for each in state for value in (each.state_dict().values() if isinstance(each, nn.Module) else [each])
    ]
    content = b"".join(tensor.detach().numpy().tobytes() for tensor in tensors)
    return hashlib.sha256(content + torch.get_rng_state().numpy().tobytes()).hexdigest()


def train(script):
    step, state = script.build()
    for _ in range(STEPS):
        step()
    return digest(state)


class NoModules:
    """Stands in for torch's tracker of modules, without which FlopCounterMode only adds up."""

    parents = frozenset({"Global"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def flops_of_one_step(script):
    torch.manual_seed(0)
    step, _ = script.build()
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = NoModules()  # the one that torch has refuses a gradient inside a module's forward
    with counter:
        step()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_training_is_seen_whole_and_left_as_it_is(name, capsys):
    script = load(name)
    torch.manual_seed(0)
    without = train(script)
    before = in_torch()
    torch.manual_seed(0)
    watch = Watch().start(look=False)
    with_hook = train(script)
    assert with_hook == without
    assert in_torch() == before, "it has not left by itself"
    watch.stop()
    said = capsys.readouterr().err
    assert "warning" not in said
    assert all(len(line) <= 80 for line in said.splitlines())
    expected = script.EXPECTED
    if "unseen" in expected:
        check_unseen(watch, expected, " ".join(said.replace("sizer:", "").split()), script)
        return
    assert sum(watch.record.flops) == flops_of_one_step(script)
    check(watch.record, expected)
    assert len(watch.record.other_optimizers) == expected.get("blocks", 1) - 1 - (name == "twin_critics")
    assert said.count("working sets:") == 1 + len(watch.record.other_optimizers)
    for other in watch.record.other_optimizers:
        assert sum(other.flops) == sum(watch.record.flops)
        check(other, expected.get("other", {}))


def check(record: ModuleInspection, expected):
    for field in ("module", "widths", "batch_size", "first_dimension", "dtype"):
        if field in expected:
            assert getattr(record, field) == expected[field], field
    if "calls" in expected:
        assert record.step.calls == expected["calls"]
    if "share" in expected:
        assert record.step.covered_parameters == expected["share"] * record.step.optimizer_parameters
    if "trained" in expected:
        assert record.num_trainable_parameters == expected["trained"]
        assert record.num_parameters == expected["trained"] + expected["frozen"]
    if expected.get("predicted"):
        assert record.time_per_step_s is not None
    if expected.get("first_dimension") or expected.get("batch_size") is None:
        assert not any(advice.kind == "batch" for advice in record.advice)


def check_unseen(watch, expected, said, script):
    assert watch.record is None
    assert watch.trained
    assert expected["unseen"] in said
    if expected.get("counted", True):
        assert f"{flops_of_one_step(script):,} FLOPs" in said


def test_there_are_enough_of_them():
    assert len(SCRIPTS) >= 24
