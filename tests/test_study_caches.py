"""Cache edges: windows and edges worked out by hand, and the published boundaries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from study_frames import modelled_runs, one_family

from sizer.base.errors import MeasurementError
from sizer.method.placement import Hierarchy
from sizer.study import published
from sizer.study.analysis.cache_edges import cache_edges, edge, windowed_quartiles
from sizer.study.analysis.iso_loss import edges_of
from sizer.study.generated.design import Plan
from sizer.study.runs.networks import with_networks

TWO_LEVELS = {"cpu": Hierarchy(("L1", "RAM"), (2**16, 2**30), (1, 1))}


def bent_family() -> pd.DataFrame:
    """Cost a datum flat up to 2^14 parameters, in proportion to them beyond, where f leaves L1."""
    sizes = np.repeat(2 ** np.arange(8, 21), 6)
    frame = one_family(sizes, np.maximum(sizes, 2**14) * 1.0)
    return frame.assign(f_level=np.where(4 * sizes <= 2**16, "L1", "RAM"))


def test_an_edge_and_the_bend_at_it():
    _, edges, step = cache_edges(bent_family(), TWO_LEVELS)
    (row,) = edges[edges["working_set"] == "f"].to_dict("records")
    assert (row["level"], row["next_level"]) == ("L1", "RAM")
    assert row["edge_bytes"] == pytest.approx(2**16.5)
    assert (row["largest_inside"], row["smallest_outside"]) == (2**16, 2**17)
    assert row["elasticity_inside"] == pytest.approx(0, abs=1e-9)
    assert row["elasticity_beyond"] == pytest.approx(1)
    assert set(edges["working_set"]) == {"f"}  # the others never leave L1
    assert step.table[0]["edge_bytes"] == pytest.approx(2**16.5)


def test_windowed_medians_follow_the_cost():
    windows, _, _ = cache_edges(bent_family(), TWO_LEVELS)
    here = windows[(windows["working_set"] == "f") & (windows["cost"] == "per_datum")]
    at = here.set_index("bytes")["median"]
    assert at[2.0**12] == pytest.approx(2**14 / (10 * 100 * 256))
    assert at[2.0**20] == pytest.approx(2**18 / (10 * 100 * 256))
    per_operation = windows[(windows["working_set"] == "f") & (windows["cost"] == "per_operation")]
    assert per_operation.set_index("bytes")["median"][2.0**12] == pytest.approx(at[2.0**12] / (3 * 2**10))


def test_thin_windows_are_left_out():
    assert list(windowed_quartiles(np.array([1.0, 2.0, 4.0]), np.ones(3))) == []
    found = list(windowed_quartiles(np.full(5, 16.0), np.arange(5.0)))
    assert {count for _, _, count in found} == {5}
    assert all(quartiles.tolist() == [1, 2, 3] for _, quartiles, _ in found)


def test_the_edge_with_fewest_networks_on_its_wrong_side():
    size = np.array([1.0, 2, 4, 8, 16, 32])
    outside = np.array([False, False, True, False, True, True])
    found = edge(size, outside)
    assert found is not None
    assert found[0] in (pytest.approx(np.sqrt(8)), pytest.approx(np.sqrt(128)))  # one wrong either way
    assert found[1:] == (8, 4)
    assert edge(size, np.ones(6, dtype=bool)) is None
    assert edge(size, np.zeros(6, dtype=bool)) is None


def test_the_studys_boundaries(reference):
    """Where sets leave levels, in parameters, as read from the study's figures: midway between two sizes."""
    names = {"l": "t_max", "f": "f", "b": "b"}
    boundaries = reference("butter_e_cache_boundaries.json")
    families = {(row["dataset"], row["shape"], row["depth"]) for row in boundaries}
    rows = [
        {"dataset": dataset, "shape": shape, "depth": depth, "size": 2**exponent, "is_gpu": is_gpu}
        for dataset, shape, depth in families
        for exponent in range(5, 25)
        for is_gpu in (False, True)
    ]
    frame = with_networks(pd.DataFrame(rows).assign(batch_size="256", optimizer="Adam")).frame
    edges = edges_of(frame, published.hierarchies())
    for row in boundaries:
        level = "RAM" if row["level"] == 4 else f"L{row['level']}"
        here = edges[
            (edges["hardware"] == row["hardware"])
            & (edges["dataset"] == row["dataset"])
            & (edges["shape"] == row["shape"])
            & (edges["depth"] == row["depth"])
            & (edges["working_set"] == names[row["working_set"]])
            & (edges["level"] == level)
        ]
        assert here["num_free_parameters"].tolist() == pytest.approx([row["svg_boundary_ntp"]], rel=1e-3), row


def test_generated_runs_show_the_edges_of_both_nodes():
    runs = modelled_runs(Plan(400, noise=0.0, depths=(4,), shapes=("rectangle",)))
    _, edges, _ = cache_edges(runs, published.hierarchies())
    f = edges[edges["working_set"] == "f"].set_index(["hardware", "level"])["edge_bytes"]
    assert f["cpu", "L2"] == pytest.approx(2**20, rel=0.5)
    assert f["gpu", "L2"] == pytest.approx(6 * 2**20, rel=0.5)


def test_missing_columns_are_named():
    with pytest.raises(MeasurementError, match="lack the column f_level"):
        cache_edges(bent_family().drop(columns="f_level"), TWO_LEVELS)
