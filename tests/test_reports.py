"""What a recommendation looks like: the text chart, the table's fallback, notebook, DataFrame, pictures."""

from __future__ import annotations

import importlib
import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sizer.base.errors import UsageError
from sizer.base.units import format_cost, format_quantity, format_times, format_widths
from sizer.inspection.networks import inspect_topologies, parse_mlp
from sizer.method.advisor import recommend
from sizer.method.request import Request
from sizer.method.training_step import SET_NAMES, Training
from sizer.report.layout import Column, Table
from sizer.report.table_text import columns_within, table_text, text_width
from sizer.report.terminal import REPORTS
from sizer.report.text_chart import HEIGHT, chart


@pytest.fixture
def record(small_cpu, time_coefficients):
    return recommend(Request(784, (6,), output_dim=10, observations=60_000), small_cpu, time_coefficients)


def shown(record, width=80, **options) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False, **options).print(record)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_the_first_lines_say_what_to_train_what_it_costs_and_what_it_reaches(record):
    first, *others = (" ".join(line.split()) for line in shown(record, width=300)[:4])
    best = record.best
    widths = "-".join(map(str, (best.input_dim, *best.widths)))
    rate = f"Adam at {best.learning_rate:g}, {'weights averaged' if best.averaged else 'raw weights'}"
    parameters = f"{best.num_free_parameters:,} parameters"
    assert first == f"Train {format_widths(best.widths)}: {widths}, ReLU, {parameters}, {rate}"
    low, high = (end / best.time_per_datum_s * best.time_per_epoch_s for end in best.interval)
    cost, *interval = (format_quantity(value, "s") for value in (best.time_per_epoch_s, low, high))
    assert others[0].startswith(f"{cost} an epoch ({' to '.join(interval)}, estimated).")
    assert format_widths(record.near_best.smallest.widths) in others[0]
    assert others[1].startswith("Medium targets are reached with ")
    assert others[1].endswith("If the loss diverges or wavers, halve the rate first.")
    assert all(format_widths(size.widths) in others[1] for size in record.next_sizes)
    assert record.next_sizes


def test_the_short_table_has_the_first_candidates_and_the_details_all_with_a_reason_each(record):
    lines = shown(record, width=120)
    headers = [index for index, line in enumerate(lines) if line.lstrip().startswith("#")]
    assert len(headers) == 2
    short, long = record.candidates[:5], record.candidates
    for header, candidates in zip(headers, (short, long), strict=True):
        for candidate, row in zip(candidates, lines[header + 1 :], strict=False):
            assert row.split()[0] == str(candidate.rank)
            assert f"{candidate.num_free_parameters:,}" in row
            filling = SET_NAMES[candidate.anchor.working_set]
            assert f"{filling} {candidate.anchor.fill:.2f}x {candidate.anchor.level}" in row
    assert f"and {len(long) - len(short)} more" in lines
    text = " ".join(" ".join(lines).split())
    assert all(" ".join(candidate.why.split()) in text for candidate in record.candidates)


def test_the_answer_alone_is_short_and_names_the_details(record, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = str(record).splitlines()
    assert len(lines) <= 20
    assert "cost of reaching a loss by number" not in str(record)
    assert any(line.startswith("--details: why each size") for line in lines)


def test_a_table_stays_a_table_where_it_is_narrow(small_cpu, time_coefficients):
    several = Request(
        784, (4, 6), shape=("rectangle", "wide_first_16x"), batch_size=(64, 256), observations=1000, top=3
    )
    record = recommend(several, small_cpu, time_coefficients)
    for width in (60, 80, 120):
        lines = shown(record, width)
        assert max(map(len, lines)) <= width
        rows = [line for line in lines if re.match(r"\d  (rectangle|wide)", line)]
        assert len(rows) >= len(record.candidates)
        for candidate, row in zip(record.candidates, rows, strict=False):
            assert row.split()[:2] == [str(candidate.rank), candidate.shape]
            assert format_widths(candidate.widths) in row
            assert format_times(candidate.relative_cost_to_loss) in row


def test_columns_are_left_out_before_cells_are_folded_and_names_are_kept():
    name = "intel-xeon-platinum-8480plus"
    table = Table(
        [
            Column("node", [name]),
            Column("time", ["12.5 us"], right=True),
            Column("last", ["x" * 30], leave_out=2),
            Column("first", ["y" * 20], leave_out=1),
            Column("widths", ["805-390-188-91-44-21-10-5"], folds=True),
        ]
    )
    assert [column.title for column in columns_within(table, 200)] == ["node", "time", "last", "first", "widths"]
    assert [column.title for column in columns_within(table, 90)] == ["node", "time", "first", "widths"]
    text = table_text(table, 55)
    assert text.titles[0].split() == ["node", "time", "widths"]
    rows = text.rows[0]
    assert max(map(len, rows)) <= 55
    assert rows[0].startswith(name)
    assert "12.5 us" in rows[0]
    assert "".join(row[39:].strip() for row in rows) == "805-390-188-91-44-21-10-5"


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("\u6587\u5b57", 4), ("\u00e9", 1), ("e\u0301", 1)])
def test_the_width_of_a_text(text, width):
    assert text_width(text) == width


