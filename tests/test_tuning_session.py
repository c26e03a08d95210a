"""A whole tuning on a machine made up for it: what is tried, proven, left, kept, said, within the budget."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from dataclasses import replace
from importlib.resources import files
from io import StringIO
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from rich.console import Console
from schemas import closed

from sizer.base.errors import MeasurementError, UsageError
from sizer.report.pages.saved import record_of
from sizer.report.terminal import show
from sizer.tuning import plan
from sizer.tuning.job import ENDED, ENOUGH, FAILED, INPUT, Answer
from sizer.tuning.launching import NOT_DONE, Run, Script, environment_of
from sizer.tuning.levers.catalogue import proposed
from sizer.tuning.levers.protocol import Place, Seen, SeenLoader, SeenOptimizer
from sizer.tuning.machine_speed import Speed
from sizer.tuning.outcome import outcome
from sizer.tuning.record import Where
from sizer.tuning.session import Session
from sizer.tuning.usage import others_share

SHARES = {"waiting": 0.6, "forward": 0.1, "backward": 0.15, "optimizer": 0.1, "others": 0.0, "rest": 0.05}
WHERE = Where("train.py", False, (), "0" * 64, "2.13.0", "3.11.2", "a CPU", "0" * 16)
STEP_S = 0.01


def seen(**more):
    facts = {
        "device": "cpu",
        "cpus": 2,
        "threads": 2,
        "steps": 100,
        "time_per_step_s": STEP_S,
        "shares": SHARES,
        "operations": 100,
        "faults": 3.0,
        "system_share": 0.01,
        "optimizers_system": 0.0,
        "pointwise": 0.1,
        "subnormal": 0.0,
        "subnormal_cost": 0.0,
        "children": 0,
        "worker_threads": 0,
        "layers": ("Linear",),
        "compiles": False,
        "autocast": False,
        "sets_threads": False,
        "optimizers": (SeenOptimizer("Adam", "single-tensor", 4, False, Place("/nowhere/train.py", 3)),),
        "loaders": (SeenLoader(0, False, False, 32, 1000, 100, 1e-4, True, True, None),),
    }
    return Seen(**{**facts, **more})


class MadeUp:
    """Runs that take no time: a lever multiplies a step by its ratio, of several all of theirs."""

    def __init__(
        self,
        ratios,
        start_s=2.0,
        noise=0.01,
        fails=(),
        interrupted_at=None,
        first=None,
        facts=None,
        beside=(),
        lost=(),
    ):
        self.script = Script("train.py", "/copy/train.py", False, (), Path("/copy"))
        self.now_s, self.started = 0.0, []
        self._ratios, self._start_s, self._noise, self._fails = ratios, start_s, noise, fails
        self._rng = np.random.default_rng(4)
        self._interrupted_at, self._first, self._facts = interrupted_at, first, facts or seen()
        self._beside, self._lost = beside, lost  # (numbers of runs beside a neighbour, and of those that take for ever)

    def run(self, levers, steps, warm_up, limit_s, most_s, first=False):
        if len(self.started) == self._interrupted_at:
            raise KeyboardInterrupt
        names = [lever.name for lever in levers]
        self.started.append(names)
        if first and self._first is not None:
            return self._first
        number = len(self.started) - 1
        if number in self._lost:
            self.now_s += limit_s
            return Run(None, limit_s, f"{NOT_DONE} after {limit_s:.0f} s")
        if set(names) & set(self._fails):
            self.now_s += 1.0
            return Run(None, 1.0, "RuntimeError: no kernel")
        steps = 100 if first else steps
        step_s = (
            STEP_S
            * math.prod(self._ratios.get(name, 1.0) for name in names)
            * math.exp(self._noise * self._rng.normal())
            * (20.0 if number in self._beside else 1.0)
        )
        steps = min(steps, max(int(most_s / step_s), warm_up + 3))
        timed = steps - warm_up
        self.now_s += self._start_s + steps * step_s
        changed = () if "channels-last" in names else ("it",)
        answer = Answer(
            *(
                ENOUGH,
                steps,
                self._start_s,
                warm_up * step_s,
                timed * step_s,
                timed,
                (1.0, 0.5),
                10**8,
                None,
                "",
                changed,
            ),
            seen=self._facts if first else None,
            others_share=0.5 if number in self._beside else 0.0,
        )
        return Run(answer, self._start_s + steps * step_s)

    def stop(self):
        pass


def tuned(machine, budget_s=180.0, steps=None):
    told = []
    session = Session(
        machine,
        budget_s,
        steps,
        lambda what, share: None,
        told.append,
        lambda: machine.now_s,
        lambda: Speed({"near": 1.0}),
    )
    session.look()
    complete = True
    try:
        session.try_levers()
        session.confirm()
    except KeyboardInterrupt:
        complete = False
    return outcome(session, WHERE, complete, str), told


def as_text(record):
    stream = StringIO()
    console = Console(file=stream, width=80, color_system=None)
    for block in show(record, console, details=False):
        console.print(block)
    return stream.getvalue()


def test_what_is_worth_it_is_proven_alone_and_together_within_the_budget():
    machine = MadeUp({"data-in-memory": 0.5, "fused-optimizer": 0.9, "threads=1": 1.3})
    record, told = tuned(machine)
    assert record.recommended == ("data-in-memory", "fused-optimizer")
    assert record.ratio == pytest.approx(0.45, rel=0.02)
    assert record.interval[0] < 0.45 < record.interval[1] < 1.06 * record.interval[0] * 1.06
    assert record.bottleneck == "loader"
    assert record.spent_s <= 1.1 * 180
    assert machine.started.count(["data-in-memory", "fused-optimizer"]) == record.together.runs >= 3
    assert told[0].startswith("train.py takes 2 s to its first step; 180 s pay for ")
    assert record.unchanged.reproducible is True
    states = {lever.name: lever.state for lever in record.levers}
    assert states["threads=1"] == "left"


def test_confirming_runs_are_none_that_chose():
    machine = MadeUp({"data-in-memory": 0.5})
    record, _ = tuned(machine)
    (chosen,) = record.chosen()
    assert chosen.confirmed
    assert chosen.runs == machine.started.count(["data-in-memory"]) - 2


def test_cheap_runs_of_a_lever_pay_for_more_rounds():
    rounds = plan.rounds([0.5, 0.5], 5.0, 60.0)
    assert rounds == 9 > plan.rounds([5.0, 5.0], 5.0, 60.0) == 3
    assert plan.rounds([30.0], 5.0, 30.0) == 0


def test_nothing_is_recommended_where_nothing_helps():
    for noise in (0.0, 0.01, 0.05):
        record, _ = tuned(MadeUp({}, noise=noise))
        assert record.recommended == ()
        assert record.ratio is None
    assert "none of the" in as_text(record)
    assert record.unchanged.apart[1] < 1.5
    noisy = replace(record, unchanged=replace(record.unchanged, apart=(0.5, 2.0)))
    assert "nothing could be measured, unchanged runs lie up to a factor of 2.0 apart" in " ".join(
        as_text(noisy).split()
    )


def test_a_lever_under_which_the_script_fails_is_out_with_its_last_line():
    record, _ = tuned(MadeUp({"fused-optimizer": 0.8}, fails=("data-in-memory",)))
    out = next(lever for lever in record.levers if lever.name == "data-in-memory")
    assert (out.state, out.why) == ("out", "RuntimeError: no kernel")
    assert "data-in-memory: out: RuntimeError: no kernel" in as_text(record)
    assert record.recommended == ("fused-optimizer",)


def test_a_lever_that_changes_nothing_is_not_measured_again():
    machine = MadeUp({"channels-last": 0.1}, facts=seen(layers=("Conv2d",)))
    record, _ = tuned(machine)
    assert next(one for one in record.levers if one.name == "channels-last").state == "without effect"
    assert machine.started.count(["channels-last"]) == 1


def test_another_training_is_named_as_one_and_never_combined():
    record, _ = tuned(MadeUp({"larger-batch": 1.2, "bfloat16": 0.6, "fused-optimizer": 0.8}))
    states = {lever.name: lever.state for lever in record.levers}
    assert states["larger-batch"] == states["bfloat16"] == "recommended"
    assert next(one for one in record.levers if one.name == "larger-batch").ratio == pytest.approx(0.6, rel=0.03)
    assert record.recommended == ("fused-optimizer",)
    assert "it changes the training" in " ".join(as_text(record).split())


def test_a_first_look_beside_a_neighbour_is_taken_again():
    machine = MadeUp({"data-in-memory": 0.5}, beside={0, 1})
    record, _ = tuned(machine)
    assert machine.started[:3] == [[], [], []]
    assert record.steps == pytest.approx(tuned(MadeUp({}))[0].steps, rel=0.1)
    assert record.recommended == ("data-in-memory",)
    always = MadeUp({"data-in-memory": 0.5}, beside=set(range(4)))
    record, _ = tuned(always)  # (three looks are beside it, and so are their steps: the runs after them set that right)
    assert record.steps == pytest.approx(tuned(MadeUp({}))[0].steps, rel=0.1)


def test_a_run_beside_a_neighbour_is_made_again_and_does_not_count():
    machine = MadeUp({"data-in-memory": 0.5}, beside={2, 9, 15})
    record, _ = tuned(machine)
    assert machine.started[2] == machine.started[3] == ["data-in-memory"]
    assert record.unchanged.set_apart == 3
    assert record.ratio == pytest.approx(0.5, rel=0.05)
    assert record.spent_s <= 1.1 * 180


def test_a_lever_that_only_ran_beside_a_neighbour_is_named_as_that():
    machine = MadeUp({"data-in-memory": 0.5}, beside={2, 3}, start_s=3.0)
    record, _ = tuned(machine, budget_s=60.0)
    assert machine.started.count(["data-in-memory"]) == 2
    assert "Beside others or a change of the machine's speed only, which says nothing of: data-in-memory." in " ".join(
        as_text(record).split()
    )


@pytest.mark.skipif(shutil.which("sh") is None, reason="lines of a shell")
def test_tunables_of_glibc_are_lines_that_can_be_copied():
    from sizer.report.tuning import _exports

    lines = list(_exports("GLIBC_TUNABLES", "a.b=1:c.d=2:e.f=3"))
    assert max(map(len, lines)) < 40
    text = "\n".join([*lines, "echo $GLIBC_TUNABLES"])
    assert subprocess.run(["sh", "-c", text], capture_output=True, text=True).stdout == "a.b=1:c.d=2:e.f=3\n"
    assert list(_exports("OMP_NUM_THREADS", "1")) == ["export OMP_NUM_THREADS=1"]


def test_rounds_of_the_confirmation_that_a_neighbour_spoiled_are_made_up_for():
    quiet, _ = tuned(MadeUp({"data-in-memory": 0.5, "threads=1": 1.2}, start_s=1.0))
    record, _ = tuned(MadeUp({"data-in-memory": 0.5, "threads=1": 1.2}, start_s=1.0, beside=set(range(36, 40))))
    rounds = [next(one.runs for one in each.levers if one.name == "larger-batch") for each in (quiet, record)]
    assert rounds[0] == rounds[1] >= plan.LEAST_ROUNDS
    assert record.unchanged.set_apart == 4
    assert record.spent_s <= 1.1 * 180


def test_no_run_is_set_apart_where_unchanged_ones_differ_by_more_than_speeds_do():
    record, _ = tuned(MadeUp({"data-in-memory": 0.02}, start_s=1.0, noise=1.0, beside=set(range(36, 40))))
    assert record.unchanged.set_apart == 0
    assert "a factor of" in as_text(record)
    assert all(run.counts for run in record.timed)


def test_a_record_lists_the_runs_behind_its_ratios():
    record, _ = tuned(MadeUp({"data-in-memory": 0.5}, noise=0.0, beside={10}))
    assert len(record.timed) == record.runs - 1  # (the first look)
    assert [run.at_s for run in record.timed] == sorted(run.at_s for run in record.timed)
    assert [run.others_share for run in record.timed if not run.counts] == [0.5]
    proven = [run.time_per_step_s for run in record.timed if run.confirms and run.lever == "data-in-memory"]
    assert proven == pytest.approx([0.5 * STEP_S] * len(proven))
    assert len(proven) >= plan.LEAST_ROUNDS


def test_the_kernels_ticks_are_no_neighbours():
    cpus = os.cpu_count() or 1
    assert others_share(10.0, 10.02, 0.010) == 0.0  # two ticks of 10 ms: 0.51 of two processors for 10 ms
    assert others_share(10.0, 11.02, 1.0) == pytest.approx(1 / cpus)


def test_an_unchanged_run_that_takes_for_ever_is_lost_and_not_the_tuning():
    record, _ = tuned(MadeUp({"data-in-memory": 0.5}, lost={1, 12}))
    assert record.recommended == ("data-in-memory",)
    with pytest.raises(MeasurementError, match="failed unchanged: it was not done after 20 s"):
        tuned(MadeUp({}, lost=set(range(1, 99))))


def test_an_interrupt_leaves_what_is_known():
    record, _ = tuned(MadeUp({"data-in-memory": 0.5}, interrupted_at=7))
    assert not record.complete
    assert record.recommended == ()
    assert next(one for one in record.levers if one.name == "data-in-memory").ratio == pytest.approx(0.5, rel=0.05)
    assert "interrupted" in as_text(record)


@pytest.mark.parametrize(
    ("first", "kind", "said"),
    [
        (Run(Answer(INPUT, 0, None, 0.0, 0.0, 0, (), None, None, "", ()), 2.0), UsageError, "reads standard input"),
        (Run(Answer(ENDED, 0, None, 0.0, 0.0, 0, (), None, None, "", ()), 2.0), UsageError, "never reached a step"),
        (Run(Answer(ENDED, 4, 1.0, 0.0, 0.1, 1, (), None, None, "", ()), 2.0), UsageError, "ended after 4 steps"),
        (
            Run(Answer(FAILED, 0, None, 0.0, 0.0, 0, (), None, None, "", ()), 2.0, "KeyError: 1"),
            MeasurementError,
            "KeyError: 1",
        ),
        (Run(None, 90.0, "it was not done after 90 s"), UsageError, "--budget"),
    ],
)
def test_a_script_that_cannot_be_tuned_gets_one_line(first, kind, said):
    with pytest.raises(kind, match=said) as error:
        tuned(MadeUp({}, first=first))
    assert "\n" not in str(error.value)


def test_a_budget_that_proves_nothing_is_refused_with_one_that_does():
    with pytest.raises(UsageError, match=r"pays for [0-9]+ of the [0-9]+ that prove anything: --budget [0-9]+s"):
        tuned(MadeUp({}, start_s=20.0))


def test_levers_come_in_the_order_of_what_the_split_lets_hope():
    names = [lever.name for lever in proposed(seen())]
    assert names[:2] == ["data-in-memory", "loader-workers=2"]
    bound = {**SHARES, "waiting": 0.0, "optimizer": 0.7}
    assert proposed(seen(shares=bound))[0].name == "fused-optimizer"
    assert proposed(seen(subnormal_cost=0.9, shares={"forward": 0.2, "optimizer": 0.7}))[0].name == "flush-denormals"
    sparse = SeenOptimizer("Adam", "single-tensor", 4, True, None)
    assert "fused-optimizer" not in [lever.name for lever in proposed(seen(optimizers=(sparse,)))]


@pytest.mark.parametrize(
    ("named", "facts"),
    [
        ("loader", {}),
        ("none", {"shares": {**SHARES, "waiting": 0.1}}),
        (
            "worker threads",
            {"loaders": (SeenLoader(2, False, False, 8, 9, 9, 1e-4, True, True, None),), "worker_threads": 8},
        ),
        (
            "loader",
            {"loaders": (SeenLoader(4, False, False, 8, 9, 9, 1e-4, True, True, None),), "worker_threads": 4},
        ),
        ("worker threads", {"loaders": (), "children": 1, "shares": {}}),
        ("optimizer", {"shares": {**SHARES, "waiting": 0.0, "optimizer": 0.7}, "system_share": 0.5}),
        (
            "optimizer",
            {
                "shares": {**SHARES, "waiting": 0.0, "optimizer": 0.5},
                "system_share": 0.6,
                "optimizers_system": 0.5,
            },
        ),
        ("allocator", {"shares": {"forward": 0.5, "backward": 0.5}, "system_share": 0.5, "pointwise": 0.9}),
        ("memory traffic", {"shares": {"forward": 0.5, "backward": 0.5}, "pointwise": 0.9}),
        ("dispatch", {"shares": {"forward": 0.5, "backward": 0.5}, "pointwise": 0.9, "operations": 9999}),
        ("denormals", {"shares": {"forward": 0.2, "optimizer": 0.8}, "subnormal": 0.2, "subnormal_cost": 0.9}),
        ("none", {"shares": {"forward": 0.5, "backward": 0.5}, "subnormal": 0.9, "subnormal_cost": 0.01}),
        ("script", {"shares": {"rest": 0.8, "forward": 0.2}}),
    ],
)
def test_what_stands_out_is_named(named, facts):
    from sizer.tuning.bottleneck import bottleneck

    assert bottleneck(seen(**facts)).name == named


def test_on_a_gpu_its_own_levers_are_proposed():
    names = {lever.name for lever in proposed(seen(device="cuda"))}
    assert {"cuda-graphs", "tf32", "pinned-memory"} <= names
    assert not {"threads=1", "flush-denormals"} & names


def test_environments_add_up():
    levers = [lever for lever in proposed(seen()) if lever.name in ("malloc-thresholds", "threads=1")]
    assert {"OMP_NUM_THREADS", "MALLOC_MMAP_THRESHOLD_"} <= environment_of(levers).keys()


def test_the_record_keeps_its_schema_and_comes_back():
    record, _ = tuned(MadeUp({"data-in-memory": 0.5, "fused-optimizer": 0.9}))
    schema = json.loads(files("sizer.schemas").joinpath("tuning-1.json").read_text(encoding="utf-8"))
    data = json.loads(record.to_json())
    jsonschema.validate(data, closed(schema))
    assert record_of(data, "it").to_dict() == record.to_dict()
    assert set(record.to_frame()["name"]) == {lever.name for lever in record.levers}


def test_the_report_fits_its_columns_and_says_how_to_keep_it():
    record, _ = tuned(MadeUp({"data-in-memory": 0.5, "fused-optimizer": 0.9, "malloc-thresholds": 0.8}))
    text = as_text(record)
    assert max(map(len, text.splitlines())) <= 80
    assert "export MALLOC_MMAP_THRESHOLD_=1073741824" in text
    assert "Adam(..., fused=True)" in text
    assert "sizer run --with" in text


def test_a_function_is_tuned_by_levers_that_are_taken_out_again(monkeypatch):
    import torch

    from sizer.tuning import in_process

    weights, threads = torch.randn(16, 16), torch.get_num_threads()
    now = [0.0]
    monkeypatch.setattr(plan, "MOST_ROUNDS", 3)

    def step():
        """Slower on several threads, by a clock of its own."""
        (weights @ weights).sum()
        now[0] += 0.02 if torch.get_num_threads() > 1 else 0.01

    torch.set_num_threads(2)
    monkeypatch.setattr(in_process.time, "perf_counter", lambda: now[0])
    try:
        blocks = in_process.Blocks(step, "cpu")
        session = Session(
            blocks,
            90.0,
            None,
            lambda what, share: None,
            print,
            lambda: now[0],
            lambda: Speed({"near": 1.0}),
            in_process._is_in_process,
        )
        session.look()
        session.try_levers()
        session.confirm()
        record = outcome(session, WHERE, True, str)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert record.recommended == ("threads=1",)
    assert record.ratio == pytest.approx(0.5)
    elsewhere = next(lever for lever in record.levers if lever.name == "malloc-thresholds")
    assert (elsewhere.state, elsewhere.why) == ("not tried", "it needs a process of its own: sizer tune train.py")


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """The command over runs that take no time, in a folder with a script."""
    from sizer.tuning import session as sessions
    from sizer.tuning import tuning

    class InContext(MadeUp):
        def __enter__(self):
            return self

        def __exit__(self, *raised):
            return None

    class Still:
        def now(self):
            return Speed({"near": 1.0})

    (tmp_path / "train.py").write_text("import subprocess\nsubprocess.run(['true'])\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sessions, "MachineSpeed", Still)
    monkeypatch.setattr(tuning, "Launcher", lambda *_: InContext({"data-in-memory": 0.5}))
    return tmp_path


def test_the_command_prints_the_record_alone_and_writes_it(made_up, capsys):
    from sizer.cli import run

    command = ["tune", "--json", "--save", "tuned.json", "train.py", "--budget", "9"]
    assert run(command) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["recommended"] == ["data-in-memory"]
    assert json.loads(printed.out)["where"]["arguments"] == ["--budget", "9"]
    assert json.loads((made_up / "tuned.json").read_text()) == json.loads(printed.out)
    told = printed.err.splitlines()
    assert told[0] == "warning: subprocess.run(...) in line 2 starts programs, in every run of the script"
    assert told[1].startswith("train.py takes 2 s to its first step; 180 s pay for ")
    assert told[-1] == "wrote tuned.json: sizer run --with tuned.json train.py --budget 9"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "5s", "train.py"], "a budget of 5 s is too short"),
        (["--steps", "3", "train.py"], "3 steps a run are too few"),
        (["missing.py"], "there is no script missing.py"),
        (["-m", "no.such.module"], "there is no module no.such.module"),
    ],
)
def test_the_command_refuses_in_one_line(made_up, capsys, arguments, said):
    from sizer.cli import run

    assert run(["tune", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_python_takes_a_script_or_a_function(made_up):
    import sizer

    record = sizer.tune("train.py", ["--fast"], budget_s=100)
    assert (record.where.arguments, record.recommended) == (("--fast",), ("data-in-memory",))
    with pytest.raises(sizer.UsageError, match="takes a function that makes one step"):
        sizer.tune(3)  # type: ignore[arg-type]
