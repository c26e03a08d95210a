"""Real runs of a small script: stopped after so many steps, its losses noted, levers in place, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sizer.tuning.job import ENDED, ENOUGH, INPUT
from sizer.tuning.launching import Launcher, Script
from sizer.tuning.levers.catalogue import proposed
from sizer.tuning.levers.protocol import Lever

TRAIN = """
import sys
import torch
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
optimizer = torch.optim.Adam(model.parameters())
loader = DataLoader(TensorDataset(torch.randn(64, 4), torch.randn(64, 1)), batch_size=8, shuffle=True)
print("began", *sys.argv[1:], flush=True)
try:
    for _ in range(100):
        for x, y in loader:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
except Exception:
    print("an error was swallowed")
print("ended")
"""


@pytest.fixture
def script(tmp_path):
    def made(text: str) -> Script:
        (tmp_path / "train.py").write_text(text)
        return Script("train.py", str(tmp_path / "train.py"), False, ("--fast",), tmp_path)

    return made


def test_a_first_look_splits_the_steps_and_levers_leave_the_losses_alone(script, capfd):
    with Launcher(script(TRAIN)) as launcher:
        first = launcher.run((), 10**9, 3, 60.0, 0.05, first=True)
        answer = first.answer
        assert answer.status == ENOUGH
        assert answer.seen.optimizers[0].kind == "Adam"
        assert answer.seen.optimizers[0].place.line == 8
        assert answer.seen.loaders[0].rows == 64
        assert answer.seen.operations > 20
        assert sum(answer.seen.shares.values()) == pytest.approx(1.0)
        assert "began --fast" in capfd.readouterr().err

        levers = {lever.name: lever for lever in proposed(answer.seen)}
        chosen = [levers["data-in-memory"], levers["malloc-thresholds"]]
        changed = launcher.run(chosen, 20, 4, 60.0).answer
        slow = launcher.run((), 700, 4, 60.0, most_s=0.0).answer
    assert (slow.status, slow.steps, slow.timed) == (ENOUGH, 7, 3)  # (its time was over)
    assert (changed.status, changed.steps, changed.timed) == (ENOUGH, 20, 16)
    assert changed.changed == ("allocator", "the data set is in memory")
    both = min(len(answer.losses), len(changed.losses))
    assert both >= 6
    assert answer.losses[:both] == changed.losses[:both]
    assert changed.step_s > 0
    assert changed.start_s > 0
    assert not Path(launcher._folder.name).exists()


def test_scripts_that_end_by_themselves_read_input_or_fail(script):
    with Launcher(script("import torch\nx = input('name? ')")) as launcher:
        assert launcher.run((), 10, 3, 60.0).answer.status == INPUT
    with Launcher(script("import time\ntime.sleep(60)")) as launcher:
        began = time.perf_counter()
        run = launcher.run((), 10, 3, 1.0)
        assert time.perf_counter() - began < 10
        assert (run.answer, run.error) == (None, "it was not done after 1 s")
    with Launcher(script("print(1)\nraise KeyError('here')")) as launcher:
        run = launcher.run((), 10, 3, 60.0)
        assert run.error == "KeyError: 'here'"
    with Launcher(script(TRAIN.replace("range(100)", "range(2)"))) as launcher:  # (16 steps, then it ends)
        answer = launcher.run((), 10**9, 3, 60.0, 60.0, first=True).answer
        assert (answer.status, answer.steps, answer.timed, answer.seen.operations) == (ENDED, 16, 13, None)
        assert answer.seen.loaders[0].batch_size == 8
    with Launcher(script("print(1)")) as launcher:
        assert launcher.run((), 10, 3, 60.0).answer.status == ENDED


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked for in /proc")
def test_no_process_is_left_behind(script, tmp_path):
    sleeper = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])"
    text = f"import subprocess, sys\n{sleeper}\nraise SystemExit(3)"
    with Launcher(script(text)) as launcher:
        process = launcher._started((), tmp_path / "nothing", sys.stderr.buffer, is_shown=False)
        launcher.stop()
        assert process.poll() is not None
    with Launcher(script(text)) as launcher:
        launcher.run((), 10, 3, 60.0)
    time.sleep(0.1)
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    assert not [command for command in commands if b"time.sleep(99)" in command]


def test_a_record_is_applied_by_sizer_run_after_checking(tmp_path, monkeypatch):
    from sizer.base.errors import UsageError
    from sizer.report.pages.saved import record_of
    from sizer.tuning import applying
    from sizer.tuning.tuning import machine, sha256, torch_version

    kept = json.loads((Path(__file__).parent / "data" / "records" / "tuning.json").read_text())
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    name, _ = machine()
    kept["where"] |= {"sha256": sha256(Path("train.py")), "torch": torch_version(), "machine": name}
    kept["facts"]["cpus"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kept["environment"] = {"MALLOC_TRIM_THRESHOLD_": "123456789"}
    lever = next(one for one in kept["levers"] if one["name"] == kept["recommended"][0])
    lever |= {"file": "threads", "settings": {"threads": 3}}
    kept["recommended"] = [lever["name"]]
    record = record_of(kept, "tuned.json")
    applying.check(record, "tuned.json", "train.py", False)
    for field, said in (("sha256", "has changed since"), ("torch", "with torch"), ("machine", "measured on")):
        other = record_of({**kept, "where": {**kept["where"], field: "another"}}, "tuned.json")
        with pytest.raises(UsageError, match=said):
            applying.check(other, "tuned.json", "train.py", False)
    for odd in ({"LD_PRELOAD": "./other.so"}, {"PYTHONPATH": "."}, {"OMP_TOOL_LIBRARIES": "x"}):
        with pytest.raises(UsageError, match="which no lever does here"):
            applying.check(record_of({**kept, "environment": odd}, "tuned.json"), "tuned.json", "train.py", False)
    other = record_of({**kept, "levers": [{**lever, "file": "os"}]}, "tuned.json")
    with pytest.raises(UsageError, match="the lever os, which this version does not know"):
        applying.check(other, "tuned.json", "train.py", False)

    (tmp_path / "train.py").write_text(
        "import os, torch\nprint(torch.get_num_threads(), os.environ['MALLOC_TRIM_THRESHOLD_'])"
    )
    kept["where"]["sha256"] = sha256(Path("train.py"))
    (tmp_path / "tuned.json").write_text(json.dumps(kept))
    command = [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", "-m", "sizer"]
    done = subprocess.run(
        [*command, "run", "--quiet", "--with", "tuned.json", "train.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "SIZER": "off"},
    )
    assert done.stdout == "3 123456789\n", done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("kind", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_batch_systems_signal_leaves_neither_a_copy_nor_a_process(kind, script, tmp_path):
    began = tmp_path / "began"
    script(f"import os, time\nopen({str(began)!r}, 'w').write(str(os.getpid()))\ntime.sleep(99)")
    (tmp_path / "temporary").mkdir()  # (inside of the folder that is copied, as in a shared /tmp)
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # (as in a terminal)
    started = subprocess.Popen(
        [sys.executable, "-c", f"{heard}; from sizer.cli import main; main()", "tune", "train.py"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and started.poll() is None and not (began.exists() and began.read_text()):
        time.sleep(0.02)
    assert list((tmp_path / "temporary").iterdir())
    started.send_signal(getattr(signal, kind))
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130, err
    assert err.splitlines()[-1] == "sizer: interrupted"
    assert not list((tmp_path / "temporary").iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(int(began.read_text()), 0)


def test_a_lever_of_a_file_that_is_not_listed_is_refused():
    from sizer.tuning.levers.catalogue import put_in_place

    with pytest.raises((KeyError, ValueError)):
        put_in_place([("os", {})], print)
    assert Lever("a", "threads", "", "", "identical", 0.1).keep.lines == ()