def test_the_chart_marks_the_optimum_at_the_bottom_and_names_every_level(record):
    family = [point for point in record.curve if point.depth == 6]
    lines = list(chart(family, {record.optimum.num_free_parameters: "*"}, 80, unicode=True))
    assert max(map(len, lines)) <= 80
    assert "*" in lines[HEIGHT - 1]
    assert not any("*" in line for line in lines[: HEIGHT - 1])
    rows = {line.split()[0]: line for line in lines[HEIGHT + 2 :]}
    assert set(rows) - {"\u00b7"} == set(SET_NAMES.values())
    for name, word in SET_NAMES.items():
        row = rows[word]
        levels = list(dict.fromkeys(point.levels[name] for point in family))
        positions = [row.index(level) for level in levels]
        assert positions == sorted(positions)
    ascii_lines = list(chart(family, {}, 80, unicode=False))
    assert all(line.isascii() for line in ascii_lines)
    assert list(chart(family, {}, 20, unicode=True)) == []
    assert list(chart(family[:1], {}, 80, unicode=True)) == []


def test_every_report_is_where_it_is_looked_for():
    for target in REPORTS.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_only_the_terminal_knows_rich():
    """Another medium draws the same blocks, so no report may be made of one medium's parts."""
    folder = Path(importlib.import_module("sizer.report").__file__).parent
    drawing = {
        path.stem for path in folder.rglob("*.py") if re.search(r"^\s*(from|import) rich", path.read_text(), re.M)
    }
    assert drawing == {"terminal"}


@pytest.mark.parametrize("width", [200, 30])
def test_a_table_and_what_stands_in_for_it_hold_the_same_columns(record, width):
    """Where there is no room, the cells stand before each reason."""
    lines = " ".join(" ".join(shown(record, width)).split())
    for candidate in record.candidates:
        assert format_widths(candidate.widths) in lines
        assert format_cost(candidate.energy_per_epoch_j, candidate.time_per_epoch_s) in lines
        assert format_times(candidate.relative_cost_to_loss) in lines


def test_a_frame_has_a_row_a_candidate(record):
    frame = record.to_frame()
    assert len(frame) == len(record.candidates)
    assert frame["num_free_parameters"].tolist() == [c.num_free_parameters for c in record.candidates]
    assert {"anchor_level", "anchor_fill", "b_bytes", "d_level", "interval_low", "time_per_epoch_s"} <= set(frame)


def test_a_notebook_shows_what_the_terminal_shows(record):
    html = " ".join(record._repr_html_().split())
    for candidate in record.candidates:
        assert format_widths(candidate.widths) in html
        assert candidate.why in html
    assert "<script" not in html


def test_pictures_only_where_the_ending_says_which(record, tmp_path):
    record.plot(tmp_path / "a.svg")
    assert "matplotlib.org" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match=r"\.svg or \.png"):
        record.plot(tmp_path / "a.pdf")
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]


def test_a_refused_network_says_so_in_the_terminal(small_cpu, time_coefficients):
    record = inspect_topologies([parse_mlp("100000x3-1")], Training(), small_cpu, time_coefficients)
    assert any("Does not fit" in line for line in shown(record))
    assert record.to_frame()["f_level"].tolist() == [None]


def test_a_report_does_not_load_what_other_records_need():
    """Reports that share a module must not make one command pay for another's record."""
    script = (
        "import sys; from sizer.cli import run; run(['detect']); run(['profiles', 'show', 'nvidia-t4']); "
        "print([name for name in ('sizer.diagnosis', 'sizer.calibration.cluster') if name in sys.modules], "
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_the_saw_tooth_is_faint_behind_its_lower_envelope(small_cpu, time_coefficients):
    """Widths that are no multiple of four cost 30 % more here: they, and they alone, are above the envelope."""
    from sizer.report.text_chart import lower_envelope

    terms = {**time_coefficients.terms, "unaligned": 0.5 * time_coefficients.terms["operation"]}
    record = recommend(Request(784, (6,), law="paper"), small_cpu, replace(time_coefficients, terms=terms))
    points = [point for point in record.curve if 100 <= point.widths[0] <= 250]
    below = {point.widths[0] for point in lower_envelope(points)}
    assert {width for width in range(100, 251) if width % 4 == 0} - below == set()
    assert len([width for width in below if width % 4]) <= 2  # (the ends)
    lines = list(chart(record.curve, {}, 80, unicode=True))
    assert any("\u00b7" in line for line in lines[:HEIGHT])
    assert "unaligned" in lines[-1]
    smooth = recommend(Request(784, (6,), law="paper"), small_cpu, time_coefficients)
    assert "unaligned" not in list(chart(smooth.curve, {}, 80, unicode=True))[-1]


def test_a_terminal_dims_what_is_faint(record):
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system="standard", highlight=False)
    terms = {**record.coefficients.terms, "unaligned": record.coefficients.terms["operation"]}
    console.print(recommend(record.request, record.device, replace(record.coefficients, terms=terms)))
    assert "\x1b[2m\u00b7" in stream.getvalue()
