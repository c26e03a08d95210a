"""A small folder in the published schema, written by hand so that every expected number can be worked out."""

from __future__ import annotations

import zipfile
from pathlib import Path

NODES = {
    "c1": "36, 85248, 900000, (null)",
    "c2": "36, 180224, 900000, (null)",
    "g1": "36, 751616, 1500000, gpu:v100:2",
    "g2": "36, 751616, 2400000, gpu:v100:2",
}
IDLE_W = {"c1": 220, "c2": 230, "g1": 374, "g2": 403}
_DEFAULTS = {
    "run_id": "r0",
    "experiment_id": "00000000-0000-0000-0000-000000000001",
    "old_experiment_id": 1,
    "slurm_job_id": 7,
    "start_time": "2023-07-01 12:00:00+00:00",
    "update_time": "2023-07-01 12:05:00+00:00",
    "host_name": "c1",
    "size": 128,
    "depth": 3,
    "shape": "rectangle",
    "dataset": "529_pollen",
    "learning_rate": "0.0001",
    "batch_size": 256,
    "optimizer": "Adam",
    "is_gpu": False,
    "run_data": "{}",
    "batch": "energy_3",
}


def write_metadata(folder: Path, *runs: dict) -> None:
    """``butter_e_metadata.csv.zip`` with a row a run; each names what differs from the default."""
    rows = [{**_DEFAULTS, "run_id": f"r{index}", **run} for index, run in enumerate(runs)]
    lines = [",".join(_DEFAULTS), *(",".join(str(row[name]) for name in _DEFAULTS) for row in rows)]
    with zipfile.ZipFile(folder / "butter_e_metadata.csv.zip", "w") as archive:
        archive.writestr("butter_e_metadata.csv", "\n".join(lines) + "\n")


def log(*samples: tuple[str, float], node: str = "c1") -> str:
    """CSV text of a power log: local time of day on 2023-07-01, or a whole local time, and watts."""
    lines = [f"{time if 'T' in time else f'2023-07-01T{time}'}Z,{node},{watts}" for time, watts in samples]
    return "\n".join(["timestamp,node,watts", *lines]) + "\n"


def write_power(folder: Path, logs: dict[str, str | bytes]) -> None:
    """``butter_e_energy.zip`` with a member of each name."""
    with zipfile.ZipFile(folder / "butter_e_energy.zip", "w") as archive:
        for name, text in logs.items():
            archive.writestr(name, text)


def write_nodes(folder: Path, nodes: dict[str, str] = NODES, idle_w: dict[str, float] = IDLE_W) -> None:
    """Both node tables."""
    lines = [f"{node}, {facts}" for node, facts in nodes.items()]
    (folder / "node_sinfo.csv").write_text("\n".join(["HOSTNAMES, CPUS, MEMORY, TMP_DISK, GRES", *lines]) + "\n")
    powers = [f"{node},1000,{watts - 5},{watts},{watts + 200}" for node, watts in idle_w.items()]
    (folder / "node_power_dist.csv").write_text("\n".join(["node,count,min,p2,max", *powers]) + "\n")


#: Local noon is 18:00 UTC in summer: power logged at 06:00 local time is of a run at 12:00 UTC.
SIX_SAMPLES = (
    ("05:59:30", 100),
    ("06:00:30", 200),
    ("06:01:30", 300),
    ("06:02:30", 400),
    ("06:03:30", 500),
    ("06:04:30", 600),
)
#: 12:00:00 to 12:05:00 UTC over those: 30 s of the sample held at the start, four whole minutes, 30 s of the last.
SIX_SAMPLES_J = 30 * 100 + 60 * (200 + 300 + 400 + 500) + 30 * 600


def write_folder(folder: Path, *runs: dict, logs: dict[str, str | bytes] | None = None) -> Path:
    """A whole folder; by default one run and its log."""
    write_metadata(folder, *(runs or ({},)))
    write_power(folder, {"7.csv": log(*SIX_SAMPLES)} if logs is None else logs)
    write_nodes(folder)
    return folder
