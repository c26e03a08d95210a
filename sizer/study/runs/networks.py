"""From measured runs to the runs frame that every analysis reads: widths, counts, working sets and their levels.

**The runs frame** is one row a training run. It has the columns of the published `runs_with_standardized_energy`
(`sizer.study.files.schema.STANDARDIZED`; energies in J, powers in W, times in s) and these, which `with_networks` adds:

| column | dtype | meaning |
|---|---|---|
| hardware | str | ``cpu`` or ``gpu``, from is_gpu |
| n_observations, n_features | int64 | rows and raw feature count of the data set |
| input_dim, output_dim | int64 | the network's true input and output width |
| widths | object (tuple of int) | output width of each dense layer, the output layer included; length is depth |
| full | object (tuple of int) | ``(n_features, *widths)``: the study's quirk, its widths start with the raw count |
| num_free_parameters | int64 | NTP, from the true input width |
| epochs | int64 | epochs trained (3000 in the study) |
| h_t, h_s | int64 | training and test batches an epoch, ceil(0.8 n / B) and ceil(0.2 n / B) |
| forward_operations, backward_operations | int64 | o_f, o_b of one batch, the paper's count (1 a multiply-accumulate) |
| operations_per_datum | float64 | (h_t (o_f + o_b) + h_s o_f) / (h_t B) |
| energy_per_datum_j | float64 | non_overhead_energy / (h_t epochs B), J |
| time_per_datum_s | float64 | non_overhead_runtime / (h_t epochs B), s |
| f_bytes, b_bytes, t_max_bytes, d_bytes, o_bytes | int64 | replicated + distributed (t_max: the largest t_l) |
| f_cached_bytes, ... | float64 | replicated + distributed / instances at the level where the set lives |
| f_occupied_bytes, ... | float64 | bytes occupied up to and with the set |
| f_level, b_level, t_max_level, d_level, o_level | str or None | the level's name; None where it fits on none |

The columns of the sets are named ``<set>_bytes``, ``<set>_cached_bytes``, ``<set>_occupied_bytes``, ``<set>_level``.
Runs that the filters marked (`filter` is True) are not in a runs frame: `load_runs` leaves them out and
counts them. Runs whose network is unknown (no such data set, shape or size) are left out and counted too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sizer.base.errors import MeasurementError
from sizer.method.cost import Networks, analyse, backward_operations, forward_operations
from sizer.method.placement import Hierarchy
from sizer.method.training_step import OPTIMIZER_MOMENTS, Training
from sizer.method.working_sets import stack
from sizer.models.shapes import SHAPES, IntArray, layer_widths, residual_additions
from sizer.models.topology import MAX_WIDTH, TOLERANCE
from sizer.study import published as study
from sizer.study.step import Rule, Table

#: What `solve_widths` reads of each network.
NETWORK = ["shape", "size", "depth", "input_dim", "output_dim"]


def solve_widths(networks: pd.DataFrame) -> pd.Series:
    """Widths (a tuple) of each network, None where its size is refused (more than 20 % off) or its shape unknown.

    ``networks`` has the columns `NETWORK`. BUTTER's bisection of the first width over 1 to 2^30, as
    `sizer.models.Topology.solve` does it for one network; equal rows are solved once.
    """
    unique = networks[NETWORK].drop_duplicates().reset_index(drop=True)
    found = pd.Series([None] * len(unique), dtype=object)
    for (shape, depth, output_dim), group in unique.groupby(["shape", "depth", "output_dim"], sort=False):
        if shape in SHAPES and depth >= 1:
            solved = _solve(str(shape), int(depth), int(output_dim), group["input_dim"], group["size"])
            found.loc[group.index] = pd.Series(solved, index=group.index, dtype=object)
    keyed = unique.assign(widths=found)
    return networks[NETWORK].merge(keyed, on=NETWORK, how="left").set_axis(networks.index)["widths"]


def _solve(
    shape: str, depth: int, output_dim: int, inputs: pd.Series, targets: pd.Series
) -> list[tuple[int, ...] | None]:
    """Widths of the networks of one shape, depth and output nearest to each target, None where that is refused."""
    input_dim, target = inputs.to_numpy(np.int64), targets.to_numpy(np.int64)
    low, high = np.ones_like(target), np.full_like(target, MAX_WIDTH)
    best_width, best_error = low, np.full_like(target, np.iinfo(np.int64).max)
    running = np.ones(target.shape, dtype=bool)
    while running.any():
        middle = (low + high) // 2
        count = _parameters(input_dim, layer_widths(shape, middle, depth, output_dim))
        better = running & (np.abs(count - target) < best_error)
        best_width, best_error = np.where(better, (middle, np.abs(count - target)), (best_width, best_error))
        low = np.where(running & (count < target), middle + 1, low)
        high = np.where(running & (count > target), middle, high)
        running &= (count != target) & (low < high)
    widths = layer_widths(shape, best_width, depth, output_dim)
    accepted = best_error <= TOLERANCE * target
    return [tuple(column) if fine else None for column, fine in zip(widths.T.tolist(), accepted, strict=True)]


def _parameters(input_dim: IntArray, widths: IntArray) -> IntArray:
    """Trainable parameters; beyond 2^62, where products would overflow, as large as can be."""
    full = np.concatenate([input_dim[None], widths]).astype(np.float64)
    count = ((full[:-1] + 1) * full[1:]).sum(axis=0)
    exact = ((np.concatenate([input_dim[None], widths])[:-1] + 1) * widths).sum(axis=0)
    return np.where(count < 2.0**62, exact, np.iinfo(np.int64).max // 2)


#: Sets of the columns ``<set>_bytes`` and so on, in `sizer.method.working_sets.WorkingSets`.
SETS = ("f", "b", "t_max", "d", "o")
_SETTINGS = ["hardware", "n_observations", "n_features", "batch_size", "optimizer", "epochs", "h_t", "h_s"]
#: Optimizers by the moments that they keep for each parameter, which is all that a working set depends on.
_MOMENTS = {**OPTIMIZER_MOMENTS, "rmsprop": 1}
_BY_MOMENTS = {moments: name for name, moments in OPTIMIZER_MOMENTS.items()}


class Group(NamedTuple):
    """Runs that share hardware, data set and settings; ``positions`` are their rows in the frame."""

    hardware: str
    positions: npt.NDArray[np.int64]
    networks: Networks
    epochs: int
    h_t: int
    h_s: int


def with_networks(
    runs: pd.DataFrame,
    summaries: pd.DataFrame | None = None,
    datasets: pd.DataFrame | None = None,
    levels: Mapping[str, Hierarchy] | None = None,
) -> Table:
    """The runs frame: ``runs`` with the columns that the module's text lists, and the rules with what they left out.

    ``runs`` needs dataset, shape, size, depth, batch_size, optimizer and is_gpu; with energies, it also gets them a
    datum. ``summaries`` (`sizer.study.files.tables.read_summaries`) gives widths and parameter counts by experiment_id;
    where it has none, the widths are solved for. ``datasets`` is a table like `sizer.study.published.datasets` and
    ``levels`` the memory hierarchy of each hardware; both default to the study's. Columns that ``runs`` already has
    (n_observations, epochs, h_t, widths, ...) are kept. Raises MeasurementError for a missing column.
    """
    needed = ("dataset", "shape", "size", "depth", "batch_size", "optimizer", "is_gpu")
    if missing := [name for name in needed if name not in runs]:
        raise MeasurementError(f"the runs have no column {', '.join(missing)}; expected {', '.join(needed)}")
    frame = runs.assign(hardware=np.where(runs["is_gpu"].astype(bool), "gpu", "cpu")).reset_index(drop=True)
    frame, unknown = _with_dataset(frame, study.datasets() if datasets is None else datasets)
    frame, unsolved = _with_widths(_with_epochs(frame), summaries)
    frame, unplaced = _with_optimizer(frame)
    frame = _with_counts(frame, study.hierarchies() if levels is None else levels)
    return Table(_with_cost_per_datum(frame), (unknown, unsolved, unplaced))


def analysed(frame: pd.DataFrame, levels: Mapping[str, Hierarchy] | None = None) -> Iterator[Group]:
    """Working sets and placements of a runs frame's networks, a group a hardware, data set and setting.

    As in the study the widths start with the raw feature count, the parameter count is the true one, and one
    observation is the raw features and one target.
    """
    hierarchies = study.hierarchies() if levels is None else levels
    groups: Mapping[Any, Any] = frame.groupby(_SETTINGS, sort=False).indices
    for settings, positions in groups.items():
        hardware, observations, features, batch_size, optimizer, epochs, h_t, h_s = settings
        training = Training(
            int(batch_size),
            optimizer=_BY_MOMENTS[_MOMENTS[optimizer.lower()]],
            observations=int(observations),
            datum_elements=int(features) + 1,
        )
        some = frame.iloc[positions]
        networks = analyse(
            stack(some["full"]),
            some["num_free_parameters"].to_numpy(np.int64),
            training,
            hierarchies[hardware],
            np.array([residual_additions(*pair) for pair in zip(some["shape"], some["depth"], strict=True)]),
        )
        yield Group(hardware, positions, networks, int(epochs), int(h_t), int(h_s))


def _with_dataset(frame: pd.DataFrame, datasets: pd.DataFrame) -> tuple[pd.DataFrame, Rule]:
    """Adds the facts of each run's data set; runs of unknown data sets are left out."""
    wanted = [name for name in ("n_observations", "n_features", "input_dim", "output_dim") if name not in frame]
    frame = frame.join(datasets[wanted], on="dataset")
    known = frame[wanted].notna().all(axis=1)
    meaning = "the data set is not in the table of data sets, so that its rows and features are not known"
    rule = Rule.of("unknown data set", meaning, ~known, frame["dataset"])
    frame = frame[known].reset_index(drop=True)
    return frame.astype(dict.fromkeys(wanted, np.int64)), rule


