"""What is refused before the first run, and what a script does to the world that is warned of."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from sizer.base.errors import UsageError

#: Variables that torchrun and its like set in each process.
_LAUNCHERS = ("TORCHELASTIC_RUN_ID", "LOCAL_RANK", "RANK")
#: Modules that start several processes of a training.
_LAUNCHING = ("torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch", "deepspeed")
#: Part of a call's name -> what it does.
_EFFECTS = {
    "push_to_hub": "uploads a model",
    "upload_file": "uploads a file",
    "requests.post": "posts to a server",
    "requests.put": "posts to a server",
    "subprocess.": "starts programs",
    "os.system": "starts programs",
    "shutil.rmtree": "removes folders",
    "os.remove": "removes files",
    "smtplib.": "sends mail",
}


def check(script: str, module: bool, environment: Mapping[str, str]) -> None:
    """Raises UsageError for a training in several processes that were launched together."""
    launched = next((name for name in _LAUNCHERS if environment.get(name)), None)
    if launched is not None:
        raise UsageError(
            f"sizer tune cannot tune several processes that torchrun starts ({launched} is set); tune it alone, "
            "in one process: sizer tune train.py"
        )
    if module and script in _LAUNCHING:
        raise UsageError(f"sizer tune cannot tune what {script} starts in several processes; tune the script alone")


def side_effects(file: Path) -> Iterator[str]:
    """What a script's own text says that it does beside training, each with its line."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    told = set()
    for node in ast.walk(tree):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        for part, what in _EFFECTS.items():
            if part in name and what not in told:
                told.add(what)
                yield f"{name}(...) in line {node.lineno} {what}"  # type: ignore[attr-defined]
        if name == "open" and _writes_outside(node):
            yield f"open(...) in line {node.lineno} writes outside of the working folder"  # type: ignore[attr-defined]


def _writes_outside(node: ast.AST) -> bool:
    texts = [
        arg.value for arg in getattr(node, "args", []) if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
    ]
    return len(texts) > 1 and texts[0].startswith("/") and not texts[0].startswith("/tmp") and "w" in texts[1]  # noqa: S108
