"""Saving a trained network with its preparation: one exported program that predicts, and how to feed it.

The program takes the encoded matrix (n, columns) in float64 (see `Preparation.encode`), does what `Preparation.expand`
does, runs the network, and gives probabilities (n, classes) or numbers (n, outputs) in the data's own units. The
preparation travels beside it in the same file as JSON, so that a raw table can be encoded anywhere.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sizer.errors import DataError, UsageError
from sizer.files import write_whole
from sizer.models.topology import Topology
from sizer.searching.metrics import CLASSIFICATION
from sizer.searching.preparation import Preparation

SAVED_FORMAT = "sizer.saved/1"
#: Name of the JSON beside the program in the file.
EXTRA = "sizer.json"


class PreparedNetwork(nn.Module):
    """A network between its preparation and the meaning of its outputs: encoded (n, columns) in, predictions out."""

    def __init__(self, preparation: Preparation, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._numbers = len(preparation.numbers)
        self._is_classifier = preparation.target.kind == CLASSIFICATION
        target = {"target_means": preparation.target.means, "target_scales": preparation.target.scales}
        for name, values in (preparation.constants._asdict() | target).items():
            if len(values):  # torch's archive takes no empty tensor
                self.register_buffer(name, torch.as_tensor(np.asarray(values)))
        self._has = frozenset(name for name, _ in self.named_buffers(recurse=False))

    def forward(self, encoded: torch.Tensor) -> torch.Tensor:
        """Probabilities (n, classes), or numbers (n, outputs) in the data's own units, both float64."""
        outputs: torch.Tensor = self.network(self._features(encoded)).double()
        if self._is_classifier:
            return torch.softmax(outputs, dim=1)
        return torch.add(outputs * self.get_buffer("target_scales"), self.get_buffer("target_means"))

    def _features(self, encoded: torch.Tensor) -> torch.Tensor:
        """As `Preparation.expand`: scaled numbers, flags of missing ones, categories."""
        parts = []
        numbers = encoded[:, : self._numbers]
        is_known = torch.isfinite(numbers)
        if self._numbers:
            filled = torch.where(is_known, numbers, self.get_buffer("fills"))
            parts.append((filled - self.get_buffer("means")) / self.get_buffer("scales"))
        if "flagged" in self._has:
            parts.append(~is_known[:, self.get_buffer("flagged")])
        if "hot_codes" in self._has:
            parts.append(encoded[:, self.get_buffer("hot_positions")] == self.get_buffer("hot_codes"))
        return torch.cat([part.float() for part in parts], dim=1)


def check_path(path: Path) -> Path:
    """The path, before a search is begun for it. Raises UsageError where no network could be saved there."""
    if path.suffix != ".pt2":
        raise UsageError(f"{path} does not end in .pt2, as an exported program's name does; call it {path.stem}.pt2")
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise UsageError(f"{path} cannot be written; name a file in a folder that is there and may be written")
    return path


def prepared_network(
    preparation: Preparation, topology: Topology, weights: Mapping[str, torch.Tensor]
) -> PreparedNetwork:
    """The network of a topology with its trained weights, on the CPU, between preparation and answers."""
    network = topology.build()
    network.load_state_dict({name: value.detach().cpu() for name, value in weights.items()})
    return PreparedNetwork(preparation, network).eval().requires_grad_(False)


def save_network(
    path: Path, preparation: Preparation, topology: Topology, module: PreparedNetwork, facts: Mapping[str, Any]
) -> None:
    """Export a network and write it whole: temporary file, sync, rename. ``facts`` are kept in the JSON beside it.

    Raises UsageError for a path that cannot be written, DataError when the disk is full.
    """
    check_path(path)
    program = export_network(preparation, module)
    described = {
        "format": SAVED_FORMAT,
        "preparation": preparation.to_dict(),
        "topology": {"shape": topology.shape, "input_dim": topology.input_dim, "widths": list(topology.widths)},
        **facts,
    }
    archive = io.BytesIO()
    torch.export.save(program, archive, extra_files={EXTRA: json.dumps(described, allow_nan=False)})
    try:
        write_whole(path, archive.getvalue())
    except OSError as error:
        raise DataError(
            f"{path} could not be written ({error.strerror}); free some space and run the same command again: what was "
            f"trained is kept"
        ) from None


def export_network(preparation: Preparation, module: PreparedNetwork) -> torch.export.ExportedProgram:
    """The network with its preparation as an exported program that takes any number of rows from one on."""
    example = torch.from_numpy(np.zeros((2, len(preparation.column_names))))
    rows = torch.export.Dim("observations", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracer warns of its own insides
        return torch.export.export(module, (example,), dynamic_shapes={"encoded": {0: rows}})