def _with_epochs(frame: pd.DataFrame) -> pd.DataFrame:
    batch_size, observations = frame["batch_size"].astype(np.int64), frame["n_observations"]
    defaults = {
        "epochs": np.full(len(frame), study.EPOCHS),
        "h_t": study.batches(observations, study.TRAIN_SHARE, batch_size),
        "h_s": study.batches(observations, study.TEST_SHARE, batch_size),
    }
    return frame.assign(**{name: values for name, values in defaults.items() if name not in frame})


def _with_widths(frame: pd.DataFrame, summaries: pd.DataFrame | None) -> tuple[pd.DataFrame, Rule]:
    """Adds widths, full and num_free_parameters: those of the summaries, else solved for; the rest is left out."""
    if "widths" not in frame:
        frame = frame.assign(widths=None)
        if summaries is not None and "experiment_id" in frame:
            known = summaries.drop_duplicates("experiment_id").set_index("experiment_id")["widths"]
            frame["widths"] = frame["experiment_id"].map(known)
        missing = frame["widths"].isna()
        frame.loc[missing, "widths"] = solve_widths(frame.loc[missing, NETWORK])
    known = frame["widths"].notna()
    meaning = "no network of that shape, depth and size within 20 %, so that its widths are not known"
    lost = [" ".join(map(str, network)) for network in frame.loc[~known, NETWORK[:3]].itertuples(index=False)]
    rule = Rule.listing("unknown network", meaning, lost, "runs")
    frame = frame[known].reset_index(drop=True)
    frame["widths"] = of_tuples(frame["widths"])
    frame["full"] = of_tuples((first, *each) for first, each in zip(frame["n_features"], frame["widths"], strict=True))
    if "num_free_parameters" not in frame:
        true = stack((first, *each) for first, each in zip(frame["input_dim"], frame["widths"], strict=True))
        frame["num_free_parameters"] = ((true[:-1] + 1) * true[1:]).sum(axis=0)
    return frame, rule


