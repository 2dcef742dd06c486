"""The report in a browser: it opens as a file, says nothing to the console, asks no one, and obeys."""

import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from gridsearch.report.page.html import write_report
from gridsearch.results.analysis.analyse import analyse
from tests.helpers.made_up import make_results

ATTACKS = (
    "</script><script>window.hacked = 1</script> <lora:a:1>",
    '"onerror="window.hacked=1" x=\'<img src=x onerror=window.hacked=1>',
    "<!-- \u2028 %{x} <b>bold</b> &amp; <svg onload=window.hacked=1>",
)


def page_of(results):
    write_report(results, analyse(results), results.folder / "report.html")
    return (results.folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Two modes, so that everything is there; every text of it an attack."""
    results = make_results(
        tmp_path_factory.mktemp('a "quoted" & <b> folder'),
        ratios=(0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0),
        prompts=ATTACKS,
        modes=("epsilon", "v_prediction"),
    )
    quoted = {name: name.replace("0000", "0000'\"<i>") for name in results.images["file"]}
    for name, other in quoted.items():
        (results.folder / name).rename(results.folder / other)
    return replace(
        results,
        name=ATTACKS[0],
        images=results.images.assign(reason=ATTACKS[1], file=results.images["file"].map(quoted)),
        references=results.references.assign(model=ATTACKS[1]),
        facts=replace(results.facts, models={ATTACKS[0]: results.facts.models["base"]}),
    )


@pytest.fixture(scope="module")
def address(sweep):
    return page_of(sweep)


def quiet(seen):
    """No error, and nothing asked for but files and what the page carries itself."""
    seen.page.wait_for_timeout(250)  # a full image is asked for once the hand rests
    assert seen.errors == []
    assert {request.split(":", 1)[0] for request in seen.requests} <= {"file", "data", "blob"}


def heading(page, side=0) -> str:
    return page.locator(".side .heading").nth(side).inner_text()


def view(page) -> str:
    return page.locator("#stage").get_attribute("data-view")


def test_the_comparer_obeys_slider_keys_switches_and_wipe(address, visit):
    seen = visit(address)
    page = seen.page
    stage = page.locator("#stage")
    assert heading(page) == "0.55"  # the recommended one
    assert page.locator(".side .mark").first.inner_text() == "recommended"
    slider = page.locator(".side input").first
    slider.press("ArrowRight")
    assert heading(page) == "0.60"
    assert slider.get_attribute("aria-valuetext").startswith("0.60, ")
    slider.press("Home")
    assert heading(page) == "base"  # references come first
    stage.focus()
    for key, expected in (("ArrowRight", "burnt"), ("ArrowRight", "0.00"), ("ArrowLeft", "burnt")):
        page.keyboard.press(key)
        assert heading(page) == expected
    assert page.locator("#prompt").input_value() == "0"
    page.keyboard.press("ArrowDown")
    assert page.locator("#prompt").input_value() == "1"
    shown = page.locator(".view img").first
    assert shown.get_attribute("alt") == "a green square, seed 11, burnt: burnt"
    page.keyboard.press("]")
    assert "seed 12" in shown.get_attribute("alt")
    page.locator("#seeds button").first.click()
    assert "seed 11" in shown.get_attribute("alt")
    focus = "document.activeElement.closest('#seeds')?.dataset.prompt + document.activeElement.textContent"
    page.keyboard.press("]")
    assert page.evaluate(focus) == "p211"
    assert page.locator("#seeds [aria-pressed=true]").inner_text() == "12"
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focus) == "p112"  # the other prompt's button in its place
    page.keyboard.press("ArrowDown")
    page.keyboard.press("[")
    expect(shown).to_have_attribute("src", re.compile(r"^file:.*/references/burnt_p2_11.png$"))
    assert page.locator(".full a").first.get_attribute("href").endswith("references/burnt_p2_11.png")

    assert view(page) == "one"
    assert not page.locator(".side").nth(1).is_visible()
    page.get_by_role("button", name="Wipe").click()
    assert view(page) == "wipe"
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60)
    page.mouse.up()
    assert page.locator("#wipe").input_value() == "25"
    # The handle is the line itself, so the pointer is where the images meet.
    clip = "getComputedStyle(document.querySelector('.view[data-side=\"1\"]')).clipPath"
    assert page.evaluate(clip) == "inset(0px 0px 0px 25%)"
    page.locator("#wipe").press("ArrowRight")
    assert page.evaluate(clip) == "inset(0px 0px 0px 26%)"
    assert heading(page) == "burnt"  # the wipe's keys are its own
    page.keyboard.press("x")
    assert [heading(page, 0), heading(page, 1)] == ["base", "burnt"]
    page.keyboard.press("3")
    assert view(page) == "beside"
    page.locator(".grid").focus()
    page.keyboard.press("Tab")  # one stop for all images
    assert page.evaluate("document.activeElement.closest('.grid')") is None
    quiet(seen)


@pytest.mark.night
def test_a_click_on_grid_strip_curve_or_jump_leads_to_the_comparer(address, visit):
    seen = visit(address, width=1600)
    page = seen.page
    page.locator("tr.case").nth(5).locator("td").nth(4).locator("a").click()
    picture = page.locator(".view img").first
    assert picture.get_attribute("alt").endswith("seed 12, 0.10: blank")
    assert page.locator("td.current img").get_attribute("alt") == picture.get_attribute("alt")
    page.locator(".strip a").last.click()
    assert heading(page) == "1.00"
    jump = page.locator(".jumps button").first
    prompt, at = re.match(r"(p\d) has the first failed image below, at ([\d.]+)", jump.inner_text()).groups()
    jump.click()
    assert heading(page) == at
    assert page.locator("#prompt option:checked").inner_text().startswith(f"{prompt} · ")

    traces = page.locator("#plot-noise .trace")
    expect(traces).to_have_count(1)
    page.locator("#each-prompt").click()
    assert traces.count() == 9  # the mean, and eight prompts
    page.locator("#one-prompt").select_option("p3")
    page.locator("#each-prompt").click()
    assert traces.count() == 2
    follow = """document.getElementById("plot-defect").emit("plotly_click",
        { points: [{ data: { prompt: "p5", curve: 0 }, curveNumber: 1, x: 0.31 }] })"""
    page.evaluate(follow)
    assert heading(page) == "0.30"
    assert page.locator("#prompt option:checked").inner_text().startswith("p5 · ")
    assert page.locator("#one-prompt").input_value() == "p5"
    quiet(seen)


def test_hostile_text_does_nothing_and_modes_stand_beside_each_other(hostile, visit):
    seen = visit(page_of(hostile), width=375, dark=True)
    page = seen.page
    expect(page.locator(".plot:not(.js-plotly-plot)")).to_have_count(0)
    page.locator("#each-prompt").click()
    assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [375, 375]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 25)"
    assert view(page) == "beside"
    assert page.locator("#prompt option").first.inner_text() == f"p1 · {ATTACKS[0]}"
    modes = [page.locator(".mode").nth(side) for side in (0, 1)]
    names = [mode.locator("option:checked").inner_text() for mode in modes]
    assert sorted(names) == ["epsilon", "v_prediction"]
    page.locator("#stage").focus()
    page.keyboard.press("ArrowRight")
    assert heading(page, 0) == heading(page, 1)  # the same ratio in both
    expect(page.locator(".view img").first).to_have_attribute("src", re.compile("^file:"))
    assert page.locator(".said").first.inner_text() == ATTACKS[1]
    assert page.evaluate("window.hacked") is None
    assert page.locator("main :is(svg[onload], img[onerror], b b)").count() == 0
    quiet(seen)


@pytest.mark.night
def test_a_mailed_page_shows_what_travels_in_it_and_asks_but_once(sweep, address, tmp_path, visit):
    (tmp_path / "mail.html").write_bytes((sweep.folder / "report.html").read_bytes())
    seen = visit((tmp_path / "mail.html").as_uri())
    page = seen.page
    page.locator(".alone").wait_for(state="visible")
    page.locator("#stage").press("ArrowRight")
    expect(page.locator(".view img").first).to_have_js_property("naturalWidth", 64)
    page.wait_for_timeout(250)
    assert len([request for request in seen.requests if request.endswith(".png")]) == 1


@pytest.mark.night
def test_on_paper_there_is_the_answer_and_no_control(tmp_path, visit):
    results = make_results(tmp_path, prompts=("a cat", "a dog"), done=9)
    page = visit(page_of(results), reduced_motion="reduce").page
    assert page.locator(".running").is_visible()
    when = page.locator(".written time")
    assert re.fullmatch(r"\d\d:\d\d, [1-9]\d? [A-Z][a-z]+ \d{4}", when.inner_text())
    assert when.get_attribute("datetime")
    assert page.get_by_role("button", name="Reload").is_visible()
    page.emulate_media(media="print")
    assert not page.locator("button:visible, select:visible, input:visible").count()
    assert page.locator("tr.case:visible").count() == 2  # a seed of each prompt
    assert page.evaluate(
        "document.querySelector('.grid').scrollHeight <= document.querySelector('.grid').clientHeight"
    )
