"""A skorch callback: ``NeuralNet(..., callbacks=[SizerCallback()])``. Needs ``pip install cache-sizer[skorch]``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from skorch.callbacks import Callback  # type: ignore[import-untyped, import-not-found, unused-ignore]

from sizer.hook.watching import Watch

if TYPE_CHECKING:
    from sizer.inspection.module_record import ModuleInspection


class SizerCallback(Callback):  # type: ignore[misc, unused-ignore]
    """Reports once, when the first step has shown what it trains. ``record_`` holds the inspection then.

    As scikit-learn asks, the parameters are attributes and what is learned ends in an underscore, so that nets with
    this callback can be cloned.
    """

    def __init__(self, json_file: str | os.PathLike[str] | None = None, quiet: bool = False) -> None:
        self.json_file = json_file
        self.quiet = quiet

    def initialize(self) -> SizerCallback:
        """A fresh state for a fresh net."""
        self.watch_ = Watch(json_file=self.json_file, quiet=self.quiet)
        return self

    @property
    def record_(self) -> ModuleInspection | None:
        """The inspection, None before the first step."""
        return self.watch_.record

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:  # noqa: ARG002, N803
        """Begin to wait."""
        if not self.watch_.trained:
            self.watch_.start()

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:  # noqa: ARG002, N803
        """Remove what is still in place."""
        self.watch_.stop()

    def __getstate__(self) -> dict[str, Any]:
        """A net is pickled without the watch, which belongs to one training."""
        return {name: value for name, value in vars(self).items() if name != "watch_"}
