"""What pruning a search's winner came to. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sizer.records import plain


@dataclass(frozen=True)
class ForwardCost:
    """Cost of one forward pass of a network over a batch.

    ``level`` is where the parameters, f, live; ``predicted`` is in s or J (`Pruned.quantity`), None where nothing is
    known of the machine; ``measured_s`` is the quiet time of a pass, both networks timed in turn.
    """

    widths: tuple[int, ...]
    num_free_parameters: int
    level: str | None
    predicted: float | None
    measured_s: float | None


@dataclass(frozen=True)
class Pruned:
    """A winner with units taken out until its parameters lived one cache level nearer, or as many as kept the target.

    ``value_before`` and ``value_after`` are the task's metric before, and after fine-tuning. ``reached_level`` says
    whether f came down to ``level_wanted``. ``fine_tuning_epochs`` are those of all ``attempts`` (first widths, and
    whether the target was kept), and ``fine_tuning_s`` the time that they took.
    """

    before: ForwardCost
    after: ForwardCost
    level_wanted: str
    reached_level: bool
    value_before: float
    value_after: float
    attempts: tuple[tuple[int, bool], ...]
    fine_tuning_epochs: int
    fine_tuning_s: float
    quantity: str

    @property
    def predicted_saving(self) -> float | None:
        """What part of a forward pass is predicted to be saved, None where the cost is not known."""
        return _saving(self.before.predicted, self.after.predicted)

    @property
    def measured_saving(self) -> float | None:
        """What part of a forward pass' time was measured to be saved."""
        return _saving(self.before.measured_s, self.after.measured_s)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON data, with the savings."""
        fields: dict[str, Any] = plain(self)
        attempts = [{"first_width": width, "kept_target": kept} for width, kept in self.attempts]
        savings = {"predicted_saving": self.predicted_saving, "measured_saving": self.measured_saving}
        return fields | {"attempts": attempts} | savings


def _saving(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None or before <= 0 else 1.0 - after / before
