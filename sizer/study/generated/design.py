"""Which runs generated files hold, what each costs by the cost model, and which node ran it when."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from sizer.base.errors import UsageError
from sizer.method.coefficients import Coefficients
from sizer.method.cost import training_cost
from sizer.models.shapes import SHAPES
from sizer.study import published as study
from sizer.study.runs.networks import analysed, solve_widths, with_networks

HARDWARE = ("cpu", "gpu")
#: Standardised power of a run: at no work and at most, W. The published medians are 327 and 422 W.
_POWER_W = {"cpu": (262.0, 395.0), "gpu": (414.0, 480.0)}
#: Operations a batch at which power is halfway between the two.
_HALF_POWER_OPERATIONS = 2e7
#: Runs of a job follow each other on its node; the gap is longer than a power sample is held.
_GAP_S, _RUNS_A_JOB, _RUNS_A_NODE = (65.0, 240.0), 12, 16
_FIRST_START = pd.Timestamp("2023-01-09T06:00:00Z").value // 1000
_SPREAD_S = 320 * 86_400.0
#: Small networks of the data set whose runs tell the overhead: without them none could be subtracted.
_OVERHEAD_NETWORKS = pd.DataFrame(
    {
        "dataset": study.OVERHEAD_DATASET,
        "shape": study.SHAPELESS_SHAPE,
        "depth": study.SHAPELESS_DEPTH,
        "size": [study.OVERHEAD_SIZE // 2, study.OVERHEAD_SIZE],
    }
)


@dataclass(frozen=True)
class Plan:
    """What to generate: about ``runs`` runs with ``noise`` (standard deviation of the log of a run's energy).

    ``datasets``, ``shapes``, ``depths``, ``sizes`` and ``hardware`` restrict the study's grid (None: all of it). The
    grid is filled line by line (all sizes of a data set, shape, depth and hardware), so that few runs still show how
    cost goes with size. ``faults`` is the share of runs with missing or zero power samples, ``repeats`` that of runs
    which repeat another. ``coefficients`` replace the published ones, by hardware. With no noise and no faults the
    energies are the model's to the last digit but one.
    """

    runs: int = 500
    seed: int = 0
    noise: float = 0.05
    faults: float = 0.016
    repeats: float = 0.15
    removed_batch: float = 0.02
    datasets: tuple[str, ...] | None = None
    shapes: tuple[str, ...] | None = None
    depths: tuple[int, ...] | None = None
    sizes: tuple[int, ...] | None = None
    hardware: tuple[str, ...] = HARDWARE
    coefficients: dict[str, Coefficients] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 20 <= self.runs <= 1_000_000:
            raise UsageError(f"runs is {self.runs!r}; expected a whole number from 20 to 1,000,000")
        if not 0 <= self.noise <= 1:
            raise UsageError(f"noise is {self.noise!r}; expected a number from 0 to 1")
        if not set(self.hardware) <= set(HARDWARE) or not self.hardware:
            raise UsageError(f"hardware is {', '.join(self.hardware)!r}; expected cpu, gpu or both")
        if unknown := set(self.datasets or ()) - set(study.datasets().index):
            known = ", ".join(study.datasets().index)
            raise UsageError(f"unknown data set {', '.join(sorted(unknown))!r}; expected some of {known}")

    def priced(self, hardware: str) -> Coefficients:
        """Cost coefficients of a hardware: those given, else the published ones."""
        given = self.coefficients.get(hardware) or study.node_profile(hardware).coefficients
        assert given is not None  # the study's profiles have them
        return given


def design(plan: Plan) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(runs, nodes, experiments) of a plan; the same plan gives the same frames."""
    random = np.random.default_rng(plan.seed)
    grid = experiments(plan, random)
    runs = costed_runs(plan, designed_runs(plan, grid, random), random)
    nodes = make_nodes(max(len(runs) // _RUNS_A_NODE, 12), random)
    return scheduled_runs(runs, nodes, random), nodes, grid


def experiments(plan: Plan, random: np.random.Generator) -> pd.DataFrame:
    """The networks to run, whole lines of sizes: dataset, shape, depth, size, widths, old_experiment_id.

    Lines are drawn at random until they hold enough runs; sizes that a shape cannot reach are left out.
    """
    facts = study.published()
    sizes = plan.sizes or tuple(2**exponent for exponent in facts["sizes_log2"])
    axes = (plan.datasets or facts["datasets"], plan.shapes or SHAPES, plan.depths or facts["depths"])
    lines = pd.MultiIndex.from_product([list(axis) for axis in axes], names=["dataset", "shape", "depth"])
    enough = 2 + 3 * plan.runs // (2 * len(sizes) * len(plan.hardware))  # a third of a line can be out of reach
    drawn = lines[random.permutation(len(lines))[:enough]].to_frame(index=False)
    grid = pd.concat([_OVERHEAD_NETWORKS, drawn.merge(pd.DataFrame({"size": sizes}), how="cross")])
    grid = grid.drop_duplicates(ignore_index=True)
    grid["widths"] = solve_widths(grid.join(study.datasets()[["input_dim", "output_dim"]], on="dataset"))
    grid = grid[grid["widths"].notna()].reset_index(drop=True)
    return grid.assign(old_experiment_id=1_800_000 + np.arange(len(grid)))


def designed_runs(plan: Plan, grid: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """The runs: each network on each hardware until there are enough, and repeats of some of them."""
    count = round(plan.runs * (1 - plan.repeats))
    both = grid.loc[grid.index.repeat(len(plan.hardware))].reset_index(drop=True)
    both["is_gpu"] = np.tile(np.array(plan.hardware) == "gpu", len(grid))
    is_overhead = (both["dataset"] == study.OVERHEAD_DATASET) & (both["size"] <= study.OVERHEAD_SIZE)
    overhead = both[is_overhead].groupby("is_gpu").sample(max(6, plan.runs // 200), replace=True, random_state=random)
    first = pd.concat([overhead, both[~is_overhead]])[: max(count, len(overhead))]
    again = first.iloc[random.integers(0, len(first), max(plan.runs - len(first), 0))]
    return pd.concat([first, again]).reset_index(drop=True)


def costed_runs(plan: Plan, runs: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Adds std_energy (J, by the model times noise), std_power (W, a whole number) and run_time (s, whole us)."""
    runs = with_networks(runs.assign(batch_size=str(study.BATCH_SIZE), optimizer="Adam")).frame
    energy = np.empty(len(runs))
    for group in analysed(runs):
        batches = {"training_batches": group.h_t, "test_batches": group.h_s}
        priced = plan.priced(group.hardware)
        energy[group.positions] = training_cost(group.networks, priced, epochs=study.EPOCHS, **batches)
    energy *= np.exp(random.normal(0.0, plan.noise, len(runs))) if plan.noise else 1.0
    operations = (runs["forward_operations"] + runs["backward_operations"]).to_numpy(float)
    load = operations / (operations + _HALF_POWER_OPERATIONS)
    low, high = (np.where(runs["is_gpu"], _POWER_W["gpu"][i], _POWER_W["cpu"][i]) for i in (0, 1))
    power = np.rint(low + (high - low) * load)
    return runs.assign(std_energy=energy, std_power=power, run_time_us=np.rint(energy / power * 1e6).astype(np.int64))


def make_nodes(count: int, random: np.random.Generator) -> pd.DataFrame:
    """About ``count`` nodes: node, type, is_gpu, idle_w, idle_offset_w (to the reference type) and SLURM's columns.

    At least three of a type, the nodes' 2 % quantiles spread evenly around their type's idle power, which is their
    median therefore.
    """
    facts = study.published()
    idle, rows = facts["idle_power_w_by_type"], []
    for key, kind in facts["node_types"].items():
        cpus, disk, memory, gres = key.split(" ")
        slurm = {"CPUS": int(cpus), "MEMORY": int(memory), "TMP_DISK": int(disk), "GRES": gres}
        offset_w = idle[kind] - idle[facts["reference_node_type"][kind[:3]]]
        is_gpu, share = kind.startswith("gpu"), 0.5 if kind in ("cpu1", "gpu1") else 0.2
        number = max(3, 2 * round(count * share / 4) + 1)
        for index, spread in enumerate(np.clip(np.arange(number) - number // 2, -6, 6)):
            node = f"{'r10' if is_gpu else 'r'}{kind[-1]}i{index // 36}n{index % 36}"
            power = {"idle_w": idle[kind] + float(spread), "idle_offset_w": offset_w}
            rows.append({"node": node, "type": kind, "is_gpu": is_gpu, **power, **slurm})
    nodes = pd.DataFrame(rows)
    return nodes.iloc[random.permutation(len(nodes))].reset_index(drop=True)


def scheduled_runs(runs: pd.DataFrame, nodes: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Adds node, its idle offset, slurm_job_id and start and end (us since 1970); a job's runs follow each other."""
    runs = runs.iloc[random.permutation(len(runs))].sort_values("is_gpu", kind="stable").reset_index(drop=True)
    place = runs.groupby("is_gpu").cumcount().to_numpy()
    gpu = runs["is_gpu"].to_numpy()
    job = place // _RUNS_A_JOB + np.where(gpu, 1_000_000, 0)
    jobs, job_index = np.unique(job, return_inverse=True)
    slot = (place % _RUNS_A_JOB) // (_RUNS_A_JOB // 2) * (job_index % 9 == 0)  # every ninth job has two nodes
    node = np.empty(len(runs), dtype=np.int64)
    for is_gpu in (False, True):
        these = np.flatnonzero(nodes["is_gpu"].to_numpy() == is_gpu)
        here = gpu == is_gpu
        node[here] = these[(job_index[here] * 2 + slot[here]) % len(these)] if len(these) else 0
    start_of_job = _FIRST_START + (random.uniform(0, _SPREAD_S, len(jobs)) * 1e6).astype(np.int64)
    gap = (random.uniform(*_GAP_S, len(runs)) * 1e6).astype(np.int64)
    runs = runs.assign(slurm_job_id=9_000_000 + job_index, slot=slot)
    elapsed = (runs["run_time_us"] + gap).groupby([runs["slurm_job_id"], runs["slot"]]).cumsum()
    end = start_of_job[job_index] + elapsed.to_numpy()
    return runs.assign(
        node=nodes["node"].to_numpy()[node],
        idle_offset_w=nodes["idle_offset_w"].to_numpy()[node],
        start_us=end - runs["run_time_us"].to_numpy(),
        end_us=end,
    )
