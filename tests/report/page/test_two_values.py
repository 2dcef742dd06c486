"""The page of a search over three values in a browser, on a phone; and the page of a run that goes on."""

from itertools import product

import pandas as pd
import pytest

from gridsearch.report.page.html import write_report
from gridsearch.results.analysis.analyse import analyse
from tests.helpers.made_up import make_results, results_of

pytestmark = pytest.mark.night
RATIOS = (0.3, 0.5, 0.7)


def page_of(results):
    write_report(results, analyse(results, resamples=50), results.folder / "report.html")
    return (results.folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A run over three ratios, two values of cfg and two of steps."""
    once = make_results(tmp_path_factory.mktemp("three"), ratios=RATIOS, prompts=("a", "b"), seeds=(1,))
    parts = [
        once.images.assign(
            **{"render.cfg": cfg, "render.steps": steps, "trial": once.images["trial"] + i * len(RATIOS)}
        )
        for i, (cfg, steps) in enumerate(product((4.0, 7.0), (20, 30)))
    ]
    names = ("ratio", "render.cfg", "render.steps")
    return page_of(results_of(once.folder, pd.concat(parts, ignore_index=True), names, once.references))


def texts(page, selector):
    return page.locator(f"#axes {selector}").all_inner_texts()


def test_axes_are_chosen_and_swapped_and_an_image_opens_in_the_comparer(address, visit):
    seen = visit(address, width=375, height=800, has_touch=True, is_mobile=True)
    page = seen.page
    assert texts(page, "thead th")[1:] == ["0.30", "0.50", "0.70"]
    assert texts(page, "tbody th") == ["4", "7"]
    page.locator("#down").select_option(label="steps")
    assert texts(page, "tbody th") == ["20", "30"]
    page.locator("#across").select_option(label="steps")  # what was down goes elsewhere
    assert page.locator("#down").evaluate("one => one.selectedOptions[0].textContent") == "ratio"
    page.locator("#turn").click()
    assert texts(page, "tbody th") == ["20", "30"]
    page.locator(".others label", has_text="cfg").locator("select").select_option(label="7")
    page.locator("#axes tbody tr").nth(1).locator("button").nth(2).click()
    picture = page.locator("#compare .view img").first
    assert picture.get_attribute("alt").endswith("seed 1, 0.70: ok")
    assert page.locator(".side .mode").first.evaluate("one => one.selectedOptions[0].textContent") == (
        "cfg 7, steps 30"
    )
    assert page.locator("#axes td.current").count() == 1
    assert page.locator("#axes td.best").count() <= 1
    assert seen.errors == []


def test_on_a_phone_the_comparer_is_before_the_plots_and_told_for_fingers(address, visit):
    page = visit(address, width=375, height=800, has_touch=True, is_mobile=True).page
    places = [
        page.locator(one).bounding_box()["y"] for one in ("#compare", "#axes", "#along", "#every-image")
    ]
    assert places == sorted(places)
    assert page.locator(".touch").is_visible()
    assert not page.locator("#keys").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.locator(".contents a", has_text="All trials").click()
    assert page.locator("#trials").bounding_box()["y"] < 400


def test_a_command_is_copied_by_its_button(address, visit):
    page = visit(address).page
    page.locator(".command .copy").first.click()
    assert page.locator(".command .copy").first.inner_text() == "Copied"
    command = page.locator(".command code").first.inner_text()
    assert page.evaluate("String(getSelection())").strip() == command.strip()


def test_without_scripts_there_are_the_images_and_the_tables(address, visit):
    page = visit(address, java_script_enabled=False).page
    assert page.locator("#grid td img").count() == 2 * (2 + 12)
    assert page.locator("#trials").is_visible()
    assert not page.locator(".drawn").first.is_visible()
    assert page.locator(".plot:visible").count() == 0


def test_a_page_of_a_run_that_goes_on_loads_itself_until_it_is_used(tmp_path, visit):
    address = page_of(make_results(tmp_path, ratios=RATIOS, prompts=("a",), seeds=(1,), done=2))
    for touched in (False, True):
        page = visit(address, still=True).page
        loads = []
        page.on("framenavigated", lambda frame, loads=loads: loads.append(frame.url))
        if touched:
            page.mouse.click(5, 5)
        page.clock.run_for(59_000)
        page.wait_for_timeout(300)
        assert loads == []
        if touched:
            page.clock.run_for(2_000)
            page.wait_for_timeout(1_500)
            assert loads == []
        else:
            with page.expect_navigation():
                page.clock.run_for(2_000)
            assert loads == [address]
