"""Records read back from their JSON, of this version and earlier ones, whoever wrote them.

A file is not trusted: it is read up to a size, held to the schema of its record, and what a field may not be ends in
one line. What an earlier version did not have is not known (None, or empty), and its panels are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from sizer.base.errors import DataError, UsageError
from sizer.base.records import Record, rebuild
from sizer.base.units import format_bytes
from sizer.report.charts import charts
from sizer.report.pages.anonymous import anonymous
from sizer.report.pages.odd_values import NO_RECORD, refusing_odd_values

if TYPE_CHECKING:
    from sizer.report.pages.page import Entry

#: Largest file that is read: a search of 30 sizes and 300 epochs each has 1 MB.
MOST_BYTES = 50 * 2**20
#: Whole numbers beyond this are no count of anything here, and no float holds them.
_LARGEST = 2**63


def holds_json(path: str | Path) -> bool:
    """Whether a file begins as JSON does; one that is not there, whether its name ends so."""
    path = Path(path)
    if not path.is_file():
        return path.suffix == ".json"
    with path.open("rb") as stream:
        return stream.read(64).lstrip()[:1] == b"{"


def read_record(path: str | Path) -> Record:
    """The record that a file holds as JSON. Raises UsageError for no file, DataError for one that holds none.

    It is drawn once, since schemas let through what only drawing tells to be no value, such as a text for a size.
    """
    if not Path(path).is_file():
        raise UsageError(f"there is no file {path}; `--json`, or a record's save(path), writes one")
    record = record_of(read_json(Path(path)), f"{path}")
    with refusing_odd_values(f"{path}"):
        _ = str(record), list(charts(record))
    return record


def read_entry(path: Path, is_anonymous: bool = False) -> Entry:
    """The record that a file holds, for a page; with ``is_anonymous`` without the file's name as well.

    Raises DataError for a file that holds none.
    """
    from sizer.report.pages.page import Entry  # only here: loading a record draws nothing

    data = read_json(path)
    if is_anonymous:
        data = anonymous(data)
    return Entry(record_of(data, f"{path}"), "" if is_anonymous else path.stem, _answers(data), data)


def _answers(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """What a command answered beside the record's fields, by title."""
    found = data.get("answers")
    if not isinstance(found, Mapping):
        return {}
    return {title: [str(line) for line in lines] for title, lines in found.items() if isinstance(lines, list)}


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file. Raises DataError for what is none, or larger than `MOST_BYTES`."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise DataError(f"{path} has {format_bytes(size)}; a record has at most {format_bytes(MOST_BYTES)}")
        with path.open("rb") as stream:
            text = stream.read(MOST_BYTES + 1)
        data = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_bounded)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not the JSON of a record ({_said(error)}); give what `--json` printed") from None
    if not isinstance(data, dict) or not isinstance(data.get("format"), str):
        raise DataError(f'{path} is no record of sizer: it has no "format"; give what `--json` printed')
    return data


def _said(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)[:120]


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _bounded(text: str) -> int:
    value = int(text)
    if abs(value) > _LARGEST:
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def record_of(data: Mapping[str, Any], named: str) -> Record:
    """The record of its JSON, which is ``named`` so. Raises DataError for what is none."""
    wanted = str(data["format"])
    if wanted not in READERS:
        known = ", ".join(READERS)
        raise DataError(f"{named} has the format {wanted[:60]!r}, which this version does not show; it shows {known}")
    _check_schema(data, wanted, named)
    try:
        return READERS[wanted](data)
    except NO_RECORD as error:
        raise DataError(f"{named} is no {wanted} that can be shown ({type(error).__name__}: {_said(error)})") from None


def _check_schema(data: Mapping[str, Any], wanted: str, named: str) -> None:
    """Hold the data to the published schema; what an earlier version did not have may be missing."""
    import fastjsonschema

    try:
        _check(wanted)(data)
    except fastjsonschema.JsonSchemaValueException as error:
        said = error.message.removeprefix("data").removeprefix(".")[:200]
        raise DataError(f"{named} is no {wanted}: {said}") from None


@cache
def _check(wanted: str) -> Callable[[Mapping[str, Any]], Any]:
    """Compiled, since a record may have a million values: a fortieth of the time of the schema interpreted."""
    import fastjsonschema

    name = wanted.removeprefix("sizer.").replace("/", "-")
    schema = json.loads(files("sizer.schemas").joinpath(f"{name}.json").read_text(encoding="utf-8"))
    found: Callable[[Mapping[str, Any]], Any] = fastjsonschema.compile(
        _without_required(schema), use_default=False, use_formats=False
    )
    return found


