"""A saved network, read back in any process: raw tables in, answers out.

network = sizer.searching.saved.load("model.pt2")
network.predict(pandas.read_csv("new.csv"))
"""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from sizer.errors import DataError, UsageError
from sizer.models.topology import Topology
from sizer.searching.metrics import CLASSIFICATION
from sizer.searching.preparation import Preparation
from sizer.searching.reading_arrays import columns_of
from sizer.searching.saving import EXTRA, SAVED_FORMAT, PreparedNetwork, prepared_network, save_network

if TYPE_CHECKING:
    import pandas as pd

_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class SavedNetwork:
    """A trained network that predicts from raw tables, or from arrays where it was trained on arrays.

    ``facts`` is the JSON beside the program: the metric and its value on the validation part, among others.
    """

    preparation: Preparation
    topology: Topology
    module: torch.nn.Module
    facts: Mapping[str, Any]

    @classmethod
    def of_weights(
        cls,
        preparation: Preparation,
        topology: Topology,
        weights: Mapping[str, torch.Tensor],
        facts: Mapping[str, Any],
    ) -> SavedNetwork:
        """A network as it was trained, in memory."""
        return cls(preparation, topology, prepared_network(preparation, topology, weights), facts)

    def save(self, path: str | Path) -> None:
        """Write the network as an exported program (``.pt2``). Raises UsageError or DataError where that fails."""
        if not isinstance(self.module, PreparedNetwork):
            raise UsageError("this network was read from a file; copy that file")
        save_network(Path(path), self.preparation, self.topology, self.module, self.facts)

    @property
    def classes(self) -> tuple[Any, ...]:
        """Names of the classes in the order of the probabilities; empty for a regression."""
        return self.preparation.target.classes

    def probabilities(self, data: pd.DataFrame | npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Probability of each class (n, classes). Raises UsageError for a regression."""
        if self.preparation.target.kind != CLASSIFICATION:
            raise UsageError("this network predicts numbers, not classes; call predict")
        return self._outputs(data)

    def predict(self, data: pd.DataFrame | npt.ArrayLike) -> npt.NDArray[Any]:
        """The most probable class (n,), or the numbers (n,) or (n, outputs), of each row.

        Raises DataError for a column that the data lacks.
        """
        outputs = self._outputs(data)
        if self.preparation.target.kind == CLASSIFICATION:
            return np.asarray(np.array(self.classes)[outputs.argmax(axis=1)])
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _outputs(self, data: pd.DataFrame | npt.ArrayLike) -> npt.NDArray[np.float64]:
        frame: Any = data if hasattr(data, "columns") else columns_of(np.asarray(data), "x")
        encoded = torch.from_numpy(self.preparation.encode(frame))
        if not len(encoded):
            return np.empty((0, self.preparation.target.output_dim))
        with torch.no_grad():
            parts = [self.module(part) for part in torch.split(encoded, _CHUNK)]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)


def load(path: str | Path) -> SavedNetwork:
    """Read a network that `sizer search --save` wrote. Nothing in the file is unpickled or run but the program.

    Raises UsageError for a file that is not there, DataError for one that is no such network.
    """
    path = Path(path)
    facts = _checked_facts(path)
    try:
        preparation = Preparation.from_dict(facts["preparation"])
        described = facts["topology"]
        topology = Topology(described["shape"], described["input_dim"], tuple(described["widths"]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's loader warns of its own insides
            module = torch.export.load(str(path)).module()
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise DataError(f"{path.name} is damaged ({type(error).__name__}); save the network again") from None
    return SavedNetwork(preparation, topology, module, facts)


def _checked_facts(path: Path) -> dict[str, Any]:
    """The JSON beside the program, once the archive is known to hold no pickle and no compiled code."""
    if not path.exists():
        raise UsageError(f"there is no file {path}; `sizer search --save model.pt2` writes one")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any("aotinductor" in name for name in names) or _has_pickle(archive):
                raise DataError(f"{path.name} holds compiled code or pickled objects, which are not loaded")
            found = next((name for name in names if name.endswith(f"/{EXTRA}")), None)
            facts = None if found is None else json.loads(archive.read(found))
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise DataError(f"{path.name} cannot be read ({error}); save the network again") from None
    if not isinstance(facts, dict) or facts.get("format") != SAVED_FORMAT:
        raise DataError(f"{path.name} was not saved by `sizer search` as {SAVED_FORMAT}; save the network again")
    return facts


def _has_pickle(archive: zipfile.ZipFile) -> bool:
    """Whether torch would unpickle anything but tensors: a weight or constant stored so, or example inputs that are."""
    for name in archive.namelist():
        if name.endswith("_config.json"):
            entries = json.loads(archive.read(name)).get("config", {})
            if any(entry.get("use_pickle", True) for entry in entries.values()):
                return True
        if name.endswith(".pt"):
            try:
                torch.load(io.BytesIO(archive.read(name)), weights_only=True)
            except (pickle.UnpicklingError, RuntimeError):
                return True
    return False
