"""A Lightning callback: ``Trainer(callbacks=[SizerCallback()])``. Needs ``pip install cache-sizer[lightning]``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sizer.hook.watching import Watch

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:  # the older distribution of the same framework
    from pytorch_lightning.callbacks import Callback  # type: ignore[no-redef, assignment, import-not-found, unused-ignore]

if TYPE_CHECKING:
    from sizer.inspection.module_record import ModuleInspection


class SizerCallback(Callback):  # type: ignore[misc, unused-ignore]
    """Reports once, when the first step has shown what it trains. ``record`` holds the inspection after that."""

    def __init__(self, json_file: str | os.PathLike[str] | None = None, quiet: bool = False) -> None:
        super().__init__()
        self._watch = Watch(json_file=json_file, quiet=quiet)

    @property
    def record(self) -> ModuleInspection | None:
        """The inspection, None before the first step and on all ranks but the first."""
        return self._watch.record

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Begin to wait."""
        if not self._watch.trained:
            self._watch.start()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Remove what is still in place."""
        self._watch.stop()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Remove what is still in place."""
        self._watch.stop()
