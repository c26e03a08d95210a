"""The figures: every axis says what it is, no two texts overlap, nothing is cut off, edges are where the tables say."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from study_frames import modelled_runs

from sizer.study import published
from sizer.study.analysis.cache_edges import cache_edges
from sizer.study.analysis.cost_fit import fit_costs
from sizer.study.analysis.iso_loss import iso_loss
from sizer.study.analysis.loss_curves import fit_laws
from sizer.study.analysis.trends import trends
from sizer.study.figures.axes import new_figure, save_figure
from sizer.study.figures.figures import (
    draw_caches,
    draw_curves,
    draw_fit,
    draw_flops,
    draw_law,
    draw_minima,
    draw_trends,
    save_iso_loss,
)
from sizer.study.generated.design import Plan
from sizer.study.generated.generate import loss_curves

LEVELS = published.hierarchies()
PLAN = Plan(
    runs=700,
    noise=0.03,
    shapes=("rectangle", "rectangle_residual"),
    depths=(2, 4, 8, 16),
    sizes=tuple(2**exponent for exponent in range(6, 24, 2)),
)


@pytest.fixture(scope="module")
def runs():
    return modelled_runs(PLAN)


@pytest.fixture(scope="module")
def iso_losses(runs):
    random = np.random.default_rng(0)
    networks = runs.drop_duplicates(["dataset", "shape", "depth", "size"]).reset_index(drop=True)
    losses = networks[["dataset", "shape", "depth", "size", "num_free_parameters", "widths"]].assign(num_runs=2)
    losses = losses.assign(**{name: list(values) for name, values in loss_curves(losses, -1.0, 0.01, random).items()})
    found, _ = iso_loss(runs, losses, LEVELS)
    return found, *fit_laws(losses, found.curves)


@pytest.fixture(scope="module")
def figures(runs, iso_losses) -> dict[str, Figure]:
    """Every figure, of generated runs."""
    found, networks, laws = iso_losses
    _, ratios = fit_costs(runs, LEVELS)[:2]
    windows, edges, _ = cache_edges(runs, LEVELS)
    points = trends(runs)[0]
    made = {"fit": draw_fit(ratios, "J"), "data_efficiency": draw_law(networks, laws)}
    for hardware in ("cpu", "gpu"):
        made |= {
            f"trends_{hardware}": draw_trends(points, hardware),
            f"caches_{hardware}": draw_caches(windows, edges, hardware),
            f"isoloss_{hardware}": draw_curves(found, hardware),
            f"flops_{hardware}": draw_flops(found, hardware),
            f"minima_{hardware}": draw_minima(found, hardware),
        }
    for figure in made.values():
        figure.canvas.draw()
    return made


OF_HARDWARE = ("trends", "caches", "isoloss", "flops", "minima")
NAMES = ("fit", "data_efficiency", *(f"{name}_{hardware}" for name in OF_HARDWARE for hardware in ("cpu", "gpu")))


def texts(figure: Figure) -> list[Text]:
    """Every text that is drawn: titles, labels, legends, annotations, and the tick labels inside the axes' limits."""
    hidden = set()
    for axes in figure.axes:
        if not axes.get_visible():
            hidden |= set(axes.findobj(Text))
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            shown = set()
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if low <= tick.get_loc() <= high and tick.label1.get_visible():
                    shown.add(tick.label1)
            hidden |= set(axis.findobj(Text)) - shown - {axis.label}
    drawn = (text for text in figure.findobj(Text) if text not in hidden)
    return [text for text in drawn if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("name", NAMES)
def test_no_two_texts_overlap_and_none_is_cut_off(figures, name):
    figure = figures[name]
    renderer = figure.canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts(figure)]
    assert len(boxes) > 5
    inside = figure.bbox
    for text, box in boxes:
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1, f"{text!r} is cut off"
        assert inside.y0 <= box.y0 < box.y1 <= inside.y1, f"{text!r} is cut off"
    for (text, box), (other, other_box) in itertools.combinations(boxes, 2):
        # A pixel of touching is what anti-aliasing makes of two boxes side by side.
        width = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
        height = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
        assert width <= 1 or height <= 1, f"{text!r} overlaps {other!r}"


@pytest.mark.parametrize("name", NAMES)
def test_every_axis_says_what_it_is(figures, name):
    grid = [axes for axes in figures[name].axes if axes.get_visible()]
    for axes in grid:
        place = axes.get_subplotspec()
        assert axes.get_xlabel() or not place.is_last_row()
        assert axes.get_ylabel() or not place.is_first_col()
    units = [axes.get_ylabel() for axes in grid if "energy" in axes.get_ylabel()]
    assert all("(J)" in label for label in units)


def test_edges_are_drawn_where_the_table_says(figures):
    runs = modelled_runs(PLAN)
    _, edges, _ = cache_edges(runs, LEVELS)
    axes = figures["caches_cpu"].axes[1]
    drawn = {round(float(line.get_xdata()[0])) for line in axes.lines if len(set(line.get_xdata())) == 1}
    here = edges[(edges["hardware"] == "cpu") & (edges["working_set"] == "f")]
    assert drawn == {round(value) for value in here["edge_bytes"]}
    assert {"L1", "L2", "L3"} <= {text.get_text() for text in axes.texts}


def test_files_are_the_same_for_the_same_figure_and_whole(tmp_path: Path):
    contents = []
    for name in ("first", "second"):
        figure, ((axes,),) = new_figure(1, 1, 2.0)
        axes.plot([1, 2], [3, 4])
        svg, png = save_figure(figure, tmp_path, name)
        contents.append((Path(svg).read_bytes(), Path(png).read_bytes()))
    assert contents[0] == contents[1]
    assert contents[0][0].startswith(b"<?xml")
    assert contents[0][1].startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.png", "first.svg", "second.png", "second.svg"]


def test_losses_that_too_few_sizes_reach_have_no_picture(tmp_path, iso_losses):
    found, networks, laws = iso_losses
    two_sizes = found.curves["size"].isin((2**6, 2**8))
    written = save_iso_loss(found._replace(curves=found.curves[two_sizes]), networks, laws, tmp_path)
    assert {Path(name).stem for name in written} == {"data_efficiency"}
