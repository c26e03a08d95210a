"""Calibrate a Ray cluster: each distinct kind of node once, its profile kept here.

Two nodes are of one kind when a calibration of the one holds for the other: `validity.identity` says the
same of both. While a node is calibrated, Ray gives none of its CPUs to anyone else. Kinds take turns, since node
processes of different kinds may share a machine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from sizer.base.errors import MeasurementError, SizerError
from sizer.base.progress import Progress, silent
from sizer.base.ray_cluster import Node, connected, nodes
from sizer.base.records import Record
from sizer.calibration.calibration import Settings, calibrate
from sizer.calibration.record import Calibration
from sizer.profiles import save

CLUSTER_CALIBRATION_FORMAT = "sizer.cluster_calibration/1"


class NodeKind(NamedTuple):
    """A kind of node: the calibration of one of them, and the addresses of all of them."""

    addresses: tuple[str, ...]
    calibration: Calibration


@dataclass(frozen=True)
class ClusterCalibration(Record):
    """The calibrations of a cluster's kinds of node, each kept as a profile on the machine that asked for them."""

    kinds: tuple[NodeKind, ...]

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.cluster_calibration/1``."""
        return {
            "format": CLUSTER_CALIBRATION_FORMAT,
            "kinds": [
                {"nodes": list(kind.addresses), "calibration": kind.calibration.to_dict()} for kind in self.kinds
            ],
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a coefficient of each kind."""
        return [{"profile": kind.calibration.name, **row} for kind in self.kinds for row in kind.calibration.rows()]

    def remarks(self) -> tuple[str, ...]:
        """Those of each calibration, with its profile's name."""
        return tuple(f"{kind.calibration.name}: {text}" for kind in self.kinds for text in kind.calibration.remarks())


def calibrate_cluster(settings: Settings, fresh: bool = False, progress: Progress | None = None) -> ClusterCalibration:
    """Calibrate one node of each kind within a budget each, and save the profiles on this machine.

    Raises UsageError where Ray or a cluster is missing, and what `calibrate` raises on a node, with its address.
    """
    tell = progress or silent
    with connected() as ray:
        kinds = _kinds(ray, nodes(ray), settings)
        found = []
        for index, (identity, members) in enumerate(kinds.items()):
            tell(f"calibrating {members[0].address}, kind {index + 1} of {len(kinds)}", index / len(kinds))
            calibration, profile = _on_node(ray, members[0], _calibrate_here, settings, fresh)
            kept = save({**profile, "name": kind_name(calibration.device.name, identity)})
            named = replace(calibration, name=kept.stem, path=kept)
            found.append(NodeKind(tuple(node.address for node in members), named))
    return ClusterCalibration(tuple(found))


def kind_name(device_name: str | None, identity: str) -> str:
    """Name of the profile of a kind of node: its device's name, and a digest of all that a calibration holds for."""
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((?:r|tm)\)", "", (device_name or "node").lower())).strip("-")
    return f"node-{slug[:40].strip('-')}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def _kinds(ray: Any, alive: tuple[Node, ...], settings: Settings) -> dict[str, list[Node]]:
    """The nodes of each kind, by what a calibration of it holds for as text."""
    kinds: dict[str, list[Node]] = {}
    for node in alive:
        identity = _on_node(ray, node, _identify_here, settings)
        kinds.setdefault(json.dumps(identity, sort_keys=True), []).append(node)
    return kinds


def _on_node(ray: Any, node: Node, function: Any, *arguments: Any) -> Any:
    """A function's answer from a node, all of whose CPUs it has meanwhile."""
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node.id, soft=False)
    remote = ray.remote(function).options(
        num_cpus=node.cpus, num_gpus=node.gpus, scheduling_strategy=strategy, max_retries=0
    )
    try:
        return ray.get(remote.remote(*arguments))
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, SizerError):
            raise type(cause)(f"node {node.address}: {cause}") from None
        raise MeasurementError(f"node {node.address} cannot be calibrated: {cause or error}") from None
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MeasurementError(f"node {node.address} was lost: {reason}; see `ray status`, then run it again") from None


def _identify_here(settings: Settings) -> dict[str, Any]:
    """On a node: what a calibration of it would hold for."""
    import torch

    from sizer.calibration.validity import identity
    from sizer.detection.detect import detected

    return identity(detected(settings.device), settings.threads or torch.get_num_threads())


def _calibrate_here(settings: Settings, fresh: bool) -> tuple[Calibration, Mapping[str, Any]]:
    """On a node: calibrate it; the calibration, and the profile that it was kept as there."""
    calibration = calibrate(settings, fresh)
    if calibration.path is None:
        raise MeasurementError(calibration.why_not_usable)
    profile: dict[str, Any] = json.loads(Path(calibration.path).read_text(encoding="utf-8"))
    return calibration, profile
