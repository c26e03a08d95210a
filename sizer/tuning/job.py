"""What a child process is told to run, and what it answers; both are files of JSON between two processes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sizer.base.records import plain, rebuild
from sizer.base.storage import write_whole
from sizer.tuning.levers.protocol import Seen

#: Steps whose time is left out at least, since they choose kernels and fill queues.
WARM_UP = 3
#: Fewest steps of a first run.
FEWEST = 2 * WARM_UP


class Applied(NamedTuple):
    """A lever to put in place: its module and its settings."""

    file: str
    settings: Mapping[str, Any]


class Job(NamedTuple):
    """One run of a script that ends after so many steps of its optimizer.

    The first ``warm_up`` of ``steps`` are not timed. It ends after ``seconds`` of steps where they are slow. The
    ``first`` run also splits its steps and looks at the script. ``launched_unix_s`` is when the process was started.
    """

    script: str
    module: bool
    arguments: tuple[str, ...]
    levers: tuple[Applied, ...]
    steps: int
    warm_up: int
    first: bool
    seconds: float
    meter: str
    answer: str
    launched_unix_s: float


#: How a run ended: after the steps that were asked for, by itself, by reading standard input, by an error.
ENOUGH, ENDED, INPUT, FAILED = "enough", "ended", "input", "failed"


class Answer(NamedTuple):
    """What a run measured; times in s, bytes, joules. None is not known.

    ``start_s`` is from the process's start to the end of the first step, ``warm_up_s`` from there to where timing
    began, ``seconds`` what the ``timed`` steps took; ``others_share`` of the processors' time went to others meanwhile.
    ``losses`` are those that a backward pass started from.
    """

    status: str
    steps: int
    start_s: float | None
    warm_up_s: float
    seconds: float
    timed: int
    losses: tuple[float, ...]
    peak_bytes: int | None
    energy_j: float | None
    meter: str
    changed: tuple[str, ...]
    why: str = ""
    seen: Seen | None = None
    others_share: float | None = None

    @property
    def step_s(self) -> float | None:
        """Time of a step, None where none was timed."""
        return self.seconds / self.timed if self.timed > 0 and self.seconds > 0 else None

    @property
    def step_j(self) -> float | None:
        """Energy of a step, None where it was not metered."""
        return self.energy_j / self.timed if self.energy_j and self.timed > 0 else None


def write(path: Path, value: Job | Answer) -> None:
    """Write a job or an answer, whole."""
    write_whole(path, json.dumps(plain(value)))


def read_job(path: Path) -> Job:
    """The job in a file that `write` wrote."""
    return rebuild(Job, json.loads(path.read_text(encoding="utf-8")))


def read_answer(path: Path) -> Answer | None:
    """The answer in a file; None where the process left none."""
    try:
        return rebuild(Answer, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