def _without_required(schema: Any) -> Any:
    """A schema that asks for no field; names of fields may be ``required``, too."""
    if isinstance(schema, list):
        return [_without_required(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: part for name, part in schema.items() if not (name == "required" and isinstance(part, list))}
    return {name: _without_required(part) for name, part in parts.items()}


class _Errors(NamedTuple):
    """A fit as a record has it: its errors, without the networks that they are of."""

    terms: Mapping[str, float]
    interval: tuple[float, float]
    mean_error: float
    quantiles: Mapping[float, float]

    def error_quantile(self, share: float) -> float:
        """The quantile of |predicted / measured - 1|, of those that the record has."""
        return self.quantiles[share]


class _Preparation(NamedTuple):
    """What a search's record says of its data."""

    kind: str
    n_classes: int | None
    n_train: int
    n_validation: int
    n_columns: int
    n_features: int
    missing: Mapping[str, int]
    left_out: tuple[Any, ...]
    split: str
    remarks: Sequence[str]


def _machine(data: Mapping[str, Any]) -> Record:
    from sizer.method.hardware import Machine

    return rebuild(Machine, data, filled=True)


def _diagnosis(data: Mapping[str, Any]) -> Record:
    from sizer.diagnosis import Diagnosis

    return rebuild(Diagnosis, data, filled=True)


def _recommendation(data: Mapping[str, Any]) -> Record:
    from sizer.method.recommendation import Recommendation
    from sizer.method.request import Request

    return rebuild(Recommendation, {**data, "request": Request.from_dict(data["request"])}, filled=True)


def _family(data: Mapping[str, Any]) -> Record:
    from sizer.families.record import FamilyRecommendation

    return rebuild(FamilyRecommendation, data, filled=True)


def _fleet(data: Mapping[str, Any]) -> Record:
    from sizer.fleet.fleet import Fleet
    from sizer.method.request import Request

    return rebuild(Fleet, {**data, "request": Request.from_dict(data["request"])}, filled=True)


def _comparison(data: Mapping[str, Any]) -> Record:
    from sizer.devices import Chosen
    from sizer.fleet.comparison import Comparison

    first, second = (rebuild(Chosen, machine, True) for machine in data["machines"])
    found = rebuild(Comparison, {**data, "machines": (first, second), "asked": data["request"]}, filled=True)
    list(found.coefficient_rows())  # (a term that is none is refused here, not while it is drawn)
    return found


def _inspection(data: Mapping[str, Any]) -> Record:
    from sizer.inspection.networks import Inspection

    return rebuild(Inspection, data, filled=True)


def _module(data: Mapping[str, Any]) -> Record:
    from sizer.inspection.module_record import ModuleInspection

    return rebuild(ModuleInspection, data, filled=True)


def _calibration(data: Mapping[str, Any]) -> Any:
    from sizer.calibration.record import Calibration

    fits = {quantity: _errors(found) for quantity, found in data["fits"].items()}
    return rebuild(Calibration, {**data, "fits": fits, "power": data.get("power_model")}, filled=True)


def _errors(found: Mapping[str, Any]) -> _Errors:
    low, high = found["interval_90"]
    quantiles = {0.5: found["error_median"], 0.95: found["error_95"]}
    return _Errors(found["terms"], (low, high), found["error_mean"], quantiles)


def _sessions(data: Mapping[str, Any]) -> Record:
    from sizer.calibration.combine import SessionSummary
    from sizer.calibration.kept_sessions import KeptSessions

    summaries = tuple(rebuild(SessionSummary, each, True) for each in data["sessions"])
    return KeptSessions(data["device"], summaries, tuple(Path(each.get("path", "")) for each in data["sessions"]))


def _cluster(data: Mapping[str, Any]) -> Record:
    from sizer.calibration.cluster import ClusterCalibration, NodeKind

    kinds = [NodeKind(tuple(kind["nodes"]), _calibration(kind["calibration"])) for kind in data["kinds"]]
    return ClusterCalibration(tuple(kinds))


def _validation(data: Mapping[str, Any]) -> Record:
    from sizer.calibration.validation_record import Validation

    return rebuild(Validation, data, filled=True)


def _search(data: Mapping[str, Any]) -> Record:
    from sizer.size_search import result
    from sizer.size_search.settings import SearchSettings

    prepared, pruned = data.get("preparation"), data.get("pruned")
    made = {
        "settings": rebuild(SearchSettings, data["request"], True),
        "status": next(status for status in result.SearchStatus if status.value == data["status"]),
        "preparation": None if prepared is None else rebuild(_Preparation, prepared, True),
        "pruned": pruned and _pruned(pruned),
        **{name: data["coefficients"].get(name, "") for name in ("label", "basis", "quantity")},
        "network": None,
    }
    return rebuild(result.SearchResult, {**data, **made}, filled=True)


def _pruned(data: Mapping[str, Any]) -> Any:
    from sizer.size_search.result import Pruned

    attempts = tuple((each["first_width"], each["kept_target"]) for each in data["attempts"])
    return rebuild(Pruned, {**data, "attempts": attempts}, True)


def _tuning(data: Mapping[str, Any]) -> Record:
    from sizer.tuning.record import Tuning

    return rebuild(Tuning, data, filled=True)


def _step(data: Mapping[str, Any]) -> Record:
    from sizer.study.step import StudyStep

    return rebuild(StudyStep, data, filled=True)


def _operators(data: Mapping[str, Any]) -> Record:
    from sizer.operators.calibration_record import OperatorCalibration

    return rebuild(OperatorCalibration, data, filled=True)


#: Format of a record -> what makes the record of its JSON; each imports what its record needs.
READERS: Mapping[str, Callable[[Mapping[str, Any]], Record]] = {
    "sizer.recommendation/1": _recommendation,
    "sizer.family/1": _family,
    "sizer.fleet/1": _fleet,
    "sizer.comparison/1": _comparison,
    "sizer.inspection/1": _inspection,
    "sizer.module/1": _module,
    "sizer.calibration/1": _calibration,
    "sizer.operator_calibration/1": _operators,
    "sizer.calibration_sessions/1": _sessions,
    "sizer.cluster_calibration/1": _cluster,
    "sizer.validation/1": _validation,
    "sizer.search/1": _search,
    "sizer.tuning/1": _tuning,
    "sizer.study_step/1": _step,
    "sizer.machine/1": _machine,
    "sizer.diagnosis/1": _diagnosis,
}
