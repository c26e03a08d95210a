"""Pages: what is on them, that nothing else is needed, what hostile files come to, what is left out."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from golden_records import COEFFICIENTS, FOLDER, NAMES, SMALL_CPU, path_of, rewrite

import sizer
from sizer.base.errors import DataError, UsageError
from sizer.base.records import Record
from sizer.base.visible import visible
from sizer.cli import run
from sizer.method.advisor import recommend
from sizer.method.request import Request
from sizer.report.charts import CHARTS, charts
from sizer.report.charts.figure import Axis, Cell, Chart, Icicle, Point, Stretch, Strip, thinned
from sizer.report.charts.icicle import drawn_icicle
from sizer.report.charts.picture import SIZES
from sizer.report.charts.plot import drawn_chart
from sizer.report.layout import Table
from sizer.report.pages.anonymous import anonymous
from sizer.report.pages.page import Entry, fragment, page
from sizer.report.pages.saved import MOST_BYTES, READERS, read_entry, record_of
from sizer.report.pages.text import told
from sizer.report.pages.writing import write_page
from sizer.report.terminal import REPORTS
from sizer.size_search.result import SearchSlice

#: Largest page of a golden record, and of a search of 30 sizes and 300 epochs each.
MOST_KB, MOST_KB_OF_SEARCH = 250, 1000


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of those that are asked for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open and data.strip():
            self.texts.append((self._open[-1], data.strip()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def unpacked(value):
    """Embedded JSON with its long lists as they were."""
    if isinstance(value, list):
        return [unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "_rows" in value:
        return [dict(zip(value["_columns"], unpacked(row), strict=True)) for row in value["_rows"]]
    return {name: unpacked(each) for name, each in value.items()}


@pytest.fixture(params=NAMES)
def golden(request) -> Entry:
    if request.config.getoption("--rewrite-golden"):
        rewrite(request.param)
    return read_entry(path_of(request.param))


def shown(entry: Entry) -> str:
    return page([entry])


def test_every_record_has_a_golden_one():
    made = {type(read_entry(path_of(name)).record).__name__ for name in NAMES}
    assert made == set(REPORTS) - {"Diagnosis", "ClusterCalibration"}
    assert set(CHARTS) <= set(REPORTS)


def test_a_page_holds_its_record_whole(golden):
    data = json.loads(path_of(golden.name).read_text(encoding="utf-8"))
    embedded = re.search(r'<script type="application/json" id="r1-json">(.*?)</script>', shown(golden), re.S)
    assert unpacked(json.loads(embedded.group(1))) == data


def test_a_record_of_its_json_looks_as_the_record_does(golden):
    """What is read back has lost nothing that a page shows, and keeps to its schema."""
    data = json.loads(golden.record.to_json())
    again = Entry(record_of(data, "the record"), golden.name, data=golden.data)
    assert shown(again) == shown(golden)


def test_what_is_saved_is_loaded(golden, tmp_path):
    found = sizer.load(Record.save(golden.record, tmp_path / "record.json"))
    assert type(found) is type(golden.record)
    assert found.to_json() == golden.record.to_json()


def test_a_record_with_a_chart_has_a_picture(golden, tmp_path):
    drawn = [one for one in charts(golden.record) if isinstance(one, Chart)]
    if not drawn:
        with pytest.raises(UsageError, match="to_frame"):
            golden.record.plot()
        return
    figure = golden.record.plot(tmp_path / "picture.svg")
    assert drawn[0].title in figure.get_suptitle()
    assert len(figure.axes) == bool(drawn[0].y) + bool(drawn[0].strips)
    assert (tmp_path / "picture.svg").stat().st_size > 1000


def test_a_page_is_small_and_needs_nothing_else(golden):
    text = shown(golden)
    assert len(text.encode()) < MOST_KB * 1000
    elements = Elements(text)
    loading = ("src", "srcset", "poster", "data", "action", "formaction", "background", "style")
    for tag, attributes in elements.found:
        assert not set(loading) & attributes.keys(), f"<{tag}> loads or styles by an attribute"
        assert not [name for name in attributes if name.startswith("on")]
        if "href" in attributes:
            assert attributes["href"].startswith(("#", "data:,")), attributes
    assert "url(" not in text
    assert "@import" not in text
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_one_script_and_one_style_are_allowed_by_their_hash(golden):
    text = shown(golden)
    policy = Elements(text).all("meta")[1]["content"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; ")
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_figures_say_what_they_did(golden, request):
    """The texts of each figure: titles, axes, ticks, names, what is told of points, and the table's titles."""
    lines = list(_figure_lines(shown(golden)))
    path = FOLDER / f"{golden.name}.figures.txt"
    if request.config.getoption("--rewrite-golden"):
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    assert lines == path.read_text(encoding="utf-8").splitlines()