def of_tuples(values: Iterable[Iterable[int]]) -> npt.NDArray[np.object_]:
    """Lists of numbers as a column of tuples, which numpy would make a table of where they have the same length."""
    tuples = [tuple(map(int, each)) for each in values]
    column = np.empty(len(tuples), dtype=object)
    column[:] = tuples
    return column


def _with_optimizer(frame: pd.DataFrame) -> tuple[pd.DataFrame, Rule]:
    known = frame["optimizer"].str.lower().isin(_MOMENTS)
    meaning = f"an optimizer whose moments are not known; known are {', '.join(_MOMENTS)}"
    return frame[known].reset_index(drop=True), Rule.of("unknown optimizer", meaning, ~known, frame["optimizer"])


def _with_counts(frame: pd.DataFrame, levels: Mapping[str, Hierarchy]) -> pd.DataFrame:
    """Adds operations, and each set's size, level, cached and occupied bytes."""
    parts = [_counts(group) for group in analysed(frame, levels)]
    if not parts:
        return frame
    counts = pd.concat(parts).sort_index()
    per_epoch = frame["h_t"] * (counts["forward_operations"] + counts["backward_operations"])
    per_epoch += frame["h_s"] * counts["forward_operations"]
    counts["operations_per_datum"] = per_epoch / (frame["h_t"] * frame["batch_size"].astype(np.int64))
    return pd.concat([frame.drop(columns=list(counts.columns), errors="ignore"), counts], axis=1)


def _counts(group: Group) -> pd.DataFrame:
    networks = group.networks
    batch_size = networks.training.batch_size
    columns: dict[str, object] = {
        "forward_operations": forward_operations(networks.full, batch_size),
        "backward_operations": backward_operations(networks.full, networks.num_free_parameters, batch_size),
    }
    names = np.array([*networks.hierarchy.names, None], dtype=object)  # the last one is NOWHERE, index -1
    for name in SETS:
        placed = getattr(networks.placements, name)
        columns[f"{name}_bytes"] = getattr(networks.sets, name).total
        columns[f"{name}_cached_bytes"] = placed.cached
        columns[f"{name}_occupied_bytes"] = placed.occupied
        columns[f"{name}_level"] = names[placed.level]
    return pd.DataFrame(columns, index=group.positions)


def _with_cost_per_datum(frame: pd.DataFrame) -> pd.DataFrame:
    """J and s a training datum: the cost without overhead over h_t x epochs x B (reference README)."""
    data = frame["h_t"] * frame["epochs"] * frame["batch_size"].astype(np.int64)
    costs = {"energy_per_datum_j": "non_overhead_energy", "time_per_datum_s": "non_overhead_runtime"}
    return frame.assign(**{name: frame[cost] / data for name, cost in costs.items() if cost in frame})
