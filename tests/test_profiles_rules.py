"""What a profile must be: the checks written by hand, their messages, and that the JSON Schema says the same."""

from __future__ import annotations

import copy
import importlib.resources
import json
import math

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_records import MISSING, SOUND, changed, sound

from sizer.method.coefficients import LEVEL_TERMS, PLAIN_TERMS, QUANTITY_UNIT, term_unit
from sizer.profiles.reading import build_profile
from sizer.profiles.rules import COEFFICIENT_SOURCES, DTYPES, KINDS, InvalidError, check_profile

SCHEMA = json.loads((importlib.resources.files("sizer.schemas") / "profile-1.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

TERMS = ("coefficients", "energy", "terms")
L1, L2, RAM = ("levels", 0), ("levels", 1), ("levels", 2)

#: A change of a sound record, where the message says it is, and what else the message says.
BROKEN = [
    (("format",), "sizer.profile/2", "", "sizer.profile/2, and this version of sizer reads sizer.profile/1; upgrade"),
    (("format",), "sizer.machine/1", "", 'expected "sizer.profile/1": this is no sizer profile'),
    (("format",), "sizer.profile/1\n", "", "this is no sizer profile"),
    (("format",), MISSING, "", 'there is no "format"'),
    (("format",), ["sizer.profile/1"], "", "a JSON list"),
    (("name",), MISSING, "", "has no 'name'"),
    (("name",), "ACME-One", "name", "like vendor-model"),
    (("name",), "../acme", "name", "like vendor-model"),
    (("name",), "acme/one", "name", "like vendor-model"),
    (("name",), "acme--one", "name", "like vendor-model"),
    (("name",), "acme-one\n", "name", "one line"),
    (("name",), "a" * 61, "name", "at most 60"),
    (("name",), "", "name", "1 to 2000 characters"),
    (("title",), "two\nlines", "title", "one line"),
    (("title",), "red \x1b[31m", "title", "control characters"),
    (("title",), "\u202egnirts", "title", "control characters"),
    (("title",), 7, "title", "is 7; expected a text"),
    (("title",), "x" * 2001, "title", "1 to 2000 characters"),
    (("kind",), "gpu", "kind", "cpu or cuda or rocm"),
    (("kind",), None, "kind", "is None; expected cpu"),
    (("match",), None, "match", "a JSON object"),
    (("match", "exact"), "acme one", "match.exact", "a list"),
    (("match", "exact"), ["ACME One"], "match.exact[0]", "'acme one'"),
    (("match", "contains"), [".*", "acme-(one|two)"], "match.contains[0]", "words of a device name"),
    (("match", "contains"), ["a" * 257], "match.contains[0]", "words of a device name"),
    (("sources",), [], "sources", "a JSON object"),
    (("sources", "sheet", "url"), "ftp://acme.example", "sources.sheet.url", "https://"),
    (("sources", "sheet", "url"), MISSING, "sources.sheet", "has no 'url'"),
    (("sources", "sheet", "read"), "21.11.2026", "sources.sheet.read", "2026-11-21"),
    (("sources", "sheet", "read"), "2026-11-21\n", "sources.sheet.read", "a day"),
    (("sources", "a b"), {"title": ""}, "sources.'a b'", "has no 'url'"),
    (("units",), 20, "units", "a JSON object"),
    (("units",), MISSING, "", "has no 'units'"),
    (("units", "value"), 2.5, "units.value", "is 2.5; expected a whole number"),
    (("units", "value"), True, "units.value", "is True; expected a whole number"),
    (("units", "verified"), 1, "units.verified", "true or false"),
    (("levels",), [], "levels", "a list of at least 1"),
    (("levels",), {"L1": 1}, "levels", "a list of at least 1"),
    ((*RAM, "name"), "L3", "", "0 entries named RAM"),
    ((*L1, "name"), "L0", "levels[0].name", "L1 to L9 or RAM"),
    ((*L1, "name"), "L1\n", "levels[0].name", "L1 to L9 or RAM"),
    ((*L1, "capacity_bytes"), MISSING, "levels[0]", "has no 'capacity_bytes'"),
    ((*L1, "capacity_bytes"), 0, "levels[0].capacity_bytes", "is 0; expected a whole number from 1 to 2^60"),
    ((*L1, "capacity_bytes"), -1, "levels[0].capacity_bytes", "is -1;"),
    ((*L1, "capacity_bytes"), "64 KiB", "levels[0].capacity_bytes", "is '64 KiB'; expected a whole number"),
    ((*L1, "capacity_bytes"), 2**61, "levels[0].capacity_bytes", "2^60"),
    ((*L1, "capacity_bytes"), 1e300, "levels[0].capacity_bytes", "2^60"),
    ((*L1, "capacity_bytes"), 10**400, "levels[0].capacity_bytes", "2^60"),
    ((*L1, "instances"), 1.5, "levels[0].instances", "a whole number"),
    ((*L1, "note"), MISSING, "levels[0]", "is not verified and has no note"),
    ((*L2, "source"), None, "levels[1]", "is verified, but its source is null"),
    ((*L2, "line_bytes"), 0, "levels[1].line_bytes", "2^60"),
    ((*L2, "effective_bytes"), 0, "levels[1].effective_bytes", "2^60"),
    ((*L2, "cpus_per_instance"), "20", "levels[1].cpus_per_instance", "a whole number"),
    ((*L2, "core_kind"), 1, "levels[1].core_kind", "a text"),
    ((*L2, "bandwidth_bytes_per_s"), 1e12, "levels[1].bandwidth_bytes_per_s", "a JSON object"),
    ((*L2, "bandwidth_bytes_per_s", "value"), 0, "levels[1].bandwidth_bytes_per_s.value", "what is not known is null"),
    ((*L2, "bandwidth_bytes_per_s", "value"), -5, "levels[1].bandwidth_bytes_per_s.value", "at least 0"),
    ((*L2, "bandwidth_bytes_per_s", "note"), MISSING, "levels[1].bandwidth_bytes_per_s", "has no note"),
    ((*RAM, "capacity_bytes"), None, "", "capacity_bytes of RAM is null"),
    (("peaks_flop_per_s", "fp32"), None, "peaks_flop_per_s.fp32", "float64 or float32 or tf32"),
    (("peaks_flop_per_s", "float32", "value"), "12 TFLOP/s", "peaks_flop_per_s.float32.value", "a finite number"),
    (("peaks_flop_per_s", "float32", "value"), 10**400, "peaks_flop_per_s.float32.value", "a finite number"),
    (("peaks_flop_per_s", "float32"), None, "peaks_flop_per_s.float32", "a JSON object"),
    (("power_w", "max"), None, "power_w.max", "limit or idle"),
    (("coefficients",), {}, "coefficients", "at least one field"),
    (("coefficients",), MISSING, "", "has no 'coefficients'"),
    (("coefficients", "power"), None, "coefficients.power", "energy or time"),
    (("coefficients", "energy", "source"), "guessed", "coefficients.energy.source", "calibrated or published"),
    (("coefficients", "energy", "basis"), MISSING, "coefficients.energy", "has no 'basis'"),
    (("coefficients", "energy", "interval_90"), [0.5], "coefficients.energy.interval_90", "two factors"),
    (("coefficients", "energy", "interval_90"), [0, 1], "coefficients.energy.interval_90", "above 0"),
    (("coefficients", "energy", "conditions"), [], "coefficients.energy.conditions", "a JSON object"),
    (TERMS, {}, "coefficients.energy.terms", "at least one field"),
    ((*TERMS, "pass", "value"), -1e-9, "coefficients.energy.terms.pass.value", "at least 0"),
    ((*TERMS, "pass", "value"), None, "coefficients.energy.terms.pass.value", "a finite number"),
    ((*TERMS, "pass", "unit"), "s/pass", "coefficients.energy.terms.'pass'.unit", "is 's/pass'; expected J/pass"),
    ((*TERMS, "pass", "unit"), "mJ/pass", "coefficients.energy.terms.'pass'.unit", "expected J/pass"),
    ((*TERMS, "pass", "unit"), MISSING, "coefficients.energy.terms.pass", "has no 'unit'"),
    ((*TERMS, "passes"), {"value": 1, "unit": "J/pass"}, "coefficients.energy.terms.'passes'", "is no cost term"),
    ((*TERMS, "pass.L2"), {"value": 1, "unit": "J/pass"}, "coefficients.energy.terms.'pass.L2'", "is no cost term"),
    ((*TERMS, "traffic"), {"value": 1, "unit": "J/MiB"}, "coefficients.energy.terms.'traffic'", "is no cost term"),
    ((*TERMS, "traffic."), {"value": 1, "unit": "J/MiB"}, "coefficients.energy.terms.'traffic.'", "is no cost term"),
    ((*TERMS, "pass."), {"value": 1, "unit": "J/pass"}, "coefficients.energy.terms.'pass.'", "that the profile lacks"),
    (("calibration",), "yes", "calibration", "a JSON object"),
    (("warnings",), "A warning.", "warnings", "a list"),
    (("notes", 0), "", "notes[0]", "a text"),
]

#: Broken in ways that a schema cannot express; the schema lets them pass and says so in its description.
BROKEN_ACROSS_FIELDS = [
    (lambda r: r["levels"].reverse(), "levels are RAM, L2, L1; expected L1, L2, RAM"),
    (lambda r: r["levels"].insert(0, r["levels"].pop(1)), "expected L1, L2, RAM: the nearest first"),
    (lambda r: r["levels"].insert(1, dict(r["levels"][1])), "levels has L2 more than once"),
    (lambda r: r["levels"].insert(1, dict(r["levels"][0])), "levels has L1 more than once"),
    (lambda r: r["levels"].insert(1, {**r["levels"][0], "core_kind": "small"}), "levels has L1 more than once"),
    (lambda r: r["units"].update(source="wiki"), "units.source is 'wiki'; expected null or an id in sources: sheet"),
    (lambda r: r["levels"][0].update(source="wiki"), "levels[0].source is 'wiki'"),
    (
        lambda r: r["levels"][1]["bandwidth_bytes_per_s"].update(source="wiki"),
        "levels[1].bandwidth_bytes_per_s.source is 'wiki'",
    ),
    (lambda r: r["power_w"]["limit"].update(source="wiki"), "power_w.limit.source is 'wiki'"),
    (lambda r: r["peaks_flop_per_s"]["mixed"].update(source="wiki"), "peaks_flop_per_s.mixed.source is 'wiki'"),
    (lambda r: r["sources"].clear(), "expected null, since sources is empty"),
    (lambda r: r["coefficients"]["energy"].update(interval_90=[2, 1]), "is [2, 1]; expected the low factor first"),
    (
        lambda r: r["coefficients"]["energy"]["terms"].update({"access.L3": {"value": 1, "unit": "J/access"}}),
        "coefficients.energy.terms.'access.L3' is of a level that the profile lacks; it has L1, L2, RAM",
    ),
]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_record_that_uses_every_field_is_sound():
    check_profile(sound())
    VALIDATOR.validate(sound())


def test_the_schema_names_the_kinds_dtypes_and_terms_that_sizer_knows():
    properties, defs = SCHEMA["properties"], SCHEMA["$defs"]
    assert tuple(properties["kind"]["enum"]) == KINDS
    assert tuple(properties["peaks_flop_per_s"]["properties"]) == DTYPES
    assert tuple(defs["coefficients"]["properties"]["source"]["enum"]) == COEFFICIENT_SOURCES
    for quantity in QUANTITY_UNIT:
        terms = defs[f"{quantity}_terms"]
        plain = {name: term["properties"]["unit"]["const"] for name, term in terms["properties"].items()}
        assert plain == {name: term_unit(name, quantity) for name in PLAIN_TERMS}
        level = {name: term["properties"]["unit"]["const"] for name, term in terms["patternProperties"].items()}
        assert level == {rf"^{name}\.(L[1-9]|RAM)$": term_unit(f"{name}.L1", quantity) for name in LEVEL_TERMS}


@pytest.mark.parametrize(("path", "value", "where", "message"), BROKEN, ids=lambda value: str(value)[:40])
def test_a_broken_record_is_refused_by_the_checks_and_the_schema(path, value, where, message):
    record = changed(*path, to=value)
    with pytest.raises(InvalidError) as caught:
        check_profile(record)
    line = str(caught.value)
    assert line.startswith(where)
    assert message in line
    assert line.isprintable()
    assert not VALIDATOR.is_valid(record)


@pytest.mark.parametrize(("breaks", "message"), BROKEN_ACROSS_FIELDS)
def test_a_record_broken_across_fields_is_refused(breaks, message):
    record = sound()
    breaks(record)
    with pytest.raises(InvalidError) as caught:
        check_profile(record)
    assert message in str(caught.value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("path", [(*L1, "capacity_bytes"), ("units", "value"), (*TERMS, "pass", "value")])
def test_what_json_cannot_write_is_refused(path, number):
    with pytest.raises(InvalidError):
        check_profile(changed(*path, to=number))


@pytest.mark.parametrize("value", [None, 7, "x", [], [sound()], {}, True])
def test_what_is_no_profile_record_at_all_is_refused(value):
    with pytest.raises(InvalidError, match="format"):
        check_profile(value)
    assert not VALIDATOR.is_valid(value)


def test_two_kinds_of_cores_are_two_levels_of_one_name():
    record = sound()
    record["levels"].insert(2, {**record["levels"][1], "core_kind": "small", "capacity_bytes": 1024})
    check_profile(record)
    VALIDATOR.validate(record)
    levels = build_profile(record, "test").device.known_levels()
    assert [(level.name, level.sizing_bytes) for level in levels] == [("L1", 65536), ("L2", 3145728), ("RAM", 2**34)]


def test_whole_numbers_may_be_written_with_a_point():
    record = changed("units", "value", to=20.0)
    record["levels"][1]["capacity_bytes"] = 4194304.0
    VALIDATOR.validate(record)
    check_profile(record)
    device = build_profile(record, "test").device
    assert (device.units, device.levels[1].capacity_bytes) == (20, 4194304)
    assert type(device.units) is type(device.levels[1].capacity_bytes) is int


def _places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path to every value in a record, but those in its free objects."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, inner in items:
        if key not in ("calibration", "conditions"):
            found += _places(inner, (*path, key))
    return found


PLACES = _places(SOUND)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["L1", "RAM", "float32", "J/pass", "cpu", "sheet", "2026-11-21", "https://x"])
    | st.lists(st.integers(0, 3), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.none(), max_size=2)
    | st.just(MISSING)
)

#: Rules that the schema's description says it does not hold.
BEYOND_THE_SCHEMA = (
    "expected the low factor first",
    "the nearest first",
    "an id in sources",
    "sources is empty",
    "that the profile lacks",
    "more than once",
)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(PLACES), VALUES)
def test_checks_and_schema_agree_on_any_change(path, value):
    record = changed(*path, to=value if value is MISSING else copy.deepcopy(value))
    problem = _problem(record)
    assert problem.isprintable()
    if not any(rule in problem for rule in BEYOND_THE_SCHEMA):
        assert VALIDATOR.is_valid(record) == (not problem), problem
    if not problem:
        build_profile(record, "test")


def _problem(record: object) -> str:
    """What the checks written by hand say is wrong with a record."""
    try:
        check_profile(record)
    except InvalidError as error:
        return str(error)
    return ""