def _figure_lines(text: str):
    for figure in re.findall(r"<figure>.*?</figure>", text, re.S):
        wide = re.search(r'<svg class="wide".*?</svg>', figure, re.S).group()
        title = Elements(re.search(r"<figcaption>.*?</figcaption>", figure, re.S).group()).texts
        yield f"# {' '.join(said for _, said in title)}"
        keys = [said for tag, said in Elements(figure).texts if tag == "li"]
        yield from (f"key: {key}" for key in keys)
        texts = re.findall(r'<text [^>]*class="(\w+)[^>]*>([^<]*)<', wide)
        for kind in ("axis", "tick", "name", "inside"):
            yield f"{kind}: {' | '.join(said for of, said in texts if of == kind)}"
        met = re.findall(r'class="tip"[^>]*>([^<]*)<', wide)
        yield from (f"met: {said}" for said in met[:3])
        titles = re.findall(r'<th scope="col">([^<]*)<', figure)
        yield f"titles: {' | '.join(titles)}"


def test_no_text_of_a_picture_lies_on_another_or_beyond_it(golden):
    """By widths that no font exceeds; the browser tests measure the real ones."""
    for wide in re.findall(r"<svg .*?</svg>", shown(golden), re.S):
        width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', wide).groups())
        boxes = list(_boxes(wide))
        for index, (said, left, top, right, bottom) in enumerate(boxes):
            assert left >= -1 and right <= width + 1 and top >= -1 and bottom <= height + 1, said  # noqa: PT018
            for other, left2, top2, right2, bottom2 in boxes[index + 1 :]:
                across = min(right, right2) - max(left, left2)
                down = min(bottom, bottom2) - max(top, top2)
                assert across <= 1 or down <= 1, f"{said!r} lies on {other!r}"


def test_every_axis_of_a_picture_is_named_whole(golden):
    """At both widths: a title that has no room is left out, or cut, without a word."""
    for chart in (one for one in charts(golden.record) if isinstance(one, Chart)):
        for size in SIZES:
            said = re.findall(r'class="axis">([^<]*)<', drawn_chart(chart, size, "x"))
            titles = [axis.title for axis in (chart.x, chart.y) if axis is not None]
            assert list(map(unescape, said)) == titles, f"{chart.title}, {size.name}"


@pytest.mark.parametrize(("name", "number"), [("tuning", 1), ("operator_calibration", 0)])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_rows_are_all_named(name, number, size):
    chart = list(charts(read_entry(path_of(name)).record))[number]
    said = re.findall(r'class="tick">([^<]*)<', drawn_chart(chart, size, "x"))
    assert {text for _, text in chart.y.ticks} <= set(map(unescape, said))


def test_a_text_in_a_box_is_whole_or_beside_it_or_not_there():
    """A number that is cut is another number."""
    only = Strip("one", [Stretch(0.0, 1.0, "-1.0234e-05", "told")])
    several = Strip("two", [Stretch(0.0, 1.0, "-2.0234e-05", "told"), Stretch(1.0, 100.0, "long enough", "told")])
    chart = Chart("t", "d", Axis("x", log=False), None, Table([]), strips=[only, several])
    for size in SIZES:
        said = re.findall(r'class="(?:inside|name)[^>]*>([^<]*)<', drawn_chart(chart, size, "x"))
        assert sorted(said) == ["-1.0234e-05", "long enough"]


