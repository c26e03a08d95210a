"""Command lines that nobody writes on purpose, drawn by hypothesis, for `fuzz.py`."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_trial import Hang, limited, place

_COMMANDS: dict[str, tuple[str, ...]] = {
    "recommend": (
        "--input-dim",
        "--depth",
        "--output-dim",
        "--batch-size",
        "--shape",
        "--dtype",
        "--optimizer",
        "--top",
    ),
    "inspect": ("--mlp", "--batch-size", "--optimizer", "--dtype", "--observations", "--device", "--threads"),
    "detect": ("--sysroot",),
    "profiles show": (),
    "profiles compare": ("--input-dim", "--depth", "--batch-size", "--quantity"),
    "profiles export": (),
    "report": ("--html",),
    "search": ("--target", "--loss", "--r2", "--accuracy", "--depth", "--missing", "--decimal", "--widths"),
    "predict": ("--output",),
    "calibrate": ("--budget", "--replay", "--meter", "--threads", "--log-unit", "--wattmeter-log"),
    "study": (),
    "help": (),
}
_WORDS = (
    *(
        "784",
        "0",
        "-1",
        "1e400",
        "2-8",
        "8-2",
        "all",
        "rectangle",
        "adam",
        "float32",
        "butter-e-cpu",
        "nvidia-h200",
        "cpu",
    ),
    *(
        "784-512x2-10",
        "1-1",
        "x",
        "",
        " ",
        "\x1b[2J",
        "\u202e",
        "\ud800",
        "9" * 500,
        "a,b",
        ",",
        "--",
        "-",
        "1h30m",
        "2^20",
    ),
    *("/dev/null", "/", "no/such/file", "cuda:0", "none", "y", "0.5", "10MiB", "a" * 5000, "\0", "*", "~", "NaN"),
)
_FLAGS = ("--json", "--details", "--why-not", "--help", "--no-such-option", "--fresh")


def command_lines(count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Run command lines in this process: each ends with one of the exit codes, and says one line where it is not 0."""
    import hypothesis
    from hypothesis import strategies as st

    from sizer.cli import run

    word = st.one_of(st.sampled_from(_WORDS), st.text(max_size=12))
    kinds: Counter[str] = Counter()
    began, given = time.monotonic(), 0

    @st.composite
    def lines(draw: Any) -> list[str]:
        command = draw(st.sampled_from(sorted(_COMMANDS)))
        found = [*command.split(), *draw(st.lists(word, max_size=2))]
        for option in draw(st.lists(st.sampled_from((*_COMMANDS[command], *_FLAGS)), max_size=5)):
            found += [option] if option in _FLAGS else [option, draw(word)]
        return (
            found
            if command not in ("calibrate", "search")
            else [*found, "--budget" if command == "calibrate" else "--seed", "x"]
        )

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(lines())
    def each(arguments: list[str]) -> None:
        nonlocal given
        given += 1
        kind = _ended(run, arguments)
        if kind is not None:
            kinds[kind] += 1
            if kinds[kind] == 1:
                note = {"reader": "command-line", "kind": kind, "arguments": arguments}
                with (folder / "faults.jsonl").open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(note) + "\n")

    each()
    return {"inputs": given, "seconds": round(time.monotonic() - began, 1), "kinds": dict(kinds)}


def _ended(run: Callable[[list[str]], int], arguments: list[str]) -> str | None:
    out, said = (
        io.TextIOWrapper(io.BytesIO(), "utf-8"),
        io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace"),
    )
    try:
        with limited(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            code = run(arguments)
        said.flush()
        text = said.buffer.getvalue().decode()  # type: ignore[attr-defined]
    except Hang:
        return f"hang: {arguments[0]}"
    except BaseException as error:
        return f"{type(error).__name__}: {place(error)}"
    refusal = [line for line in text.splitlines() if line.startswith("sizer: ")]
    if code not in (0, 1, 2) or (code and len(refusal) != 1) or "Traceback" in text:
        return f"exit {code} with {len(refusal)} lines of refusal: {arguments[0]}"
    if set(text) & set("\x1b\u202e\0"):
        return f"a refusal that steers the terminal: {arguments[0]}"
    return None
