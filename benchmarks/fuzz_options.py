"""Options that readers of `fuzz.py` take beside a file; which of them go with a file is told by its content."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, TypeVar

Options = TypeVar("Options")

#: A zone whose clocks are put back: an hour comes twice.
BERLIN = "Europe/Berlin"

READINGS: tuple[dict[str, Any], ...] = (
    *({}, {}, {}, {"decimal": ","}, {"decimal": "."}, {"decimal": ";"}),
    *({"missing": ("-200", "x")}, {"missing": ("0", "?"), "targets": ("-1",)}, {"targets": ("-1",)}),
    *({"targets": ("y", "target")}, {"wanted": ("x", "y", "a")}),
)
LAYOUTS: tuple[dict[str, Any], ...] = (
    *({}, {}, {}, {}, {"time_zone": "US/Mountain"}, {"time_zone": "+02:00"}, {"unit": "kW"}, {"decimal": ","}),
    *({"node": "node1"}, {"node": "plug"}, {"watts_column": "watts"}, {"time_column": "time"}, {"period_s": 1.0}),
    *({"watts_column": "power", "unit": "mW"}, {"time_zone": BERLIN, "clock_offset_s": -3600.0}, {"time_zone": BERLIN}),
    *({"decimal": "x"}, {"period_s": 0.0}, {"unit": "kWh"}),
)
TASKS: tuple[dict[str, Any], ...] = (
    *({}, {}, {}, {"kind": "classification"}, {"kind": "regression"}, {"metric": "accuracy"}, {"metric": "r2"}),
    *({"validation_share": 0.01}, {"target": ()}, {"seed": 3, "metric": "auc"}, {"metric": "none"}),
    *(
        {"validation_share": 2},
        {"kind": "other"},
        {"target": ("-1",)},
        {"target": ("a", "y")},
        {"target": ("a", "b"), "kind": "classification"},
    ),
)
AIMS: tuple[dict[str, Any], ...] = (
    *({"target_r2": 0.5}, {"target_r2": 0.5}, {"target_loss": 0.1}, {"target_accuracy": 0.9}),
    *({"target_metric": ("f1", 0.5)}, {"target_metric": ("auc", 0.7)}, {"target_metric": ("rmse", 1e-3)}),
    *({"target_metric": ("balanced_accuracy", 2.0)}, {"target_metric": ("mae", -1.0)}, {"target_r2": float("nan")}),
    *({"target_metric": ("mse", 0.0), "kind": "regression"}, {"target_metric": ("error", 0.3)}, {"target_r2": 1.5}),
    *({"target_metric": ("none", 0.5)}, {"target_loss": 0.1, "learning_rate": 1e30}),
    # Those that the first network meets.
    *({"target_accuracy": 0.6}, {"target_r2": 0.02}, {"target_loss": 0.95}),
)
#: A record's file is as it is, larger than any record, or shown without names.
WAYS = ("", "", "", "", "large", "anonymous", "anonymous")


def chosen(content: bytes, options: Sequence[Options]) -> Options:
    """The options that go with a content."""
    return options[zlib.crc32(content) % len(options)]


def aimed(content: bytes, options: Sequence[Options], wanted: Options) -> bytes:
    """A text with so many empty lines at its end that these options go with it."""
    while chosen(content, options) != wanted:
        content += b"\n"
    return content
