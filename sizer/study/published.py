"""Facts of the published study that its analysis needs: data sets, node types, levels, constants (`published.json`)."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sizer.method.placement import Hierarchy

if TYPE_CHECKING:
    import pandas as pd

    from sizer.profiles import Profile

#: Epochs of every run, rows of a batch, and the shares of the rows that are trained and tested on.
EPOCHS = 3000
BATCH_SIZE = 256
TRAIN_SHARE, TEST_SHARE = 0.8, 0.2
#: The data set and the largest size whose runs tell what a run of no work costs.
OVERHEAD_DATASET, OVERHEAD_SIZE = "505_tecator", 1024
#: Runs of this depth are one network whatever their shape, and are filed under this shape.
SHAPELESS_DEPTH, SHAPELESS_SHAPE = 2, "rectangle"

_PROFILES = {"cpu": "butter-e-cpu", "gpu": "butter-e-gpu"}


@lru_cache
def facts(name: str) -> dict[str, Any]:
    """One of the files of facts beside this module as plain data; it names its source and licence."""
    data: dict[str, Any] = json.loads(files("sizer.study").joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return data


def published() -> dict[str, Any]:
    """What the study states of itself."""
    return facts("published")


def datasets() -> pd.DataFrame:
    """The study's data sets: index dataset; n_observations, n_features (raw), input_dim (true), output_dim."""
    import pandas as pd

    return pd.DataFrame.from_dict(published()["datasets"], orient="index").rename_axis("dataset")


def node_profile(hardware: str) -> Profile:
    """The profile of the study's node type, ``cpu`` or ``gpu``: its levels and its published coefficients."""
    from sizer import profiles

    return profiles.load(_PROFILES[hardware])


@lru_cache(maxsize=1)
def hierarchies() -> dict[str, Hierarchy]:
    """Levels of the study's two node types, ``cpu`` and ``gpu``."""
    return {name: Hierarchy.of(node_profile(name).device) for name in _PROFILES}


def batches(n_observations: Any, share: float, batch_size: Any = BATCH_SIZE) -> Any:
    """Batches an epoch: ceil(share n / B), of a number or an array; ``share`` is `TRAIN_SHARE` or `TEST_SHARE`.

    Worked in tenths, since 0.2 n in floating point can lie above a whole number.
    """
    tenths = round(share * 10) * n_observations
    return -(-tenths // (10 * batch_size))
