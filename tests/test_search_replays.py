"""Replays (benchmarks/search.py) decide as a search does: from recorded curves the same trainings, epoch for epoch."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import sizer

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import search_base

TASK, LEVEL = "vowel", 1.1


@pytest.mark.parametrize("several_rates", [True, False])
def test_a_search_through_a_users_function_is_the_replay(tmp_path, several_rates, monkeypatch):
    target = next(one for one in search_base.targets(TASK) if (one.level, one.grid.seed) == (LEVEL, 0))
    facts = target.grid.facts._replace(looked_at_rows=(0, 0, 0))  # (what a function validates on is not priced)
    grid = replace(target.grid, facts=facts)
    if not several_rates:
        grid = search_base._at_base_rate(grid)
    replayed: list[tuple[str, int]] = []
    at = search_base._at
    monkeypatch.setattr(search_base, "_at", lambda *given: replayed.append((given[1].name, given[2])) or at(*given))
    found = search_base._search(replace(target, grid=grid), None)

    def recorded(topology, epochs, learning_rate, done):
        curve = grid.curves[grid.topologies.index(topology), learning_rate].better
        for epoch in range(done, min(done + epochs, len(curve))):
            yield curve[epoch], 1e-3, epoch + 1

    def at_any_rate(topology, epochs, seed, resume_state, learning_rate):
        return recorded(topology, epochs, learning_rate, resume_state or 0)

    def at_one_rate(topology, epochs, seed, resume_state):
        return recorded(topology, epochs, search_base.BASE_RATE, resume_state or 0)

    searched = sizer.search(
        at_any_rate if several_rates else at_one_rate,
        target_loss=target.loss,
        input_dim=facts.input_dim,
        output_dim=facts.output_dim,
        observations=facts.train_rows,
        depth=4,
        batch_size=256,
        device="cpu",
        folder=tmp_path,
        priced_for=search_base.DEVICE,
        widths=tuple(topology.widths[0] for topology in grid.topologies),
    )
    last = {name: done for name, done in replayed if done} | {found.arm.name: found.epochs}
    if not several_rates:  # (an arm at the only rate there is has the name of its size)
        last = {name.partition("@")[0]: done for name, done in last.items()}
    assert searched.reached
    assert {trial.name: trial.epochs for trial in searched.trials} == last
    assert searched.winner.epochs == found.epochs
