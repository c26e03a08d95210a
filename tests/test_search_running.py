"""Whole searches on small tasks: what they find, how they end, and that a killed one comes to the same end."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sizer.base.errors import MeasurementError, UsageError
from sizer.base.storage import read_objects
from sizer.models.topology import Topology
from sizer.size_search.arms import Goal, SearchCandidate
from sizer.size_search.conclusion import best_of, curve_of, estimate_of
from sizer.size_search.data.metrics import REGRESSION
from sizer.size_search.data.table import CustomTask, Task, TrainedEpoch
from sizer.size_search.log import LogEntry, SearchFolder
from sizer.size_search.policy import decide
from sizer.size_search.result import SearchStatus
from sizer.size_search.search import run_search
from sizer.size_search.settings import SearchSettings
from sizer.size_search.trials.trial import LocalEngine

#: Costs are predicted for a shipped profile, so that decisions do not depend on the machine of the test.
FIXED = {
    "depth": 3,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "priced_for": "x86-vm-2cpu",
    "device": "cpu",
    "threads": 1,
}


def sine(noise: float = 0.1) -> Task:
    draw = np.random.default_rng(0)
    features = draw.standard_normal((400, 4)).astype(np.float32)
    targets = np.sin(2 * features[:, :1]) * features[:, 1:2] + noise * draw.standard_normal((400, 1))
    targets = targets.astype(np.float32)
    return Task("sine", REGRESSION, features[:300], targets[:300], features[300:], targets[300:], output_dim=1)


def settings(target: float, **changes: object) -> SearchSettings:
    return SearchSettings(target=target, **{**FIXED, **changes})


def power_law(topology, epochs, seed, resume_state):
    """A training whose loss depends on the size as real ones do: larger is sooner and lower, never below 0.1."""
    size = math.log2(topology.num_free_parameters)
    floor = 0.1 + 0.4 * 2.0 ** (-(size - 8) / 2)
    done = 0 if resume_state is None else int(resume_state)
    for epoch in range(done + 1, done + epochs + 1):
        yield TrainedEpoch(floor + 1.5 * (epoch * (size / 12) ** 3) ** -1.0, 1e-3 * 2 ** (size / 4), epoch)


def custom(train=power_law) -> CustomTask:
    return CustomTask("own", train, 8, 1, 2000)


def log_of(folder: Path) -> list[dict]:
    return read_objects(folder / "log.jsonl")


def decisions_of(folder: Path) -> list[list]:
    return [entry["slices"] for entry in log_of(folder) if entry["event"] == "round"]


def losses_of(folder: Path) -> list[tuple[str, list[float]]]:
    slices = [entry for entry in log_of(folder) if entry["event"] == "slice"]
    return [(entry["trial"], [epoch[2] for epoch in entry["epochs"]]) for entry in slices]


def test_a_search_reaches_a_target_that_is_within_reach(tmp_path):
    task = sine()
    search = run_search(task, settings(0.65 * task.baseline_loss), tmp_path, LocalEngine(task))
    assert search.status == SearchStatus.REACHED
    assert search.winner.is_met
    assert best_of(search) == search.winner
    assert min(epoch.metric for epoch in search.winner.epochs) <= 0.65 * task.baseline_loss
    assert search.time_s == pytest.approx(sum(epoch.time_s for size in search.trained for epoch in size.epochs))
    assert search.energy_j is None
    measured = [point for point in curve_of(search) if point.label == "measured"]
    assert [point.name for point in measured] == [search.winner.name]
    assert len(list(tmp_path.glob(f"trials/{search.winner.name}/*.pt"))) == 1


def test_a_harder_target_takes_a_larger_size(tmp_path):
    winners = {}
    for target in (0.5, 0.13):
        outcome = run_search(custom(), settings(target), tmp_path / str(target), LocalEngine(custom()))
        assert outcome.status == SearchStatus.REACHED
        winners[target] = outcome.winner.num_free_parameters
    assert winners[0.13] >= winners[0.5]


def test_a_target_that_no_size_reaches_ends_the_search_with_the_best_and_an_estimate(tmp_path):
    def flat(topology, epochs, seed, resume_state):
        done = 0 if resume_state is None else int(resume_state)
        for epoch in range(done + 1, done + epochs + 1):
            yield TrainedEpoch(0.3 + 0.02 * abs(math.log2(epoch / 5)), 1e-3, epoch)

    outcome = run_search(custom(flat), settings(0.01), tmp_path, LocalEngine(custom(flat)))
    assert outcome.status == SearchStatus.UNREACHABLE
    assert outcome.winner is None
    assert min(epoch.metric for epoch in best_of(outcome).epochs) == pytest.approx(0.3)
    assert "about loss 0.3 looks possible" in estimate_of(outcome, curve_of(outcome))
    assert sum(len(size.epochs) for size in outcome.trained) < 100


def test_a_trial_without_a_finite_loss_ends_and_the_search_goes_on(tmp_path):
    def fails_where_it_begins(topology, epochs, seed, resume_state):
        if 30_000 < topology.num_free_parameters < 120_000:
            yield math.nan, 1e-3
        else:
            yield from power_law(topology, epochs, seed, resume_state)

    task = custom(fails_where_it_begins)
    outcome = run_search(task, settings(0.3), tmp_path, LocalEngine(task))
    assert outcome.status == SearchStatus.REACHED
    ended = [size.ended for size in outcome.trained if not size.is_met]
    assert any("no longer finite" in (reason or "") for reason in ended)


def test_a_time_limit_ends_the_search(tmp_path):
    task = custom()
    outcome = run_search(task, settings(0.101, max_time_s=0.5), tmp_path, LocalEngine(task))
    assert outcome.status == SearchStatus.OUT_OF_TIME
    assert outcome.time_s < 1.0
    assert estimate_of(outcome, curve_of(outcome))


def slowed(factor: float):
    """A training that takes so many times as long, with the same losses."""

    def train(topology, epochs, seed, resume_state):
        for epoch in power_law(topology, epochs, seed, resume_state):
            yield epoch._replace(cost_s=factor * epoch.cost_s)

    return train


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.1])
def test_a_search_given_up_before_its_limit_has_one_status_whatever_the_speed(tmp_path, factor):
    task = custom(slowed(factor))
    outcome = run_search(task, settings(0.1005, max_time_s=20.0), tmp_path, LocalEngine(task))
    assert outcome.time_s < 20.0
    assert outcome.status == SearchStatus.UNREACHABLE
    # Its log says the same again, and the sentence holds: what is predicted is more than what was left.
    again = run_search(task, settings(0.1005, max_time_s=20.0), tmp_path, LocalEngine(task))
    said = estimate_of(outcome, curve_of(outcome))
    assert (again.status, estimate_of(again, curve_of(again))) == (SearchStatus.UNREACHABLE, said)
    assert "of 20 s" in said or "looks possible with sizes up to" in said


def test_exploring_fills_in_the_curve(tmp_path):
    task = custom()
    plain = run_search(task, settings(0.3), tmp_path / "plain", LocalEngine(task))
    explored = run_search(task, settings(0.3, explore=True), tmp_path / "explored", LocalEngine(task))
    assert explored.status == SearchStatus.REACHED
    costs, without = (
        {point.name: point.cost for point in curve_of(search) if point.label == "measured"}
        for search in (explored, plain)
    )
    assert len(costs) >= len(without) + 3
    assert explored.winner.name == min(costs, key=costs.get)


def test_two_at_a_time_meet_the_same_target(tmp_path):
    task = custom()
    outcome = run_search(task, settings(0.3, parallel=2), tmp_path, LocalEngine(task))
    assert outcome.status == SearchStatus.REACHED
    assert all(len(slices) <= 2 for slices in decisions_of(tmp_path))
    assert len(outcome.trained) >= 2


def test_the_same_seed_decides_the_same(tmp_path):
    task = sine()
    for name in ("one", "other"):
        run_search(task, settings(0.65 * task.baseline_loss), tmp_path / name, LocalEngine(task))
    assert decisions_of(tmp_path / "one") == decisions_of(tmp_path / "other")
    assert losses_of(tmp_path / "one") == losses_of(tmp_path / "other")


def test_a_replay_of_the_recorded_curves_decides_as_the_search_did(tmp_path):
    """What benchmarks/search.py does with recorded curves is what a search does with real ones."""
    task = sine()
    run_search(task, settings(0.6 * task.baseline_loss, ensemble="off"), tmp_path, LocalEngine(task))
    header = log_of(tmp_path)[0]
    curves: dict[str, list[float]] = {}
    for name, losses in losses_of(tmp_path):
        curves.setdefault(name, []).extend(losses)
    done = dict.fromkeys(curves, 0)
    sizes = {entry["name"]: entry for entry in header["candidates"]}
    for slices in decisions_of(tmp_path):
        candidates = tuple(
            SearchCandidate(
                name,
                Topology("rectangle", task.input_dim, tuple(entry["widths"])),
                entry["epoch_cost"],
                entry["flops_per_epoch"],
                values=tuple(curves.get(name, [])[: done.get(name, 0)]),
            )
            for name, entry in sizes.items()
        )
        replayed = decide(candidates, Goal(0.6 * task.baseline_loss, 1000), header["first"])
        assert [list(decision) for decision in replayed] == slices
        done[slices[0][0]] += slices[0][1]


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_search_running import LocalEngine, run_search, settings, sine

class Slow(LocalEngine):
    def collect(self):
        time.sleep(0.05)
        return super().collect()

task = sine()
run_search(task, settings(0.55 * task.baseline_loss), Path(sys.argv[1]), Slow(task))
"""


