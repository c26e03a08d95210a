"""A callback of Hugging Face's Trainer: ``callbacks=[SizerCallback()]``. Needs ``cache-sizer[transformers]``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from sizer.hook.watching import Watch

if TYPE_CHECKING:
    from sizer.inspection.module_record import ModuleInspection


class SizerCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Reports once, when the first step has shown what it trains. ``record`` holds the inspection after that."""

    def __init__(self, json_file: str | os.PathLike[str] | None = None, quiet: bool = False) -> None:
        self._watch = Watch(json_file=json_file, quiet=quiet)

    @property
    def record(self) -> ModuleInspection | None:
        """The inspection, None before the first step and on all ranks but the first."""
        return self._watch.record

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Begin to wait."""
        if not self._watch.trained:
            self._watch.start()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Remove what is still in place."""
        self._watch.stop()
