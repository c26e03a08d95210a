"""A trained network: raw tables in, answers out; saved with its preparation as one exported program, and read back.

network = sizer.load("model.pt2")
network.predict(pandas.read_csv("new.csv"))
"""

from __future__ import annotations

import csv
import io
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sizer.base.archives import ARCHIVE_ERRORS, check_unpacked, read_json
from sizer.base.errors import DataError, SizerError, UsageError
from sizer.base.records import plain, rebuild
from sizer.base.storage import write_whole
from sizer.inspection.safe_program import check_arithmetic, check_tensor_files
from sizer.models.topology import Topology
from sizer.size_search.data.arrays import columns_of
from sizer.size_search.data.file_kinds import read_table
from sizer.size_search.data.fit_columns import Look, unlike
from sizer.size_search.data.metrics import CLASSIFICATION
from sizer.size_search.data.preparation import Preparation
from sizer.size_search.data.reading.rules import Reading, ReadingRules
from sizer.size_search.data.reading.tables import with_text_read
from sizer.size_search.data.table import Table
from sizer.size_search.ensemble_record import MeanNetwork, Trained

if TYPE_CHECKING:
    import pandas as pd

    from sizer.size_search.data.prepare import Prepared

SAVED_FORMAT = "sizer.saved/1"
#: Name of the JSON beside the program in the file.
EXTRA = "sizer.json"
#: The JSON beside a program has some KiB a column; this is that of a table with 100,000.
_MOST_FACTS_BYTES = 2**27
#: Rows that are predicted at a time.
_CHUNK = 8192


class Predictions(NamedTuple):
    """What a network says of a table: ``values`` (n, targets), a class or numbers in their own units for each row.

    ``probabilities`` (n, classes) are empty for a regression. ``remarks`` say how the table was read and which of its
    columns look otherwise than those trained on.
    """

    target: tuple[str, ...]
    kind: str
    values: list[list[Any]]
    classes: tuple[Any, ...]
    probabilities: list[list[float]]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The predictions as the JSON data ``sizer.predictions/1``."""
        return {"format": "sizer.predictions/1", **plain(self)}

    def to_csv(self) -> str:
        """A line for each row under the names of the targets; a class with its probability."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*self.target, *(["probability"] if self.classes else [])])
        sure = [[f"{max(row):.6f}"] for row in self.probabilities] or [[]] * len(self.values)
        writer.writerows([*row, *share] for row, share in zip(self.values, sure, strict=True))
        return text.getvalue()


def facts_of_reading(prepared: Prepared) -> dict[str, Any]:
    """What a saved network keeps of how its table was read, and of what the columns looked like."""
    rules = prepared.report.reading
    return {"reading": None if rules is None else rules.to_dict(), "looks": [plain(look) for look in prepared.looks]}


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
        cls, preparation: Preparation, topology: Topology, weights: Mapping[str, torch.Tensor], facts: Mapping[str, Any]
    ) -> SavedNetwork:
        """A network as it was trained, in memory."""
        network = topology.build()
        network.load_state_dict({name: value.detach().cpu() for name, value in weights.items()})
        return cls(preparation, topology, PreparedNetwork(preparation, network).eval().requires_grad_(False), facts)

    @classmethod
    def of_members(cls, preparation: Preparation, members: list[Trained], facts: Mapping[str, Any]) -> SavedNetwork:
        """Several networks as one that averages what they predict; its ``topology`` is that of the first.

        Each is named in the facts, with its share.
        """
        described = [{**_described(member.topology), "share": member.share} for member in members]
        network = MeanNetwork(members, preparation.target.kind == CLASSIFICATION)
        module = PreparedNetwork(preparation, network).eval().requires_grad_(False)
        return cls(preparation, members[0].topology, module, {**facts, "members": described})

    def save(self, path: str | Path) -> None:
        """Write the network as an exported program (``.pt2``), whole: temporary file, sync, rename.

        Raises UsageError for a path that cannot be written, DataError when the disk is full.
        """
        if not isinstance(self.module, PreparedNetwork):
            raise UsageError("this network was read from a file; copy that file")
        path = check_path(Path(path))
        described = {
            "format": SAVED_FORMAT,
            "preparation": self.preparation.to_dict(),
            "topology": _described(self.topology),
            **self.facts,
        }
        archive = io.BytesIO()
        extra = {EXTRA: json.dumps(described, allow_nan=False)}
        torch.export.save(_exported(self.module, len(self.preparation.column_names)), archive, extra_files=extra)
        try:
            write_whole(path, archive.getvalue())
        except OSError as error:
            raise DataError(
                f"{path} could not be written ({error.strerror}); free some space and run the same command again: "
                f"what was trained is kept"
            ) from None

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

    def predict_source(self, source: str | Path) -> Predictions:
        """Predict each row of a file, read exactly as the search read its own, or of a bundled set.

        Raises UsageError and DataError as `read_table` does, and for a cell that does not fit the network's rules.
        """
        table = read_table(source, self._as_trained)
        target, encoded = self.preparation.target, self.preparation.encode(table.frame)
        outputs = self._of_encoded(encoded)
        is_classifier = target.kind == CLASSIFICATION
        values = np.array(self.classes, dtype=object)[outputs.argmax(axis=1)] if is_classifier else outputs
        return Predictions(
            target.names,
            target.kind,
            values.reshape(len(outputs), -1).tolist(),
            self.classes,
            outputs.tolist() if is_classifier else [],
            (*table.remarks, *self._doubts(encoded)),
        )

    def doubts(self, data: pd.DataFrame | npt.ArrayLike) -> list[str]:
        """Sentences on columns that look otherwise than those that the network was trained on."""
        return self._doubts(self.preparation.encode(self._frame(data)))

    def _doubts(self, encoded: npt.NDArray[np.float64]) -> list[str]:
        looks = [rebuild(Look, look) for look in self.facts.get("looks", ())]
        return unlike(self.preparation, looks, encoded)

    @cached_property
    def reading(self) -> ReadingRules | None:
        """How the search read cells of text, None for a network that was saved without it."""
        described = self.facts.get("reading")
        return None if described is None else rebuild(ReadingRules, described)

    @property
    def _as_trained(self) -> Reading:
        return Reading(rules=self.reading, wanted=self.preparation.column_names)

    def _frame(self, data: pd.DataFrame | npt.ArrayLike) -> Any:
        """Data as a table whose cells of text are read as the search read them."""
        if not hasattr(data, "columns"):
            return columns_of(np.asarray(data), "x")
        frame: Any = data
        return frame if self.reading is None else with_text_read(Table("the data", frame), self._as_trained).frame

    def _outputs(self, data: pd.DataFrame | npt.ArrayLike) -> npt.NDArray[np.float64]:
        return self._of_encoded(self.preparation.encode(self._frame(data)))

    def _of_encoded(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        encoded = torch.from_numpy(matrix)
        if not len(encoded):
            return np.empty((0, self.preparation.target.output_dim))
        try:
            with torch.no_grad():
                parts = [self.module(part) for part in torch.split(encoded, _CHUNK)]
        except AssertionError as error:  # (a guard of the program)
            raise DataError(
                f"the program of this network does not take what its preparation makes ({error}): the file is damaged, "
                "or was put together from two; save it anew"
            ) from None
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)


