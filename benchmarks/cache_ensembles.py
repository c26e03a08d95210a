"""One wide network, several cache-sized ones in one batched product, and the same ones in turn, at equal parameters.

    python benchmarks/cache_ensembles.py --threads 1    # a minute; the machine must be quiet

What section 9.3 of the paper (arXiv 2403.08151) suggests: networks that fit a cache, trained k steps each in turn, need
not fetch their weights from farther away at every step. Prints the quiet time of a step of every network together, by
row as a ratio to the wide network's, and where the backward pass' set lives (one network's, and all of them together).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from curve_stacks import Member, Rows, Stack

from sizer.devices import choose
from sizer.method.cost import analyse
from sizer.method.placement import Hierarchy
from sizer.method.training_step import Training
from sizer.method.working_sets import count_parameters, stack
from sizer.models.topology import Topology

INPUTS, OUTPUTS, DEPTH, BATCH_SIZE = 36, 6, 4, 256
#: Parameters in all, how many networks they are shared out among, and steps that a network takes at its turn.
TOTALS = tuple(2**k for k in (16, 18, 20, 22))
NETWORKS = (4, 16)
TURNS = (1, 8, 64)
_ROUNDS, _STEPS = 5, 64


def stack_of(parameters: int, members: int) -> Stack:
    """So many networks of a size, as one batched product."""
    topology = Topology.solve("rectangle", parameters, DEPTH, INPUTS, OUTPUTS)
    return Stack(topology, [Member(seed, 1e-3) for seed in range(members)], regression=False)


def level_of(parameters: int) -> str:
    """Where the backward pass' set of a network of that size lives on this machine."""
    topology = Topology.solve("rectangle", parameters, DEPTH, INPUTS, OUTPUTS)
    full = stack([topology.full])
    hierarchy = Hierarchy.of(choose("cpu").device, anchored=True)
    networks = analyse(full, count_parameters(full), Training(BATCH_SIZE, "float32", "adam"), hierarchy, 0)
    return hierarchy.name(int(networks.placement("b").level[0])) or "nowhere"


def step_time(stacks: list[Stack], steps_a_turn: int) -> float:
    """Quiet time in s of one step of every network of every stack, each stack taking so many steps at its turn."""
    rows = Rows(torch.randn(BATCH_SIZE * steps_a_turn, INPUTS), torch.randint(0, OUTPUTS, (BATCH_SIZE * steps_a_turn,)))
    times = []
    for _ in range(_ROUNDS):
        for _ in range(max(1, _STEPS // steps_a_turn)):
            began = time.perf_counter()
            for one in stacks:
                one.train_epoch(rows, BATCH_SIZE)
            times.append((time.perf_counter() - began) / steps_a_turn)
    return float(np.quantile(times, 0.2))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    turns = "".join(f"{f'k={k}':>9s}" for k in TURNS)
    print(f"{'parameters':>12s} {'networks':>9s} {'b of one':>9s} {'batched':>9s}{turns}")
    for total in TOTALS:
        wide = step_time([stack_of(total, 1)], 8)
        print(f"{total:12,d} {1:9d} {level_of(total):>9s} {wide * 1e3:6.2f} ms")
        for members in NETWORKS:
            size = total // members
            batched = step_time([stack_of(size, members)], 8)
            in_turn = [step_time([stack_of(size, 1) for _ in range(members)], k) for k in TURNS]
            cells = "".join(f"{value / wide:9.2f}" for value in (batched, *in_turn))
            print(f"{'':12s} {members:9d} {level_of(size):>9s} {cells}", flush=True)


if __name__ == "__main__":
    main()