def test_a_search_that_is_killed_again_and_again_comes_to_the_same_end(tmp_path):
    task = sine()
    script = tmp_path / "search.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_search(task, settings(0.55 * task.baseline_loss), whole, LocalEngine(task))
    rounds = len(decisions_of(whole))
    assert rounds >= 4
    for share in (0.3, 0.7):
        process = subprocess.Popen([sys.executable, str(script), str(killed)])
        _wait_for_lines(killed / "log.jsonl", 1 + int(2 * rounds * share), process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    outcome = run_search(task, settings(0.55 * task.baseline_loss), killed, LocalEngine(task))
    assert outcome.status == SearchStatus.REACHED
    assert decisions_of(killed) == decisions_of(whole)
    assert losses_of(killed) == losses_of(whole)


def _wait_for_lines(path: Path, lines: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert process.poll() is None, "the search ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_log_cut_off_in_the_middle_of_a_line_is_read_up_to_it(tmp_path):
    task = custom()
    run_search(task, settings(0.2, max_time_s=0.05), tmp_path, LocalEngine(task))
    before = losses_of(tmp_path)
    with (tmp_path / "log.jsonl").open("ab") as log:
        log.write(b'{"event": "slice", "trial": "715')
    outcome = run_search(task, settings(0.2), tmp_path, LocalEngine(task))
    assert outcome.status == SearchStatus.REACHED
    assert losses_of(tmp_path)[: len(before)] == before


def test_a_finished_search_is_not_run_again(tmp_path):
    class Refuses(LocalEngine):
        def collect(self) -> LogEntry:
            raise AssertionError("nothing is left to run")

    task = custom()
    first = run_search(task, settings(0.3), tmp_path, LocalEngine(task))
    again = run_search(task, settings(0.3), tmp_path, Refuses(task))
    assert (again.status, again.sizes) == (first.status, first.sizes)


def test_a_folder_of_another_search_is_refused(tmp_path):
    task = custom()
    run_search(task, settings(0.3), tmp_path, LocalEngine(task))
    with pytest.raises(UsageError, match=r"another search \(it differs in target\)"):
        run_search(task, settings(0.2), tmp_path, LocalEngine(task))
    with pytest.raises(UsageError, match="data"):
        run_search(CustomTask("other", power_law, 8, 1, 2000), settings(0.3), tmp_path, LocalEngine(task))


def test_limits_may_change_when_a_search_goes_on(tmp_path):
    task = custom()
    stopped = run_search(task, settings(0.2, max_time_s=0.05), tmp_path, LocalEngine(task))
    assert stopped.status == SearchStatus.OUT_OF_TIME
    assert run_search(task, settings(0.2), tmp_path, LocalEngine(task)).status == SearchStatus.REACHED


def test_two_searches_do_not_share_a_folder(tmp_path):
    with SearchFolder(tmp_path).held(), pytest.raises(MeasurementError, match="another search is running"):
        run_search(custom(), settings(0.3), tmp_path, LocalEngine(custom()))


def test_what_is_no_log_is_said_in_one_line(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"format": "something else"}\n')
    with pytest.raises(UsageError, match="is no log of a search"):
        run_search(custom(), settings(0.3), tmp_path, LocalEngine(custom()))


def test_progress_is_told(tmp_path):
    told = []
    run_search(custom(), settings(0.3), tmp_path, LocalEngine(custom()), lambda text, share: told.append((text, share)))
    assert "parameters, epoch 1" in told[0][0]
    assert told[0][1] is None
