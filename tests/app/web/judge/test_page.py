"""`gridsearch judge` as a person uses it: in a browser, with the keyboard."""

import json
import queue
import re
import shutil
import threading
import webbrowser

import pytest
from playwright.sync_api import Error

from gridsearch.app.cli.app import app
from gridsearch.app.web.judge.pairs import choose_pairs
from gridsearch.results import store
from gridsearch.results.results import load_results
from gridsearch.results.store.judgements import judgements_of
from tests.helpers.judging import served
from tests.helpers.tied import PROMPTS


@pytest.fixture
def folder(tied_run, tmp_path):
    return shutil.copytree(tied_run, tmp_path / "run")


def at(page, place, of):
    page.wait_for_selector(f"body[aria-busy=false] #progress:text-is('{place} of {of}')")
    page.wait_for_selector("#judging:visible")


def kept(folder):
    return judgements_of(store.read_study(folder).judgements)


@pytest.mark.night
def test_twenty_pairs_by_keyboard_decide_the_answer(folder, visit, monkeypatch, capsys):
    opened = queue.Queue()
    monkeypatch.setattr(webbrowser, "open", opened.put)
    judging = threading.Thread(target=app, args=(["judge", str(folder)],), kwargs={"standalone_mode": False})
    judging.start()
    address = opened.get(timeout=300)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
    seen = visit(address)
    page = seen.page
    keys = {"first": ("ArrowLeft", "j"), "second": ("ArrowRight", "L"), "equal": ("ArrowDown", " ")}
    at(page, 1, of=20)
    page.keyboard.press("Backspace")  # there is nothing to take back
    prompts = set()
    for place in range(1, 21):
        at(page, place, of=20)
        prompts.add(page.locator("#prompt").text_content())
        if place == 3:
            page.keyboard.press("ArrowLeft")
            at(page, 4, of=20)
            page.keyboard.press("Backspace")
            at(page, 3, of=20)
            assert len(kept(folder)) == 2
        if place == 5:
            refuse_others(visit, address, folder)
        choice = "equal" if place == 1 else stronger(page)
        page.keyboard.press(keys[choice][place % 2])
    page.wait_for_selector("body[aria-busy=false] #last:visible")
    assert len(kept(folder)) == 20
    page.keyboard.press("Enter")
    page.wait_for_selector("#result:visible")
    assert page.locator("#headline").inner_text() == "You prefer ratio 0.75 to ratio 0.50"
    assert page.locator("#trials tr").count() == 3
    assert page.locator("#report").inner_text() == str(folder / "report.html")
    assert opened.get(timeout=300) == (folder / "report.html").as_uri()
    judging.join()

    assert seen.errors == []
    assert all(url.startswith((address, "data:")) for url in seen.requests)
    assert prompts == set(PROMPTS)
    best = json.loads((folder / "best.json").read_text("utf-8"))
    assert best["human"]["pairs"] == 20
    assert (best["trial"], best["human"]["winner"], best["human"]["instead_of"]) == (4, 4, 0)
    assert "Take ratio 0.75" in " ".join(capsys.readouterr().out.split())
    assert "What you preferred" in (folder / "report.html").read_text("utf-8")


def stronger(page) -> str:
    """The side whose picture is farther from grey: trial 4's, where it is there."""
    distances = """() => ["left", "right"].map((side) => {
        const image = document.querySelector(`#${side} img`);
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const values = context.getImageData(0, 0, canvas.width, canvas.height).data;
        return values.reduce((sum, value) => sum + Math.abs(value - 128), 0);
    })"""
    left, right = page.evaluate(distances)
    return "first" if left > right else "second"


def refuse_others(visit, address, folder) -> None:
    """A page of another origin that somehow learned the address can neither read nor answer."""
    before = kept(folder)
    other = visit("data:text/html,<p>another site").page
    sent = "{method: 'POST', headers: {'Content-Type': 'application/json', 'X-Token': 'x'}, body: '{}'}"
    for script in ("(url) => fetch(url + 'state')", f"(url) => fetch(url + 'answer', {sent})"):
        with pytest.raises(Error, match="Failed to fetch"):
            other.evaluate(script, address)
    other.goto(re.sub(r"/[\w-]{32}/", "/" + "x" * 32 + "/", address))
    refused = "Refused: wrong token. Open the address shown in the terminal."
    assert other.locator("body").inner_text() == refused
    assert kept(folder) == before


def test_with_the_mouse_on_a_narrow_screen(folder, visit):
    with served(folder, choose_pairs(load_results(folder), (0, 3), 5, seed=1)) as server:
        page = visit(server.address, width=375, height=700, still=True).page
        at(page, 1, of=5)
        left, right = (page.locator(f"#{side}").bounding_box() for side in ("left", "right"))
        assert right["y"] >= left["y"] + left["height"]
        assert page.evaluate("document.documentElement.scrollWidth") == 375
        page.locator("#left").click()
        at(page, 2, of=5)
        page.locator("#equal").click()
        at(page, 3, of=5)
        # held, both pictures are larger; that is no answer
        page.mouse.move(left["x"] + 100, left["y"] + 50)
        page.mouse.down()
        page.clock.run_for(300)
        page.wait_for_selector("#pictures.near")
        page.mouse.up()
        assert page.locator("#pictures.near").count() == 0
        assert page.locator("#progress").inner_text() == "3 of 5"
        page.locator("#undo").click()
        at(page, 2, of=5)
        page.locator("#second").click()
        at(page, 3, of=5)
        page.keyboard.press(" ")  # and does not press the button again
        at(page, 4, of=5)
        assert [made.answer for made in kept(folder)] == ["first", "second", "equal"]
    page.locator("#equal").click()
    page.wait_for_selector("#trouble:visible")
    assert page.locator("#trouble").inner_text() == "The program has ended. Your answers are saved."
