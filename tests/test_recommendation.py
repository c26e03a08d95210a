"""The record of a recommendation: what it says of itself, its rows and remarks, and its way through JSON."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from sizer.base.errors import UsageError
from sizer.method.coefficients import Coefficients
from sizer.method.epochs_to_loss import Pilot
from sizer.method.recommendation import (
    Anchor,
    AtOtherSpeed,
    Candidate,
    CurvePoint,
    Hardness,
    Neighbour,
    NextSize,
    OneShot,
    PlacedSet,
    Recommendation,
    SizeRange,
    flat_row,
    rows_note,
)
from sizer.method.request import Request
from sizer.models import Topology

SMALLER, LARGER = Neighbour((7, 7, 1), 400, 1.4), Neighbour((9, 9, 1), 600, None)


def network(**values) -> Candidate:
    """A candidate 30-8-8-1 with made-up numbers."""
    made_up = {
        "rank": 1,
        "shape": "rectangle",
        "depth": 3,
        "input_dim": 30,
        "widths": (8, 8, 1),
        "num_free_parameters": 329,
        "batch_size": 32,
        "anchor": Anchor("b", "L1", 1.25),
        "also_fills": (Anchor("o", "L1", 1.5),),
        "working_sets": {"f": PlacedSet(1316, "L1"), "d": None},
        "memory_bytes": 5000,
        "energy_per_datum_j": None,
        "time_per_datum_s": 1e-6,
        "energy_per_epoch_j": None,
        "time_per_epoch_s": 1e-3,
        "interval": (5e-7, 2e-6),
        "label": "estimated",
        "relative_cost_to_loss": 1.0,
        "fits_inside": SMALLER,
        "warnings": ("wide",),
        "why": "because",
    }
    return Candidate(**{**made_up, **values})


@pytest.fixture
def record(small_cpu) -> Recommendation:
    """A record in which every field has a value."""
    best, other = network(chance_to_reach={"hard": 0.2}), network(rank=2, anchor=None, interval=None)
    return Recommendation(
        request=Request(30, (3,), observations=1000, pilots=(Pilot(100, 0.4), Pilot(400, 0.3)), target_loss=0.2),
        device=small_cpu.with_warning("hot"),
        coefficients=Coefficients("shipped", "estimated", "time", {"step": 1e-4}, (0.5, 2.0), "test"),
        candidates=(best, other),
        optimum=other,
        largest=best,
        curve=(CurvePoint("rectangle", 3, 32, (8, 8, 1), 329, None, 1e-6, 1.0, {"f": "L1", "o": None}),),
        notes=("a note",),
        one_shot=OneShot(best, 8, 329, "a rule of before"),
        hardness=Hardness((1.1, 1.5), (0.25, 0.75), "any target"),
        near_best=SizeRange(1.1, SMALLER, LARGER),
        next_sizes=(NextSize((12, 12, 1), 900, 1.2, 1e-3, True, 0.6),),
        at_other_speeds=(AtOtherSpeed(1.5, 2, (6, 6, 1), 300, 1.1),),
        least_cost_to_loss=12.5,
    )


def test_a_record_survives_json_with_every_field(record):
    assert all(getattr(record, field.name) not in (None, ()) for field in fields(record))
    data = record.to_dict()
    assert data.keys() == {"format", *(field.name for field in fields(record))}
    assert data["format"] == "sizer.recommendation/1"
    assert data["curve"][0]["widths"] == [8, 8, 1]
    assert data["candidates"][0]["anchor"] == {"working_set": "b", "level": "L1", "fill": 1.25}
    assert data["least_cost_to_loss"] == 12.5
    again = Recommendation.from_dict(data)
    assert again == record
    assert again.to_dict() == data


def test_the_best_is_the_first_candidate_or_else_the_optimum(record):
    assert record.best is record.candidates[0]
    assert replace(record, candidates=()).best is record.optimum


def test_a_record_in_short(record):
    assert record.in_short() == "train 8x2-1 (329 parameters) on cpu; 2 candidates"
    assert [one.rank for one in record] == [1, 2]


def test_remarks_are_the_notes_few_rows_and_the_devices_warnings(record):
    assert record.remarks() == ("a note", "hot")
    crowded = replace(record, request=Request(30, (3,), observations=3))
    assert crowded.remarks() == ("a note", *rows_note(record.best, 3), "hot")


@pytest.mark.parametrize(("rows", "said"), [(None, False), (1, True), (3, True), (4, False)])
def test_a_hundred_parameters_a_row_are_worth_a_word(rows, said):
    found = rows_note(network(num_free_parameters=300), rows)
    assert bool(found) is said
    assert rows_note(network(num_free_parameters=123_456), 1000) == (
        "123,456 parameters for 1,000 rows: whether such a network overfits is not predicted; keep validation rows "
        "aside and stop by them, or take a smaller size",
    )


def test_a_candidate_as_one_flat_row():
    row = flat_row(
        network(chance_to_reach={"hard": 0.2, "easy": 0.9}, epochs_to_reach={"medium": 7.0}, steps_per_epoch=32)
    )
    assert {name: value for name, value in row.items() if name.startswith(("anchor", "f_", "d_", "interval"))} == {
        "anchor_working_set": "b",
        "anchor_level": "L1",
        "anchor_fill": 1.25,
        "f_bytes": 1316,
        "f_level": "L1",
        "d_bytes": None,
        "d_level": None,
        "interval_low": 5e-7,
        "interval_high": 2e-6,
    }
    assert [row[f"chance_{name}"] for name in ("hard", "medium", "easy")] == [0.2, None, 0.9]
    assert [row[f"epochs_{name}"] for name in ("hard", "medium", "easy")] == [None, 7.0, None]
    assert (row["rank"], row["widths"], row["chance"], row["steps_per_epoch"]) == (1, (8, 8, 1), None, 32)
    nested = {"anchor", "also_fills", "working_sets", "fits_inside", "warnings", "chance_to_reach", "epochs_to_reach"}
    assert not nested & row.keys()


def test_what_a_candidate_has_not_is_none_in_its_row(record):
    row = flat_row(network(anchor=None, interval=None))
    empty = ("anchor_working_set", "anchor_level", "anchor_fill", "interval_low", "interval_high", "chance_hard")
    assert [row[name] for name in empty] == [None] * len(empty)
    assert [one["rank"] for one in record.rows()] == [1, 2]
    assert record.rows()[0] == flat_row(record.candidates[0])


def test_a_candidates_topology():
    assert network().topology == Topology("rectangle", 30, (8, 8, 1))


@pytest.mark.parametrize(
    ("of_the_request", "given", "steps"), [(4, None, 4), (None, 33, 2), (4, 32, 1), (4, 1, 1), (None, 96, 3)]
)
def test_steps_of_an_epoch_are_those_of_the_rows_trained_on_else_of_the_request(of_the_request, given, steps):
    assert network(steps_per_epoch=of_the_request)._steps_per_epoch(given) == steps


def test_averages_need_to_know_the_rows():
    with pytest.raises(UsageError) as raised:
        network()._steps_per_epoch(None)
    assert str(raised.value) == ("weights are averaged over two epochs: say how many observations are trained on")
    for rows in (0, 2**40 + 1, 1.5):
        with pytest.raises(UsageError, match="observations is "):
            network()._steps_per_epoch(rows)
    assert network(batch_size=2**20)._steps_per_epoch(2**40) == 2**20