def test_names_that_are_wider_than_their_boxes_stand_in_them():
    """Six blocks of a transformer had no name at all in their layers' boxes."""
    layers = [
        Cell(name, 1, (block + part / 3) / 6, (block + (part + 1) / 3) / 6, "told", 0)
        for block in range(6)
        for part, name in enumerate(("self_attn", "linear1", "linear2"))
    ]
    icicle = Icicle("t", "d", [Cell("Encoder", 0, 0.0, 1.0, "told", None), *layers], ["L1"], Table([]))
    for size in SIZES:
        picture = drawn_icicle(icicle, size, "x")
        said = re.findall(r'class="inside[^>]*>([^<]*)<', picture)
        assert said == ["Encoder", *(cell.name for cell in layers)]
        assert picture.count("rotate(-90 ") == len(layers)


def test_a_thinned_curve_keeps_its_shape_where_its_points_are_few():
    """Nine points of a steep start and a thousand of the rest: parts of equal counts drew one line over all nine."""
    points = [Point(float(x), 1 / x, "") for x in (*range(1, 10), *np.geomspace(10, 1000, 1000))]
    kept = thinned(points, 120, math.log)
    assert len(kept) <= 121
    assert kept[:9] == points[:9]
    assert kept[-1] == points[-1]


def _boxes(picture: str):
    from sizer.report.charts.svg import FONT, text_width

    for attributes, escaped in re.findall(r"<text ([^>]*)>([^<]*)<", picture):
        said = unescape(escaped)
        of = dict(re.findall(r'([\w-]+)="([^"]*)"', attributes))
        if of["class"] in ("tip", "hint"):
            continue
        x, y, width = float(of["x"]), float(of["y"]), text_width(said)
        if "transform" in of:  # (upright: turned by a quarter about the middle of its box)
            yield said, x - FONT * 0.5, y - 4 - width / 2, x + FONT * 0.5, y - 4 + width / 2
            continue
        left = x - {"start": 0, "middle": width / 2, "end": width}[of["text-anchor"]]
        yield said, left, y - FONT * 0.8, left + width, y + FONT * 0.2


def test_every_figure_has_a_title_a_text_a_table_and_points_to_meet(golden):
    text = shown(golden)
    for figure in re.findall(r"<figure>.*?</figure>", text, re.S):
        elements = Elements(figure)
        pictures = elements.all("svg")
        assert [picture["class"] for picture in pictures] == [size.name for size in SIZES]
        for picture in pictures:
            assert {"aria-labelledby", "aria-describedby"} <= picture.keys()
        assert len(elements.all("table")) == 1
        assert any(attributes.get("tabindex") == "0" for attributes in elements.all("g"))


def test_labels_stand_in_words_and_colour():
    assert '<span class="label calibrated">calibrated</span>' in shown(read_entry(path_of("recommendation")))
    assert told("3 us, calibrated; as published by them") == (
        '3 us, <span class="label calibrated">calibrated</span>; as published by them'
    )
    assert told("2 ms, estimated (from peaks)") == '2 ms, <span class="label estimated">estimated</span> (from peaks)'
    assert told("run `sizer <x>`") == "run <code>sizer &lt;x&gt;</code>"


def test_what_cannot_be_seen_is_shown_by_its_number():
    assert visible("a\x1b[31mb\u202ec\ud800") == "a\\u001b[31mb\\u202ec\\ud800"
    assert visible("Grüße, 数据 🙂") == "Grüße, 数据 🙂"


def test_a_notebook_shows_the_same_without_a_script():
    record = read_entry(path_of("recommendation")).record
    first, second = fragment(record), fragment(record)
    for html in (first, second):
        assert "<script" not in html
        assert "of reaching a loss by size" in html
        assert "<html" not in html
    ids = [set(re.findall(r' id="([^"]+)"', html)) for html in (first, second)]
    assert ids[0] and not ids[0] & ids[1]  # noqa: PT018
    for rule in re.findall(r"(?:^|[}{])\s*([^{}@]+)\{", re.search(r"<style>(.*?)</style>", first, re.S).group(1)):
        assert all(".sizer-" in selector for selector in re.sub(r":is\([^)]*\)", "", rule).split(",")), rule


