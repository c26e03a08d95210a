"""Topologies: the eight shapes and BUTTER's rule from a parameter count to widths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizer.base.errors import UnreachableError, UsageError
from sizer.models import SHAPES, Topology, layer_widths, num_free_parameters, residual_additions


def test_every_accepted_reference_row_is_solved_exactly(reference):
    for row in reference("butter_shapes.json"):
        arguments = row["shape"], row["requested_ntp"], row["depth"], row["input_dim"], row["output_dim"]
        if row["accepted_20pct"]:
            solved = Topology.solve(*arguments)
            assert (list(solved.widths), solved.num_free_parameters) == (row["widths"], row["actual_ntp"]), arguments
            assert residual_additions(solved.shape, solved.depth) == row["residual_adds"]
        else:
            with pytest.raises(UnreachableError, match=f"{row['actual_ntp']:,}"):
                Topology.solve(*arguments)


def test_widths_by_hand():
    assert layer_widths("trapezoid", 10, 4, 1).tolist() == [10, 7, 4, 1]
    assert layer_widths("exponential", 27, 4, 1).tolist() == [27, 9, 3, 1]
    assert layer_widths("wide_first_4x", 10, 4, 3).tolist() == [10, 2, 2, 3]  # round(2.5) is 2, to even
    assert layer_widths("wide_first_16x", 4, 3, 1).tolist() == [4, 1, 1]
    assert layer_widths("rectangle", 5, 2, 7).tolist() == [5, 7]


def test_a_multiple_rounds_hidden_widths_only():
    assert layer_widths("trapezoid", 100, 4, 1, multiple=16).tolist() == [96, 64, 32, 1]
    assert layer_widths("wide_first_16x", 32, 3, 5, multiple=8).tolist() == [32, 8, 5]


@given(st.sampled_from(SHAPES), st.integers(1, 5000), st.integers(2, 20), st.integers(1, 900), st.integers(1, 50))
def test_parameters_never_shrink_when_the_first_width_grows(shape, first_width, depth, input_dim, output_dim):
    smaller = Topology.of_first_width(shape, first_width, depth, input_dim, output_dim)
    larger = Topology.of_first_width(shape, first_width + 1, depth, input_dim, output_dim)
    assert smaller.num_free_parameters <= larger.num_free_parameters
    assert all(small <= large for small, large in zip(smaller.widths, larger.widths, strict=True))


def test_parameters_are_those_of_torch():
    topology = Topology("rectangle_residual", 7, (5, 5, 5, 2))
    module = topology.build()
    assert sum(parameter.numel() for parameter in module.parameters()) == topology.num_free_parameters
    assert num_free_parameters(7, (5, 5, 5, 2)) == 8 * 5 + 2 * 6 * 5 + 6 * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rectangle", 0, 4, 10, 1), "num_free_parameters is 0"),
        (("rectangle", 1000, 0, 10, 1), "depth is 0"),
        (("rectangle", 1000, 10**7, 10, 1), "depth is 10000000"),
        (("rectangle", 1000, 4, 1.5, 1), "input_dim is 1.5"),
        (("rectangle", 1000, 4, 10**18, 1), "input_dim is 1000000000000000000"),
        (("circle", 1000, 4, 10, 1), "unknown shape 'circle'"),
        (("rectangle", True, 4, 10, 1), "num_free_parameters is True"),
    ],
)
def test_bad_arguments_are_named(arguments, said):
    with pytest.raises(UsageError, match=said):
        Topology.solve(*arguments)


def test_an_enormous_network_is_refused():
    with pytest.raises(UsageError, match="beyond the limit"):
        Topology(None, 2**30, (2**30, 1))
