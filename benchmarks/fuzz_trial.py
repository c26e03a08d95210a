"""How `fuzz.py` tells right from wrong: an answer or a refusal in one short line, within some seconds."""

from __future__ import annotations

import contextlib
import io
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: Processor time that a reader may take, and time in which a machine with other work has given it that surely.
LONGEST_S, WAITED_S = 5, 60
#: Letters of the longest refusal.
LONGEST_REFUSAL = 1200


class Hang(BaseException):
    """A reader took too long."""


@contextlib.contextmanager
def limited(longest_s: float = LONGEST_S) -> Iterator[None]:
    """Raises Hang in what takes longer."""
    for kind in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(kind, _hangs)
    signal.setitimer(signal.ITIMER_PROF, longest_s)
    signal.setitimer(signal.ITIMER_REAL, WAITED_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _hangs(*_: object) -> None:
    raise Hang


def wrong(call: Callable[[], Any]) -> str | None:
    """What is wrong with how a call ends, with its place; None for an answer, or a refusal in a line."""
    from sizer.base.errors import SizerError

    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            call()
    except SizerError as error:
        said = str(error)
        if "\n" in said or not said:
            return f"a refusal of {'several lines' if said else 'no letter'}, {place(error)}"
        if len(said) > LONGEST_REFUSAL:
            return f"a refusal of more than {LONGEST_REFUSAL} letters, {place(error)}"
    except Exception as error:
        return f"{type(error).__name__}: {place(error)}"
    return None


def place(error: BaseException) -> str:
    """The file and the function that an error is from, the last of sizer's where there is one."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if "/fuzz" not in frame.filename]
    ours = [frame for frame in own if any(part in frame.filename for part in ("/sizer/", "/models/", "/profiles/"))]
    frame = (ours or own)[-1] if own else None
    return "" if frame is None else f"{Path(frame.filename).name}:{frame.name}"