def test_an_earlier_record_lacks_panels_and_no_more():
    older = read_entry(path_of("recommendation"))
    later = ("one_shot", "largest", "notes", "hardness", "near_best", "next_sizes", "at_other_speeds")
    data = {name: value for name, value in older.data.items() if name not in later}
    for candidate in (data["optimum"], *data["candidates"]):
        for name in ("chance_to_reach", "chance", "learning_rate", "averaged"):
            candidate.pop(name, None)
    assert "of reaching a loss by size" in page([Entry(record_of(data, "older"), data=data)])
    search = read_entry(FOLDER.parent / "before_the_move" / "search" / "record.json")
    assert search.record.history == ()
    text = shown(search)
    assert "Cost of reaching the target by size" in text
    assert "over what was spent" not in text


def test_every_format_that_is_read_has_a_schema():
    for name in READERS:
        assert (files("sizer.schemas") / f"{name.removeprefix('sizer.').replace('/', '-')}.json").is_file()
    for name in NAMES:
        data = json.loads(path_of(name).read_text(encoding="utf-8"))
        schema = files("sizer.schemas") / f"{data['format'].removeprefix('sizer.').replace('/', '-')}.json"
        jsonschema.validate(data, json.loads(schema.read_text(encoding="utf-8")))


def test_a_search_says_which_size_was_chosen_when_and_why():
    record = read_entry(path_of("search")).record
    chart = next(one for one in charts(record) if one.title == "Which size was chosen when, and why")
    assert len(chart.strips) == len(record.trials)
    why = chart.table.columns[-1].cells
    assert why[0].startswith("the first: ")
    assert all(why)
    earlier = replace(record, history=tuple(each._replace(why=None) for each in record.history))
    assert not any("why" in one.title for one in charts(earlier))


def test_figures_6_and_7_of_the_study_are_drawn():
    record = read_entry(path_of("study_isoloss")).record
    titles = [one.title for one in charts(record)]
    assert any(title.startswith("Cost to reach a loss by size: ") for title in titles)
    (beside, *_) = (one for one in charts(record) if one.title.startswith("Cost and FLOPs to reach loss"))
    assert [series.name for series in beside.series] == ["measured cost", "FLOPs"]
    assert all(min(point.y for point in series.points) == 1.0 for series in beside.series)


def test_a_long_search_stays_small():
    """Thirty sizes of 300 epochs: all of them in the JSON, points thinned in the picture."""
    short = read_entry(path_of("search")).record
    trial = short.trials[0]
    trials = tuple(trial._replace(number=number, name=f"t{number}", epochs=300) for number in range(1, 31))
    values = tuple(0.5 + 1 / (epoch + 1.2345678901) for epoch in range(300))
    times = tuple(0.0123456789012 + epoch * 1e-5 for epoch in range(300))
    history = tuple(
        SearchSlice(f"t{number}", values[start : start + 30], times[start : start + 30], None)
        for start in range(0, 300, 30)
        for number in range(1, 31)
    )
    text = page([Entry(replace(short, trials=trials, history=history))])
    assert len(text.encode()) < MOST_KB_OF_SEARCH * 1000
    embedded = unpacked(json.loads(re.search(r'id="r1-json">(.*?)</script>', text, re.S).group(1)))
    assert sum(len(each["values"]) for each in embedded["history"]) == 9000
    drawn = re.findall(r'<path d="(M[^"]*)" class="line', text)
    assert len(drawn) >= 60
    assert max(path.count("L") for path in drawn) < 150


