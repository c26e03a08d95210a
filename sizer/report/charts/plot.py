"""A chart as SVG, for one width of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from markupsafe import Markup

from sizer.report.charts.figure import COLOURS, Axis, Chart, Guide, Mark, Point, Series, Strip, spread, thinned
from sizer.report.charts.picture import Met, Size, framed, met_parts
from sizer.report.charts.scales import Scale, ticks
from sizer.report.charts.svg import FONT, LINE, Box, Labels, cut, element, lines_of, text_width

_ROW = 20.0
_GAP = 8.0


def drawn_chart(chart: Chart, size: Size, ids: str) -> Markup:
    """The chart as an SVG element, its ids beginning with ``ids``; nothing where no point can be drawn."""
    chart = _cleaned(chart)
    if not _values(chart, 0):
        return Markup()
    return _Plot(chart, size).svg(ids)


class _Plot:
    """A chart's scales and the room that each of its parts has."""

    def __init__(self, chart: Chart, size: Size) -> None:
        self.chart, self.size = chart, size
        self.told_width = size.width - 8
        self.top = LINE * _rows_told(chart, self.told_width) + _GAP
        self.right = size.width - 16
        self.plot_top = self.guides_top = self.top + (LINE + _GAP if chart.y else 0)
        if chart.rows and chart.guides:
            self.plot_top += LINE  # (names of guides stand above the rows)
        self.plot_bottom = self.plot_top + self._plot_height()
        self.y: Scale | None = None
        y_ticks: list[tuple[float, str]] = []
        if chart.y is not None:
            self.y = Scale.over(_values(chart, 1), chart.y, self.plot_bottom, self.plot_top)
            y_ticks = ticks(self.y, chart.y, len(chart.y.ticks) if chart.rows else size.y_ticks)
        self.y_ticks = y_ticks
        widest = max((text_width(text) for text in self._left_texts()), default=0.0)
        self.left = min(widest, size.width * size.names) + 12
        self.x = Scale.over(_values(chart, 0), chart.x, self.left, self.right)
        above = LINE if chart.guides else 0.0
        self.strips_top = self.plot_bottom + (LINE * 2 + 14 if chart.y else above)
        strips_bottom = self.strips_top + _ROW * len(chart.strips)
        self.axis_at = self.plot_bottom if chart.y else strips_bottom
        self.height = (strips_bottom if chart.y else strips_bottom + LINE * 2 + 8) + 4
        self.labels = Labels(Box(0.0, self.top - 2, size.width, self.height))

    def _plot_height(self) -> float:
        if self.chart.y is None:
            return 0.0
        return _ROW * 1.2 * (len(self.chart.y.ticks) + 0.5) if self.chart.rows else self.size.height

    def _left_texts(self) -> Iterator[str]:
        yield from (text for _, text in self.y_ticks)
        yield from (strip.name for strip in self.chart.strips)

    def svg(self, ids: str) -> Markup:
        """All parts, those that are met last, so that nothing covers them."""
        chart = self.chart
        axes = list(self._axes())
        marks = list(self._marks())
        guides = list(self._guides())
        strips = [part for row, strip in enumerate(chart.strips) for part in self._strip(row, strip)]
        bands = list(self._bands())
        lines = [part for series in chart.series for part in self._series(series)]
        met = list(met_parts(list(self._met()), self.told_width, ids))
        parts = [*axes, *bands, *strips, *guides, *lines, *marks, *met]
        return framed(self.size, self.height, ids, chart.title, chart.description, parts)

    def _axes(self) -> Iterator[Markup]:
        """Lines at the round values, their texts, and the titles."""
        for value, text in ticks(self.x, self.chart.x, self.size.x_ticks):
            x = self.x.at(value)
            top = self.plot_top if self.y else self.strips_top
            yield element("line", x1=x, x2=x, y1=top, y2=self.axis_at, class_="grid")
            places = [(x, self.axis_at + LINE, "middle"), (self.size.width - 2, self.axis_at + LINE, "end")]
            yield from self.labels.draw(text, places[: 1 if x < self.right - 20 else 2], "tick")
        for value, text in self.y_ticks:
            assert self.y is not None  # (without it there are no ticks)
            y = self.y.at(value)
            yield element("line", x1=self.left, x2=self.right, y1=y, y2=y, class_="grid")
            yield from self.labels.draw(cut(text, self.left - 8), [(self.left - 6, y + 4, "end")], "tick")
        middle = (self.left + self.right) / 2
        below = self.axis_at + LINE * 2
        yield from self._title(self.chart.x, [(middle, below, "middle"), (self.size.width - 4, below, "end")])
        if self.chart.y is not None:
            yield from self._title(self.chart.y, [(4.0, self.top + FONT, "start")])

    def _title(self, axis: Axis, places: Sequence[tuple[float, float, str]]) -> Iterator[Markup]:
        yield from self.labels.draw(cut(axis.title, self.size.width - 12), places, "axis")

    def _bands(self) -> Iterator[Markup]:
        for band in self.chart.bands:
            if self.y is None or len(band.edges) < 2:
                continue
            edges = [band.edges[index] for index in spread(len(band.edges), self.size.drawn // 2)]
            upper = [(self.x.at(x), self._clamped(high)) for x, _, high in edges]
            lower = [(self.x.at(x), self._clamped(low)) for x, low, _ in reversed(edges)]
            yield element("path", d=f"{_path([*upper, *lower])}Z", class_=f"band c{_colour(band.colour)}")

    def _clamped(self, value: float) -> float:
        """The place of a value, at the edge of the plot where it lies beyond."""
        assert self.y is not None  # (bands and whiskers have a y axis)
        return self.y.at(min(max(value, self.y.low), self.y.high))

    def _series(self, series: Series) -> Iterator[Markup]:
        if self.y is None:
            return
        look = f"c{_colour(series.colour)}{' faint' if series.faint else ''}"
        if series.look == "line":
            places = [self._place(point) for point in thinned(series.points, self.size.drawn, self.x.at)]
            if len(places) > 1:
                yield element("path", d=_path(places), class_=f"line {look}")
                return
            series = series._replace(look="dots")
        yield from (self._whisker(point, look) for point in series.points if None not in (point.low, point.high))
        # All dots are one path, each a line of no length with round ends: a tenth of the bytes of circles.
        shape, class_ = ("m-3 -3l6 6m0-6l-6 6", "cross") if series.look == "crosses" else ("h0", series.look)
        most = self.size.drawn // 2 if series.look == "dust" else len(series.points)
        places = [self._place(series.points[index]) for index in spread(len(series.points), most)]
        yield element("path", d="".join(f"M{x:.1f} {y:.1f}{shape}" for x, y in places), class_=f"{class_} {look}")

    def _whisker(self, point: Point, look: str) -> Markup:
        """The interval of a point, along x where the chart has rows."""
        low, high = point.low or 0.0, point.high or 0.0
        x, y = self._place(point)
        if self.chart.rows:
            return element("line", x1=self.x.at(low), x2=self.x.at(high), y1=y, y2=y, class_=f"whisker {look}")
        return element("line", x1=x, x2=x, y1=self._clamped(low), y2=self._clamped(high), class_=f"whisker {look}")

    def _place(self, point: Point | Mark) -> tuple[float, float]:
        assert self.y is not None  # (points have a y axis)
        return self.x.at(point.x), self.y.at(point.y)

    def _marks(self) -> Iterator[Markup]:
        """Each mark, with its text where there is room for it."""
        marks = self.chart.marks if self.y else ()
        for x, y in map(self._place, marks):
            self.labels.take(Box(x - 5, y - 5, x + 5, y + 5))
        for mark in sorted(marks, key=lambda mark: mark.look == "star"):  # (a candidate may be the optimum as well)
            yield _sign(mark.look, *self._place(mark))
        for mark in marks:
            x, y = self._place(mark)
            above = [(x, y - 9 - step, "middle") for step in (0.0, LINE, 2 * LINE)]
            below = [(x, y + 19 + step, "middle") for step in (0.0, LINE)]
            beside = [(x + 9, y + 4, "start"), (x - 9, y + 4, "end")]
            yield from self.labels.draw(mark.text, [*above[:1], *beside, *below[:1], *above, *below], "name")

    def _guides(self) -> Iterator[Markup]:
        for guide in self.chart.guides:
            ends = self._guide_ends(guide)
            if ends is None:
                continue
            x1, y1, x2, y2 = ends
            yield element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="guide")
            if guide.along == "x":
                rows = [y2 + FONT + step * LINE for step in range(3)]
                places = [(x, y, anchor) for y in rows for x, anchor in ((x1 + 4, "start"), (x1 - 4, "end"))]
            else:
                places = [(self.right - 2, y2 - 4, "end"), (self.right - 2, y2 + 14, "end")]
                places += [(self.left + 4, y1 - 4, "start"), (self.left + 4, y1 + 14, "start")]
            yield from self.labels.draw(guide.text, places, "name")

    def _guide_ends(self, guide: Guide) -> tuple[float, float, float, float] | None:
        """The ends of a guide inside the plot; None where it lies outside."""
        if guide.along == "x":
            x = self.x.at(guide.at)
            return (x, self.axis_at, x, self.guides_top) if self.x.holds(guide.at) else None
        if self.y is None:
            return None
        if guide.along == "y":
            y = self.y.at(guide.at)
            return (self.left, y, self.right, y) if self.y.holds(guide.at) else None
        low = max(self.x.low, self.y.low / guide.at)
        high = min(self.x.high, self.y.high / guide.at)
        if low >= high:
            return None
        return self.x.at(low), self.y.at(low * guide.at), self.x.at(high), self.y.at(high * guide.at)

    def _strip(self, row: int, strip: Strip) -> Iterator[Markup]:
        """A row of boxes with what stands in them where it fits."""
        top = self.strips_top + row * _ROW
        name = cut(strip.name, self.left - 8)
        yield from self.labels.draw(name, [(self.left - 6, top + 14, "end")], "tick")
        for stretch in strip.stretches:
            first, last = self.x.at(stretch.first), self.x.at(stretch.last)
            shade = "plain" if stretch.shade is None else f"s{min(stretch.shade, 5)}"
            yield element(
                "rect", x=first, y=top + 1, width=max(last - first, 1.0), height=_ROW - 3, class_=f"stretch {shade}"
            )
            # A number that is cut is another number: whole inside its box, or beside the only one, or not at all.
            if not stretch.text:
                continue
            if text_width(stretch.text) <= last - first - 6:
                places = [((first + last) / 2, top + 14, "middle")]
                yield from self.labels.draw(stretch.text, places, f"inside {shade}")
            elif len(strip.stretches) == 1:
                beside = [(last + 5, top + 14, "start"), (first - 5, top + 14, "end")]
                yield from self.labels.draw(stretch.text, beside, "name")

    def _met(self) -> Iterator[Met]:
        """Where values are met, those that stand out last and so on top."""
        if self.y is not None:
            yield from self._met_points()
        for row, strip in enumerate(self.chart.strips):
            top = self.strips_top + row * _ROW
            for stretch in strip.stretches:
                first, last = self.x.at(stretch.first), self.x.at(stretch.last)
                area = (first, top, max(last - first, 1.0), _ROW - 1)
                yield Met(stretch.told, (first + last) / 2, top + _ROW / 2, area)

    def _met_points(self) -> Iterator[Met]:
        """Along a single line anywhere above or below it, else at the points themselves, so many of them."""
        lines = [series for series in self.chart.series if series.look == "line"]
        for series in self.chart.series:
            if series.look == "dust":
                continue
            is_line, points = series.look == "line", series.points
            most = max(self.size.met // len(lines), 3) if is_line else 2 * self.size.met
            chosen = [points[index] for index in spread(len(points), most)]
            yield from self._columns(chosen) if is_line and len(lines) == 1 else map(self._met_at, chosen)
        yield from map(self._met_at, self.chart.marks)

    def _met_at(self, point: Point | Mark) -> Met:
        return Met(point.told, *self._place(point))

    def _columns(self, points: Sequence[Point]) -> Iterator[Met]:
        """A column around each point, as high as the plot, that ends half way to the next."""
        places = [self._place(point) for point in points]
        edges = [self.left, *((a[0] + b[0]) / 2 for a, b in pairwise(places)), self.right]
        for point, (x, y), left, right in zip(points, places, edges, edges[1:], strict=False):
            area = (left, self.plot_top, max(right - left, 1.0), self.plot_bottom - self.plot_top)
            yield Met(point.told, x, y, area)


def _rows_told(chart: Chart, width: float) -> int:
    told = [point.told for series in chart.series for point in series.points]
    told += [mark.told for mark in chart.marks]
    told += [stretch.told for strip in chart.strips for stretch in strip.stretches]
    return max((len(lines_of(text, width)) for text in sorted(told, key=len)[-20:]), default=0)


def _colour(number: int) -> int:
    return (number - 1) % COLOURS + 1


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _sign(look: str, x: float, y: float) -> Markup:
    """What a mark looks like at a place."""
    if look == "star":
        return element("path", d=_star(x, y, 8.0), class_="star")
    if look == "diamond":
        return element("path", d=f"M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6Z", class_="own")
    return element("circle", cx=x, cy=y, r=4.0, class_="mark")


def _star(x: float, y: float, radius: float) -> str:
    """A star of five points around a place."""
    corners = []
    for index in range(10):
        reach, angle = (radius if index % 2 == 0 else radius * 0.45), math.pi * (index / 5 - 0.5)
        corners.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return f"{_path(corners)}Z"


def _cleaned(chart: Chart) -> Chart:
    """The chart without what its axes cannot show."""

    def shown(axis: Axis | None, value: float) -> bool:
        return axis is not None and math.isfinite(value) and (value > 0 or not axis.log)

    series = [
        one._replace(points=points)
        for one in chart.series
        if (points := [p for p in one.points if shown(chart.x, p.x) and shown(chart.y, p.y)])
    ]
    bands = [
        band._replace(edges=[e for e in band.edges if shown(chart.x, e[0]) and all(shown(chart.y, v) for v in e[1:])])
        for band in chart.bands
    ]
    strips = [
        strip._replace(stretches=[s for s in strip.stretches if shown(chart.x, s.first) and shown(chart.x, s.last)])
        for strip in chart.strips
    ]
    marks = [mark for mark in chart.marks if shown(chart.x, mark.x) and shown(chart.y, mark.y)]
    return chart._replace(series=series, bands=bands, strips=strips, marks=marks)


def _values(chart: Chart, axis: int) -> list[float]:
    """Every value along an axis, 0 for x and 1 for y; bands do not stretch it."""
    found = [point[axis] for series in chart.series for point in series.points]
    if axis == (0 if chart.rows else 1):
        along = chart.x if chart.rows else chart.y
        ends = [end for series in chart.series for point in series.points for end in (point.low, point.high)]
        found += [end for end in ends if end is not None and (end > 0 or not (along and along.log))]
    found += [mark[axis] for mark in chart.marks]
    if axis == 0:
        found += [end for strip in chart.strips for each in strip.stretches for end in (each.first, each.last)]
    return [float(value) for value in found if isinstance(value, (int, float))]
