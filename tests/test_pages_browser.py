"""Pages in a real browser, from a file, without a network: nothing is fetched, nothing overlaps, anyone can read it.

The page of all golden records is looked at in every width and scheme, those of one record each for what they ask for.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from golden_records import NAMES, path_of

from sizer.report.pages.page import fragment, page
from sizer.report.pages.saved import read_entry

pytestmark = pytest.mark.browser

WIDTHS = (360, 800, 1400)
SCHEMES = ("light", "dark")
#: Browsers that distributions install; playwright's own download is not needed.
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: Findings of axe that fail a page.
_SERIOUS = {"serious", "critical"}
#: Texts that are shown, with their boxes and those of the pictures that they stand in.
_BOXES = """
() => [...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width > 0).map(svg => {
  const box = rect => [rect.left, rect.top, rect.right, rect.bottom];
  const texts = [...svg.querySelectorAll('text')].filter(text => text.getBoundingClientRect().width > 0);
  return [box(svg.getBoundingClientRect()), texts.map(text => [text.textContent, box(text.getBoundingClientRect())])];
})
"""


@pytest.fixture(scope="module")
def browser():
    """The distribution's own browser; the tests are skipped where there is none, or no playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Each golden record's page, one of all of them, and a notebook's cell in a page of its own."""
    folder = tmp_path_factory.mktemp("pages")
    entries = {name: read_entry(path_of(name)) for name in NAMES}
    texts = {name: page([entry]) for name, entry in entries.items()}
    texts["all"] = page(list(entries.values()))
    cell = fragment(entries["recommendation"].record)
    texts["notebook"] = f'<!DOCTYPE html><html lang="en"><title>cell</title><main><h1>cell</h1>{cell}</main></html>'
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.fixture
def opened(browser, pages):
    """Open a page; what it asked for and what it complained of is collected."""
    contexts = []

    def open_page(name: str, width: int = 800, scheme: str = "light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, **options
        )
        contexts.append(context)
        tab = context.new_page()
        tab.complaints, tab.asked = [], []
        tab.on("console", lambda message: tab.complaints.append(message.text))
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.goto(pages[name].as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_page_asks_for_nothing_and_complains_of_nothing(opened, pages, name):
    tab = opened(name)
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert tab.complaints == []
    assert tab.asked == [pages[name].as_uri()]


@pytest.mark.parametrize("name", ["all", "notebook"])
def test_pages_are_whole_at_every_width_in_light_and_dark(opened, pages, name):
    for bypass_csp in (False, True):
        tab = opened(name, bypass_csp=bypass_csp)
        for width in WIDTHS:
            for scheme in SCHEMES:
                tab.set_viewport_size({"width": width, "height": 900})
                tab.emulate_media(color_scheme=scheme)
                assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, f"scrolls at {width}"
                _check_boxes(tab.evaluate(_BOXES), width)
        assert tab.complaints == []
        assert tab.asked == [pages[name].as_uri()]


def _check_boxes(pictures, width: int) -> None:
    for (left, top, right, bottom), texts in pictures:
        for index, (said, box) in enumerate(texts):
            inside = box[0] >= left - 1 and box[1] >= top - 1 and box[2] <= right + 1 and box[3] <= bottom + 1
            assert inside, f"{said!r} reaches beyond its picture at {width}"
            for other, its in texts[index + 1 :]:
                across, down = min(box[2], its[2]) - max(box[0], its[0]), min(box[3], its[3]) - max(box[1], its[1])
                assert min(across, down) <= 1, f"{said!r} lies on {other!r} at {width}"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["all", "notebook", "recommendation"])
def test_axe_finds_nothing_serious(opened, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe is not installed")
    for width in (360, 1400):
        tab = opened(name, width, scheme, bypass_csp=True)
        tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        tab.evaluate(Path(axe.AXE_FILE_PATH).read_text(encoding="utf-8"))
        found = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        serious = [(one["id"], one["nodes"][0]["html"][:150]) for one in found if one["impact"] in _SERIOUS]
        assert serious == []


def test_values_show_by_hovering_and_by_focus(opened):
    tab = opened("recommendation", 1400)
    tip = "svg.wide .met .tip"
    assert tab.locator(tip).first.is_hidden()
    tab.locator("svg.wide .met").nth(5).hover(force=True)
    shown = [text for text in tab.locator(tip).all_text_contents() if "parameters" in text]
    assert shown
    assert tab.locator(f"{tip}:visible").count() == 1
    assert "to a loss" in tab.locator(f"{tip}:visible").text_content()
    tab.mouse.move(5, 5)
    assert tab.locator(f"{tip}:visible").count() == 0
    tab.locator("svg.wide .met").first.focus()
    first = tab.locator(f"{tip}:visible").text_content()
    tab.keyboard.press("ArrowRight")
    assert tab.locator(f"{tip}:visible").text_content() != first
    tab.keyboard.press("Home")
    assert tab.locator(f"{tip}:visible").text_content() == first
    assert tab.complaints == []


def test_a_chart_is_one_stop_of_the_tab_key(opened):
    tab = opened("recommendation", 1400)
    assert tab.locator('svg.wide .met[tabindex="0"]').count() == tab.locator("svg.wide").count()


def test_without_scripts_every_point_is_reached_and_the_text_is_there(opened):
    tab = opened("recommendation", 1400, java_script_enabled=False)
    assert tab.locator('svg.wide .met[tabindex="0"]').count() > 20
    assert tab.locator("button").is_hidden()
    assert "The whole record stands in this file" in tab.locator("noscript").text_content()


def test_the_record_is_saved_as_it_is(opened):
    tab = opened("recommendation")
    with tab.expect_download() as waiting:
        tab.get_by_role("button", name="Save this record as JSON").click()
    saved = json.loads(Path(waiting.value.path()).read_text(encoding="utf-8"))
    assert saved == json.loads(path_of("recommendation").read_text(encoding="utf-8"))
    assert waiting.value.suggested_filename == "sizer-recommendation-1.json"
    assert tab.complaints == []


def test_no_other_script_may_run(opened):
    tab = opened("machine")
    tab.evaluate(
        "() => { const added = document.createElement('script'); added.textContent = 'window.ran = true'; "
        "document.body.append(added); }"
    )
    assert tab.evaluate("window.ran === undefined")
    assert any("Content Security Policy" in said for said in tab.complaints)


def test_a_page_prints_light_and_whole(opened, tmp_path):
    tab = opened("recommendation", 1400, "dark")
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.querySelector('.sizer-report')).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    assert tab.locator("button").is_hidden()
    assert tab.pdf(format="A4").startswith(b"%PDF")


def test_what_is_folded_is_printed(opened):
    tab = opened("recommendation", 1400, java_script_enabled=False)
    folded = tab.locator("details table")
    assert folded.count() > 1
    assert not any(each.is_visible() for each in folded.all())
    tab.emulate_media(media="print")
    assert all(each.is_visible() for each in folded.all())


def test_contents_lead_to_each_record(opened):
    tab = opened("all", 1400)
    links = tab.locator("nav a")
    assert links.count() == len(NAMES)
    links.last.click()
    assert re.search(r"#r\d+$", tab.url)
    assert tab.complaints == []
