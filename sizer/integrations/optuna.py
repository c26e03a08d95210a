"""Widths for an Optuna study, from cache-aware candidates instead of raw integers. Needs ``cache-sizer[optuna]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sizer
from sizer.models.topology import Topology

if TYPE_CHECKING:
    import optuna

    from sizer.method.recommendation import Candidate


class WidthSpace:
    """The candidate networks of a request, worked out once and the same for every trial of a study.

    Takes what `sizer.recommend` takes. ``networks`` lists the topologies, the optimum of the sweep among them.
    """

    def __init__(self, *, input_dim: int, depth: int | Sequence[int], top: int = 10, **options: Any) -> None:
        record = sizer.recommend(input_dim=input_dim, depth=depth, top=top, **options)
        candidates: list[Candidate] = [*record.candidates, record.optimum]
        self.networks: dict[str, Topology] = {_name(candidate): candidate.topology for candidate in candidates}

    def suggest(self, trial: optuna.trial.BaseTrial, name: str = "widths") -> Topology:
        """Let a trial choose a network; the parameter's value is its shape and widths as text."""
        return self.networks[trial.suggest_categorical(name, list(self.networks))]


def suggest_widths(trial: optuna.trial.BaseTrial, *, name: str = "widths", **options: Any) -> Topology:
    """A cache-aware network for a trial, in one call; a `WidthSpace` made before the study saves a sweep a trial."""
    return WidthSpace(**options).suggest(trial, name)


def _name(candidate: Candidate) -> str:
    return f"{candidate.shape} {'-'.join(map(str, (candidate.input_dim, *candidate.widths)))}"
