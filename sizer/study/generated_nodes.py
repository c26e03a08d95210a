"""Nodes of the study's six types, with the idle powers that their power distributions tell."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sizer.study import published as study
from sizer.study.schema import NODE_POWER, NODE_SINFO, POWER_QUANTILES, names


def make_nodes(count: int, random: np.random.Generator) -> pd.DataFrame:
    """About ``count`` nodes: node, type, is_gpu, idle_w, idle_offset_w (to the reference type) and SLURM's columns.

    At least three of a type, the nodes' 2 % quantiles spread evenly around their type's idle power, which is their
    median therefore.
    """
    facts = study.published()
    rows = []
    for key, kind in facts["node_types"].items():
        cpus, disk, memory, gres = key.split(" ")
        share = 0.5 if kind in ("cpu1", "gpu1") else 0.2
        idle = facts["idle_power_w_by_type"][kind]
        reference = facts["idle_power_w_by_type"][facts["reference_node_type"][kind[:3]]]
        number = max(3, 2 * round(count * share / 4) + 1)
        spread = np.arange(number) - number // 2
        for index, offset in enumerate(np.clip(spread, -6, 6)):
            rows.append(
                {
                    "node": f"{'r10' if kind.startswith('gpu') else 'r'}{kind[-1]}i{index // 36}n{index % 36}",
                    "type": kind,
                    "is_gpu": kind.startswith("gpu"),
                    "idle_w": idle + float(offset),
                    "idle_offset_w": idle - reference,
                    "CPUS": int(cpus),
                    "MEMORY": int(memory),
                    "TMP_DISK": int(disk),
                    "GRES": gres,
                }
            )
    nodes = pd.DataFrame(rows)
    return nodes.iloc[random.permutation(len(nodes))].reset_index(drop=True)


def sinfo_text(nodes: pd.DataFrame) -> str:
    """``node_sinfo.csv`` with its quirks: blanks after the commas, and a node listed once a partition it is in."""
    listed = pd.concat([nodes, nodes[:: max(len(nodes) // 5, 1)]])
    lines = [", ".join(names(NODE_SINFO))]
    lines += [
        f"{row.node}, {row.CPUS}, {row.MEMORY}, {row.TMP_DISK}, {row.GRES}" for row in listed.itertuples(index=False)
    ]
    return "\n".join(lines) + "\n"


def power_quantiles(nodes: pd.DataFrame) -> pd.DataFrame:
    """``node_power_dist.csv``: quantiles that rise from just below the idle power at p2 to a busy node's."""
    idle = nodes["idle_w"].to_numpy()
    frame = {"node": nodes["node"], "count": 80_000 + np.arange(len(nodes)), "min": idle - 8}
    for position, name in enumerate(POWER_QUANTILES):
        share = (position - POWER_QUANTILES.index("p2")) / len(POWER_QUANTILES)
        frame[name] = np.rint(2 * (idle + 190 * share)) / 2
    frame["max"] = idle + 260
    return pd.DataFrame(frame)[names(NODE_POWER)]