def test_several_families_are_drawn_in_several_colours():
    request = Request(64, (4, 6), shape=("rectangle", "exponential"), top=3)
    chart = next(charts(recommend(request, SMALL_CPU, COEFFICIENTS)))
    assert isinstance(chart, Chart)
    lines = [series for series in chart.series if not series.faint]
    assert [series.colour for series in lines] == [1, 2, 3, 4]
    assert len({series.name for series in lines}) == 4


# Files of others.

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(1)">\u202egpj.exe\x1b[2J&amp;{{ 7*7 }}'


def test_text_of_a_record_stays_text(tmp_path):
    data = json.loads(path_of("recommendation").read_text(encoding="utf-8"))
    data["device"]["name"] = data["coefficients"]["basis"] = data["candidates"][0]["why"] = HOSTILE
    data["notes"], data["answers"] = [HOSTILE], {HOSTILE: [HOSTILE]}
    for point in data["curve"]:
        point["levels"] = {HOSTILE: HOSTILE}
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    text = page([read_entry(path)])
    elements = Elements(text)
    assert len(elements.all("script")) == 2
    assert not elements.all("img")
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "{{ 7*7 }}" in text
    embedded = re.search(r'id="r1-json">(.*?)</script>', text, re.S).group(1)
    assert unpacked(json.loads(embedded)) == data


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is not the JSON of a record"),
        ("[1, 2]", "is no record of sizer"),
        ('{"a": 1}', "is no record of sizer"),
        ('{"format": "sizer.nonsense/1"}', "which this version does not show"),
        ('{"format": "sizer.machine/1", "devices": 3}', "is no sizer.machine/1: devices must be array"),
        ('{"format": "sizer.machine/1", "devices": [], "x": NaN}', "NaN is no number in JSON"),
        ('{"format": "sizer.machine/1", "devices": [], "x": 1e999}', "1e999 is too large a number"),
        ('{"format": "sizer.machine/1", "devices": [], "x": 1' + "0" * 40 + "}", "is too large a number"),
        ('{"format": "sizer.machine/1", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"format": "sizer.search/1"}', "that can be shown"),
        ('{"format": "sizer.recommendation/1", "curve": []}', "that can be shown"),
        ("\ud800", "is not the JSON of a record"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(content, expected, tmp_path, capsys):
    path = tmp_path / "record.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    assert run(["report", str(path), "--html", str(tmp_path / "page.html")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert not (tmp_path / "page.html").exists()


def test_a_file_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.json"
    with path.open("wb") as stream:
        stream.truncate(MOST_BYTES + 1)
    with pytest.raises(DataError, match=r"has 50 MiB; a record has at most 50 MiB"):
        read_entry(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_entry(tmp_path / "none.json")


def test_values_that_no_axis_shows_are_left_out():
    data = json.loads(path_of("validation").read_text(encoding="utf-8"))
    for network in data["networks"][:40]:
        network["measured_s"], network["predicted_s"] = 1e-30, 1e30
    assert "Predicted over measured" in page([Entry(record_of(data, "odd"), data=data)])
    data["networks"][0]["measured_s"] = 5e-324
    with pytest.raises(DataError, match="values that no record has"):
        page([Entry(record_of(data, "odd"), data=data)])


def test_names_of_thousands_of_parts_are_cut():
    data = json.loads(path_of("module").read_text(encoding="utf-8"))
    data["layers"][0]["name"] = ".".join("x" * 5000)
    assert "Layers by FLOPs" in page([Entry(record_of(data, "deep"), data=data)])


# Files that are written.


def test_only_pages_are_overwritten(tmp_path, capsys):
    record, target = path_of("machine"), tmp_path / "page.html"
    target.write_text("somebody's work", encoding="utf-8")
    assert run(["report", str(record), "--html", str(target)]) == 2
    assert "was not written by sizer" in capsys.readouterr().err
    assert target.read_text(encoding="utf-8") == "somebody's work"
    assert run(["report", str(record), "--html", str(target), "--force"]) == 0
    assert run(["report", str(record), "--html", str(target)]) == 0
    assert "wrote" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(UsageError, match="is a folder"):
        write_page(tmp_path, "")


def test_a_page_that_may_not_be_written_stops_a_command_before_its_work(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.html").write_text("mine", encoding="utf-8")
    monkeypatch.setattr("sizer.recommend", lambda **options: pytest.fail("it worked first"))
    options = ["recommend", "--input-dim", "8", "--depth", "3", "--html", str(tmp_path / "mine.html")]
    assert run(options) == 2
    assert "was not written by sizer" in capsys.readouterr().err


def test_a_script_is_not_run_for_a_page_that_may_not_be_written(tmp_path, capsys):
    (tmp_path / "mine.html").write_text("mine", encoding="utf-8")
    (tmp_path / "train.py").write_text("print('trained')", encoding="utf-8")
    assert run(["run", "--html", str(tmp_path / "mine.html"), str(tmp_path / "train.py")]) == 2
    assert "trained" not in capsys.readouterr().out


def test_several_records_have_a_table_of_contents(tmp_path, capsys):
    paths = [str(path_of(name)) for name in ("machine", "inspection", "validation")]
    assert run(["report", *paths, "--html", str(tmp_path / "all.html")]) == 0
    text = (tmp_path / "all.html").read_text(encoding="utf-8")
    elements = Elements(text)
    targets = [link["href"] for link in elements.all("a")]
    assert targets == ["#r1", "#r2", "#r3"]
    assert {section.get("id") for section in elements.all("section")} == {"r1", "r2", "r3"}
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "Validation (validation)" in text


def test_commands_write_pages_beside_what_they_print(tmp_path, capsys):
    options = ["--device", "nvidia-t4", "--html"]
    target = tmp_path / "page.html"
    assert run(["recommend", "--input-dim", "64", "--depth", "4", "--why-not", "300", *options, str(target)]) == 0
    said = capsys.readouterr()
    assert "cost to loss" in said.out or "widths" in said.out
    assert f"wrote {target}" in said.err
    text = target.read_text(encoding="utf-8")
    assert "why not 300" in text
    assert ">yours: 300</text>" in text
    assert run(["inspect", "--mlp", "64-32-1", *options, str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "sizer.inspection/1"
    assert run(["profiles", "compare", "nvidia-t4", "nvidia-h200", "--html", str(target)]) == 0
    assert "Time of a step by size" in target.read_text(encoding="utf-8")


def test_a_record_writes_its_page(tmp_path):
    record = read_entry(path_of("machine")).record
    record.to_html(tmp_path / "deep" / "page.html")
    assert "Memory hierarchy" in (tmp_path / "deep" / "page.html").read_text(encoding="utf-8")
    (tmp_path / "other.html").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError):
        record.to_html(tmp_path / "other.html")
    record.to_html(tmp_path / "other.html", force=True)


def test_anonymous_leaves_out_who_and_where(tmp_path, monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "build-host.example.org")
    data = json.loads((FOLDER.parent / "before_the_move" / "search" / "record.json").read_text(encoding="utf-8"))
    data["folder"], data["saved"] = "/home/ada/searches/x", "C:\\Users\\ada\\net.pt2"
    data["trials"][0]["where"] = ["10.1.2.3"]
    data["notes"] = [
        "read /home/ada/data/house.csv on build-host, by ada; see ~/notes and 10.1.2.3:6379",
        "from /sys/devices/system/cpu, 3/4 of it",
    ]
    kept = anonymous(data)
    text = json.dumps(kept)
    for gone in ("ada", "build-host", "10.1.2.3", "house.csv", "notes and", "net.pt2"):
        assert gone not in text.replace('"notes"', ""), gone if gone != "notes and" else "~/notes"
    assert kept["notes"][0] == "read (path) on (name), by (name); see (path) and (node)"
    assert kept["notes"][1] == "from /sys/devices/system/cpu, 3/4 of it"
    assert kept["trials"][0]["best_value"] == data["trials"][0]["best_value"]
    path = tmp_path / "ada-search.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert "ada" not in re.sub(r"<style>.*?</style>", "", page([read_entry(path, is_anonymous=True)]), flags=re.S)


@pytest.mark.parametrize("name", NAMES)
def test_every_record_has_an_anonymous_page(name):
    assert page([read_entry(path_of(name), is_anonymous=True)])


def test_an_anonymous_fleet_numbers_its_nodes(tmp_path):
    text = path_of("fleet").read_text(encoding="utf-8").replace('"middling', '"ada-01').replace("middling", "ada-01")
    (tmp_path / "fleet.json").write_text(text, encoding="utf-8")
    record = read_entry(tmp_path / "fleet.json", is_anonymous=True).record
    assert [node.name for node in record.nodes] == ["node 1", "node 2", "node 3"]
    assert record.cheapest.name == "node 1"
    assert "ada-01" not in str(record)
    assert "node 2" in str(record)


def test_no_other_command_pays_for_pages():
    script = (
        "import sys; from sizer.cli import run; run(['recommend', '--input-dim', '8', '--depth', '3', '--device', "
        "'nvidia-t4']); run(['detect']); print([name for name in ('jinja2', 'markupsafe', 'fastjsonschema', "
        "'sizer.report.charts') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_help_names_the_page_where_there_is_a_record():
    from sizer.cli import COMMANDS, sizer

    without = {"predict", "completion", "help", "study", "profiles", "report"}
    for name in COMMANDS.keys() - without:
        command = sizer.get_command(None, name)
        assert "--html" in [option for parameter in command.params for option in parameter.opts], name


def test_templates_are_installed():
    folder = files("sizer.report.pages") / "templates"
    assert {Path(str(path)).name for path in folder.iterdir()} == {
        *("page.html", "fragment.html", "record.html", "page.css", "page.js")
    }


# Pages of something under way.


def test_a_search_shows_itself_while_it_runs(tmp_path, monkeypatch):
    """After each slice (here without a pause) the page is that of the search so far; in the end it stays as it is."""
    from golden_records import _power_law

    from sizer.report.pages import live
    from sizer.size_search.request import custom_task, make_request, one_aim, search_custom

    monkeypatch.setattr(live, "REFRESH_S", 0)
    monkeypatch.setattr(live, "_SHARE", 1e9)
    target, seen = tmp_path / "live.html", []
    inner = live.LivePage(target)

    def watch(make):
        inner(make)
        seen.append(target.read_text(encoding="utf-8"))

    aim = one_aim(0.16, None, None, None)
    settings = {"depth": 3, "batch_size": 64, "priced_for": "x86-vm-2cpu", "device": "cpu"}
    request = make_request(aim, (), None, 0.2, None, False, "local", None, settings)
    found = search_custom(custom_task(_power_law, aim, 8, 1, 2000), replace(request, watch=watch))
    assert len(seen) == len(found.history)
    assert all('<meta http-equiv="refresh"' in text for text in seen)
    assert "Under way, not reached yet" in seen[0]
    found = [re.search(r'id="r1-json">(.*?)</script>', text, re.S).group(1) for text in seen]
    embedded = [unpacked(json.loads(each)) for each in found]
    schema = json.loads((files("sizer.schemas") / "search-1.json").read_text(encoding="utf-8"))
    for number, data in enumerate(embedded, start=1):
        jsonschema.validate(data, schema)
        assert (data["status"], len(data["history"])) == ("running", number)
    inner.end()
    assert '<meta http-equiv="refresh"' not in target.read_text(encoding="utf-8")


def test_a_live_page_is_not_written_all_the_time(tmp_path, monkeypatch):
    from sizer.report.pages import live

    clock = iter([100.0, 101.0, 105.0, 120.9, 121.1, 121.2])
    monkeypatch.setattr(live.time, "monotonic", lambda: next(clock))
    made = []
    shown = live.LivePage(tmp_path / "live.html")
    record = read_entry(path_of("machine")).record

    def make():
        made.append(1)
        return record

    shown(make)  # from 100 to 101: the next one not before 121, twenty times as long after
    for _ in range(2):
        shown(make)
    assert len(made) == 1
    shown(make)
    assert len(made) == 2