def _described(topology: Topology) -> dict[str, Any]:
    return {"shape": topology.shape, "input_dim": topology.input_dim, "widths": list(topology.widths)}


def check_path(path: Path) -> Path:
    """The path, before a search is begun for it. Raises UsageError where no network could be saved there."""
    if path.suffix != ".pt2":
        raise UsageError(f"{path} does not end in .pt2, as an exported program's name does; call it {path.stem}.pt2")
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise UsageError(f"{path} cannot be written; name a file in a folder that is there and may be written")
    return path


def _exported(module: PreparedNetwork, columns: int) -> torch.export.ExportedProgram:
    """The network with its preparation as an exported program that takes any number of rows from one on."""
    example = torch.from_numpy(np.zeros((2, columns)))
    rows = torch.export.Dim("observations", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracer warns of its own insides
        return torch.export.export(module, (example,), dynamic_shapes={"encoded": {0: rows}})


def load(path: str | Path) -> SavedNetwork:
    """Read a network that `sizer search --save` wrote. Nothing in the file is unpickled or run but the program.

    Raises UsageError for a file that is not there, DataError for one that is no such network.
    """
    path = Path(path)
    facts = _checked_facts(path)
    try:
        preparation = Preparation.from_dict(facts["preparation"])
        described = facts["topology"]
        if facts.get("reading") is not None:
            rebuild(ReadingRules, facts["reading"])
        topology = Topology(described["shape"], described["input_dim"], tuple(described["widths"]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's loader warns of its own insides
            module = torch.export.load(_checked_program(path)).module()
    except SizerError:
        raise
    except Exception as error:  # (torch's loader raises what the bytes make it)
        raise DataError(f"{path.name} is damaged ({type(error).__name__}); save the network again") from None
    return SavedNetwork(preparation, topology, module, facts)


def _checked_facts(path: Path) -> dict[str, Any]:
    """The JSON beside the program, once the archive is known to hold no pickle and no compiled code."""
    if not path.exists():
        raise UsageError(f"there is no file {path}; `sizer search --save model.pt2` writes one")
    try:
        with zipfile.ZipFile(path) as archive:
            check_unpacked(archive, path.stat().st_size)
            names = archive.namelist()
            if any("aotinductor" in name for name in names):
                raise DataError(f"{path.name} holds compiled code or pickled objects, which are not loaded")
            found = next((name for name in names if name.endswith(f"/{EXTRA}")), None)
            facts = None if found is None else read_json(archive, found, _MOST_FACTS_BYTES)
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f"{path.name} cannot be read ({' '.join(str(error).split())[:200]}); save the network again"
        ) from None
    if not isinstance(facts, dict) or facts.get("format") != SAVED_FORMAT:
        raise DataError(f"{path.name} was not saved by `sizer search` as {SAVED_FORMAT}; save the network again")
    return facts


def _checked_program(path: Path) -> io.BytesIO:
    """The archive packed anew, once it is known to hold arithmetic alone: no compiled code, no pickle, no other calls.

    Anew, since torch has a reader of archives of its own: what was checked is what it gets.
    """
    clean = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(clean, "w") as packed:
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise DataError(f"{path.name} holds files of the same name, which is not loaded")
        for name in names:
            content = archive.read(name)
            try:
                _check_member(archive, name, content)
            except ValueError as reason:
                raise DataError(
                    f"{path.name} holds compiled code or pickled objects, which are not loaded ({reason})"
                ) from None
            packed.writestr(zipfile.ZipInfo(name), content)
    clean.seek(0)
    return clean


def _check_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Raises ValueError for a part of an archive that torch would run or unpickle."""
    if name.endswith("_config.json"):
        check_tensor_files(read_json(archive, name, _MOST_FACTS_BYTES))
    elif "/models/" in name or name.startswith("models/") or "serialized_exported_program" in name:
        check_arithmetic(read_json(archive, name, _MOST_FACTS_BYTES))
    elif name.endswith(".pt"):
        try:
            torch.load(io.BytesIO(content), weights_only=True)
        except Exception:  # (torch.load raises what the bytes make it; nothing of this kind is read)
            raise ValueError(f"{name} is a pickle") from None


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
