"""Operations that are called again and again on fake tensors: their outputs are as the fake kernels make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode
from torch.nn import functional as F  # noqa: N812 (as everybody calls it)

from sizer.inspection.counts import StepSettings, count
from sizer.inspection.repeated_calls import RepeatedCalls
from sizer.operators.tape import Tape


class Unrolled(nn.Module):
    """A cell that is called for each time step, with slices, joins, operations in place, views and two types."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.norm, self.head = nn.LSTMCell(6, 8), nn.LayerNorm(8), nn.Linear(16, 3)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """What goes out."""
        state, outs = None, []
        for now in given.unbind(1):
            state = self.cell(now, state)
            hidden = self.norm(state[0])
            halves = hidden.chunk(2, 1)
            joined = torch.cat([halves[1], halves[0], hidden.double().float()], 1)
            outs.append(self.head(F.relu(joined.clone().mul_(2).add_(1)).as_strided((len(now), 16), (16, 1))))
        return torch.stack(outs, 1).permute(0, 2, 1)[:, :, ::2].contiguous()


def _recurrent() -> nn.Module:
    return nn.GRU(6, 8, 2, batch_first=True)


def _convolutions() -> nn.Module:
    block = nn.Sequential(nn.Conv1d(5, 5, 3, padding=1), nn.BatchNorm1d(5), nn.ReLU(inplace=True))
    return nn.Sequential(block, nn.Conv1d(5, 5, 3, padding=1), nn.BatchNorm1d(5), nn.ReLU(inplace=True))


def _attention() -> nn.Module:
    layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


@pytest.mark.parametrize("make", [Unrolled, _recurrent, _convolutions, _attention])
def test_a_step_is_counted_as_without_remembering(
    make: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, settings = make(), StepSettings((torch.randn(4, 5, 6),), {})

    def traced() -> Any:
        tape = Tape()
        counts = count(module, settings, tape)
        return counts, [(each.call.key, each.layer, each.phase, each.distances) for each in tape.calls], tape.views

    remembered = traced()
    monkeypatch.setattr(RepeatedCalls, "run", lambda self, func, args, kwargs: func(*args, **kwargs))
    assert remembered == traced()


class Asked:
    """An operator that counts how often its fake kernel is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        dispatch = FakeTensorMode.dispatch

        def counted(mode: Any, *given: Any, **named: Any) -> Any:
            self.times += 1
            return dispatch(mode, *given, **named)

        monkeypatch.setattr(FakeTensorMode, "dispatch", counted)


def test_a_kernel_is_asked_once_for_like_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    add, calls = torch.ops.aten.add.Tensor, RepeatedCalls()
    with FakeTensorMode():
        one, other, longer = torch.empty(3, 4), torch.empty(4), torch.empty(5, 4)
        asked = Asked(monkeypatch)
        outputs = [calls.run(add, (one, other), {}) for _ in range(3)]
        assert asked.times == 1
        assert len({each.untyped_storage()._cdata for each in outputs}) == 3  # (each has its own memory)
        assert calls.run(add, (longer, other), {}).shape == (5, 4)
        assert calls.run(add, (one, other), {"alpha": 2}).shape == (3, 4)
        assert asked.times == 3


def test_views_lie_in_what_they_are_views_of() -> None:
    split, calls = torch.ops.aten.split.Tensor, RepeatedCalls()
    with FakeTensorMode():
        for given in (torch.empty(6, 4), torch.empty(7, 4)[1:]):  # (the second begins four elements in)
            parts = calls.run(split, (given, 2), {})
            kept = split(given, 2)
            assert [part.storage_offset() for part in parts] == [part.storage_offset() for part in kept]
            assert {part.untyped_storage()._cdata for part in parts} == {given.untyped_storage()._cdata}


def test_what_depends_on_values_is_not_remembered() -> None:
    calls = RepeatedCalls()
    with FakeTensorMode():
        given, turned = torch.empty(4), torch.empty(4, 3)
        with pytest.raises(DynamicOutputShapeException):
            calls.run(torch.ops.aten.nonzero.default, (given,), {})
        calls.run(torch.ops.aten.t_.default, (turned,), {})
        calls.run(torch.ops.aten.as_strided.default, (given, (2,), (1,), 1), {})
        assert not calls._known


def test_what_is_written_to_is_what_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = RepeatedCalls()
    with FakeTensorMode():
        given, other = torch.empty(4), torch.empty(4)
        asked = Asked(monkeypatch)
        assert calls.run(torch.ops.aten.add_.Tensor, (given, 1), {}) is given
        assert calls.run(torch.ops.aten.add_.Tensor, (other, 1), {}) is other
        assert asked.times == 1
