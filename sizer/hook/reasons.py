"""Why there is nothing to report, as far as what was observed tells."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from sizer.inspection.module_record import MeasuredRecord
    from sizer.script_runs.calls import NotedCall
    from sizer.script_runs.observing import Observer
    from sizer.script_runs.timing import StepTime

#: Processor time of child processes, s, from which they may have trained: an import of torch takes about as much.
_MAY_HAVE_TRAINED_S = 1.0


def why_nothing(observer: Observer | None) -> str:
    """What was seen where no step of a training was; one line."""
    if observer is None or "torch" not in sys.modules:
        return f"torch was not imported here{_children()}"
    if observer.graph_calls:
        return f"{why_left(observer)}{_children()}"
    if observer.steps:
        return f"an optimizer stepped, and no module that it trains was called with gradients on{_compiled()}"
    if observer.other_calls:
        return (
            f"modules were called with gradients off or everything frozen ({observer.other_calls} in all){_children()}"
        )
    return f"no module was called and no optimizer stepped in this process{_compiled()}{_children()}"


def why_left(observer: Observer) -> str:
    """Calls that build a graph, and no optimizer to step on it."""
    names = list(dict.fromkeys(call.kind for call in observer.seen.calls if call.builds_graph))
    times = f"{observer.graph_calls} time{'s' if observer.graph_calls > 1 else ''}"
    called = f"{', '.join(names[:3])} was called {times} with gradients on"
    if observer.steps:
        return f"{called}, and the optimizers that stepped train something else"
    return f"{called}, and none of torch's optimizers stepped"


def _compiled() -> str:
    from sizer.hook.blocks import inside_compiled

    return inside_compiled()


def _children() -> str:
    """What child processes may have done; not known on Windows."""
    used = os.times().children_user
    if used < _MAY_HAVE_TRAINED_S:
        return ""
    return (
        f"; child processes used {used:.0f} s and may have trained: run sizer in them (`torchrun ... -m sizer run`, or "
        f"sizer.advise in the function that trains)"
    )


def compiled_step(call: NotedCall, observer: Observer) -> torch.optim.Optimizer | None:
    """The optimizer that stepped since an earlier call though no hook was called: a compiled one changes parameters."""
    from sizer.script_runs.flops import anything_compiled
    from sizer.script_runs.steps import trained_by

    module, seen = call.module(), observer.seen
    earlier = seen.calls[seen.started :]
    if not call.builds_graph or not any(c.module() is module and c.version != call.version for c in earlier):
        return None
    if not anything_compiled():
        return None
    own = (optimizer for optimizer in observer.optimizers if trained_by(optimizer).keys() & call.trainable)
    return next(own, None)


def measured_record(times: Sequence[StepTime]) -> MeasuredRecord:
    """Timed steps as the record has them."""
    from sizer.inspection.module_record import MeasuredRecord
    from sizer.script_runs.timing import measured

    found = measured(times)
    return MeasuredRecord(found.steps, found.time_per_step_s, found.computing_s, found.shares._asdict())
