"""Pairs that teach a taste: which are asked, what is kept of the answers, and a session by keyboard."""

import json
import queue
import shutil
import threading
import webbrowser

import numpy as np
import pytest

from gridsearch.app.cli.app import app
from gridsearch.app.web.judge.learning import TellingPairs, pupil_of
from gridsearch.app.web.judge.routes import Session
from gridsearch.app.web.judge.sessions import session_of
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.tables import TasteTable
from gridsearch.results import store
from gridsearch.results.store.judgements import judgements_of
from gridsearch.results.store.pairs import kept_pairs


@pytest.fixture
def file(tmp_path):
    return tmp_path / "pairs.jsonl"


@pytest.fixture
def folder(tied_run, tmp_path, file):
    """A run that asks for a taste."""
    folder = shutil.copytree(tied_run, tmp_path / "run")
    stored = store.read_study(folder)
    scoring = Experiment.model_validate(stored.facts.experiment).score
    asked = scoring.model_copy(update={"taste": TasteTable(file=file)})
    stored.facts.experiment["score"] = asked.model_dump(mode="json")
    store.write_study(folder, stored.facts, stored.trials)
    return folder


def session(folder, wanted=20, **others):
    given = {"trials": (), "leaders": False, "teaches": True, "file": None} | others
    return session_of(folder, wanted, **given)


def test_any_two_sound_images_of_a_case_are_asked_each_pair_once(folder, file):
    stored = store.read_study(folder)
    telling = TellingPairs(folder, stored, pupil_of(stored, file), 1)
    shown = []
    while (pair := telling(shown)) is not None:
        shown.append(pair)
    sound = {(t.number, r["prompt_id"], r["seed"]) for t in stored.trials for r in store.images_of(t)
             if r["verdict"] == "ok"}  # fmt: skip
    for pair in shown:
        assert {(one, pair.prompt_id, pair.seed) for one in (pair.first, pair.second)} <= sound
    assert len({frozenset((pair.left, pair.right)) for pair in shown}) == len(shown) == 3 * 5 * 2
    assert len({pair.first < pair.second for pair in shown}) == 2  # the sides are random


def test_answers_of_such_a_session_are_kept_for_the_taste_alone(folder, file):
    made, notes = session(folder, 4)
    assert made.learns
    assert str(file) in notes[0]
    assert made.state()["total"] == 4
    for place, choice in enumerate(("first", "second", "equal")):
        assert made.answer(place, choice)
    assert not made.answer(1, "first")
    assert made.undo(3)
    assert [pair.answer for pair in kept_pairs(file).pairs] == ["first", "second"]
    assert made.answer(2, "first")
    assert made.answer(3, "first")
    assert made.state() == {"done": 4, "total": 4, "pairs": []}
    assert len(kept_pairs(file).pairs) == 4
    assert judgements_of(store.read_study(folder).judgements) == ()
    assert made.result()["headline"] == "Your taste is not known yet"
    # and the next session asks something else
    answered = [{pair.left, pair.right} for pair in made.pairs]
    assert all({pair.left, pair.right} not in answered for pair in session(folder, 99)[0].pairs)


def test_leaders_that_are_judged_teach_the_taste_too_unless_it_is_declined(folder, file):
    made, notes = session(folder, 3, leaders=True)
    assert not made.learns
    assert "--no-taste keeps them out" in notes[-1]
    made.answer(0, "second")
    assert len(judgements_of(store.read_study(folder).judgements)) == 1
    (kept,) = kept_pairs(file).pairs
    pair = made.pairs[0]
    rows = {t.number: r for t in store.read_study(folder).trials for r in store.images_of(t)
            if (r["prompt_id"], r["seed"]) == (pair.prompt_id, pair.seed)}  # fmt: skip
    assert [one.metrics["contrast"] for one in kept.pictures] == [
        rows[trial]["contrast"] for trial in (pair.first, pair.second)
    ]
    made.undo(1)
    assert kept_pairs(file).pairs == ()
    made, _ = session(folder, 3, leaders=True, teaches=False)
    made.answer(0, "first")
    assert kept_pairs(file).pairs == ()


def test_fewer_pairs_than_asked_for_end_the_session(folder, file):
    stored = store.read_study(folder)
    telling = TellingPairs(folder, stored, pupil_of(stored, file), 1)
    few = iter([telling([]), None])
    made = Session(folder, (), 5, pupil_of(stored, file), lambda _: next(few), total=9)
    assert made.state()["total"] == 1


@pytest.mark.night
def test_a_taste_is_taught_by_keyboard_and_has_its_say(folder, file, visit, monkeypatch, capsys):
    """Thirty pairs, of which the person always prefers the one with less contrast."""
    opened = queue.Queue()
    monkeypatch.setattr(webbrowser, "open", opened.put)
    arguments = ["judge", str(folder), "--pairs", "30"]
    judging = threading.Thread(target=app, args=(arguments,), kwargs={"standalone_mode": False})
    judging.start()
    page = visit(opened.get(timeout=300)).page
    for place in range(1, 31):
        page.wait_for_selector(f"body[aria-busy=false] #progress:text-is('{place} of 30')")
        page.wait_for_selector("#judging:visible")
        spread = [
            np.std(page.evaluate(
                "side => { const image = document.querySelector(`#${side} img`),"
                " canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight),"
                " context = canvas.getContext('2d'); context.drawImage(image, 0, 0);"
                " return [...context.getImageData(0, 0, canvas.width, canvas.height).data] }", side))
            for side in ("left", "right")
        ]  # fmt: skip
        page.keyboard.press("ArrowLeft" if spread[0] < spread[1] else "ArrowRight")
    page.wait_for_selector("body[aria-busy=false] #last:visible")
    page.keyboard.press("Enter")
    page.wait_for_selector("#result:visible")
    assert page.locator("#headline").inner_text() == "Your taste has a say"
    judging.join()
    assert json.loads((folder / "best.json").read_text("utf-8"))["parameters"] == {"ratio": 0.25}
    assert "learned from 30 pairs" in " ".join(capsys.readouterr().out.split())
    assert "Your taste" in (folder / "report.html").read_text("utf-8")
