"""The predictions that a search keeps of what it trained, and the best average of some of them."""

from __future__ import annotations

from collections.abc import Iterable

from sizer.size_search.arms import SearchCandidate
from sizer.size_search.data.table import CustomTask, Task
from sizer.size_search.ensembles import Kept, Selection, select
from sizer.size_search.log import LogEntry, SearchFolder, read_checkpoint
from sizer.size_search.trials.training import kept_of

#: Averages are looked at from where the best network is so near to the target, as a ratio: what averaging took off the
#: best single loss was at most a third (docs/search.md).
NEAR = 1.6
#: Networks that are looked at, the best ones; what the others predicted is not held in memory.
LOOKED_AT = 12


class Library:
    """What each arm's network predicted after its best epoch; read back from checkpoints where a search goes on."""

    def __init__(self, task: Task | CustomTask, folder: SearchFolder) -> None:
        self._validation = task.validation
        self._folder = folder
        self._kept: dict[str, Kept | None] = {}

    def add(self, entry: LogEntry) -> None:
        """Take in what a slice did; one that was read back from the log is looked up when it is wanted."""
        if entry.state is None:
            self._kept.pop(entry.trial, None)
        else:
            self._kept[entry.trial] = entry.kept  # (of the others, `average` lets go)

    def average(self, arms: Iterable[SearchCandidate], shortfall: float, most: int) -> Selection | None:
        """The best average of at most so many networks, None where they are far from a target with that shortfall."""
        trained = [arm for arm in arms if arm.values and arm.checkpoint is not None]
        best = sorted(trained, key=self._standing)[:LOOKED_AT] if self._validation is not None and most > 1 else []
        self._kept = {arm.name: self._kept[arm.name] for arm in best if arm.name in self._kept}
        if self._validation is None or len(best) < 2 or min(min(arm.values) for arm in best) > NEAR * shortfall:
            return None
        kept = {arm.name: known for arm in best if (known := self._of(arm)) is not None}
        return select(self._validation, kept, most) if len(kept) > 1 else None

    def _standing(self, arm: SearchCandidate) -> float:
        """How good an arm's network has been, by the rows that choose alone."""
        assert self._validation is not None  # (`average` has looked)
        return min(epoch.standing(self._validation.metric) for epoch in arm.epochs)

    def _of(self, arm: SearchCandidate) -> Kept | None:
        """What is kept of an arm; None of one that a version before trained, or that told nothing."""
        if arm.name not in self._kept:
            assert self._validation is not None  # (`average` has looked)
            best = read_checkpoint(self._folder.checkpoint(arm.checkpoint) or b"").get("best")
            self._kept[arm.name] = None if best is None else kept_of(best, self._validation.kind)
        return self._kept[arm.name]

    def epoch_of(self, name: str) -> int:
        """The epoch after which an arm's network is the one whose predictions are kept."""
        kept = self._kept[name]
        assert kept is not None  # (it is a member of an average)
        return kept.epoch
