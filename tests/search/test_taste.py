"""A taste in a run: its images are scored by it, below the verdict, and again without it."""

import json
import shutil
from itertools import combinations

import numpy as np
import pytest

from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.tables import TasteTable
from gridsearch.report.page.facts import all_facts as facts_on_page
from gridsearch.results import store
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.results import load_results
from gridsearch.results.store.pairs import KeptPair, keep_pair
from gridsearch.score.score import DEFECT_CAP, FAILED, OK_CAP
from gridsearch.search.budget import Budget
from gridsearch.search.rescore import rescore
from gridsearch.search.run import run_experiment
from gridsearch.search.taste import kept_picture, renew_taste
from tests.helpers import small_run
from tests.helpers.small_run import FILE, Quiet
from tests.helpers.tied import PROMPTS

WEIGHT = 3.0


@pytest.fixture(scope="module")
def asking(tied_run, tmp_path_factory):
    """A run that asks for a taste of which nothing is known."""
    place = tmp_path_factory.mktemp("asking")
    folder = shutil.copytree(tied_run, place / "run")
    scoring = Experiment.model_validate(store.read_study(folder).facts.experiment).score
    asked = {"taste": TasteTable(file=place / "pairs.jsonl", weight=WEIGHT), "references": ("base",)}
    notes = rescore(folder, lambda _: lambda: None, scoring.model_copy(update=asked))
    assert "Your taste is not known: you have judged no pairs, so it has no say." in notes
    return folder


@pytest.fixture
def run(asking):
    """The run, and the file of its pairs, empty."""
    file = asking.parent / "pairs.jsonl"
    file.unlink(missing_ok=True)
    return asking, file


def judge(folder, file, prefers):
    """Judge every pair of sound pictures of a case by what a function says of their rows."""
    stored = store.read_study(folder)
    cases: dict = {}
    for trial in stored.trials:
        for row in store.images_of(trial):
            if row["verdict"] == "ok":
                cases.setdefault((row["prompt_id"], row["seed"]), []).append(row)
    pairs = [two for rows in cases.values() for two in combinations(rows, 2)]
    for i, (a, b) in enumerate(pairs):
        pictures = kept_picture(a, stored.facts), kept_picture(b, stored.facts)
        keep_pair(
            file, KeptPair(str(i), "2026-11-29", "first" if prefers(a) > prefers(b) else "second", pictures)
        )
    return len(pairs)


def test_a_taste_orders_what_is_sound_and_lifts_nothing_broken(run):
    folder, file = run
    before = load_results(folder).images
    assert before["taste"].isna().all()
    count = judge(folder, file, lambda row: -row["contrast"])
    (note,) = renew_taste(folder)
    assert note == f"Your taste, learned from {count} pairs, guessed {count} of {count} held-out pairs."
    results = load_results(folder)
    after = results.images
    assert after["verdict"].tolist() == before["verdict"].tolist()
    assert after["defect_without_taste"].tolist() == before["defect"].tolist()
    sound = after["verdict"] == "ok"
    assert (after["defect"] >= before["defect"]).all()
    assert after.loc[sound, "defect"].max() < OK_CAP
    assert after.loc[~sound, "defect"].between(FAILED, DEFECT_CAP).all()
    for _, rows in after[sound].groupby(["prompt_id", "seed"]):
        assert rows.sort_values("contrast")["taste"].is_monotonic_decreasing
    defects = after[sound]
    others = OK_CAP * defects["defect_without_taste"] / (OK_CAP - defects["defect_without_taste"])
    distance = np.hypot(others, WEIGHT * np.log1p(np.exp(-defects["taste"])))
    assert defects["defect"].tolist() == pytest.approx((OK_CAP * distance / (OK_CAP + distance)).tolist())
    said = {label: (value, about) for label, value, about in facts_on_page(results, analyse(results))}
    assert said["Your taste"][0] == f"{count} of {count}"
    assert said["Your taste"][1].startswith("held-out pairs guessed; ")
    # and it is forgotten without a trace
    file.write_text("")
    renew_taste(folder)
    assert load_results(folder).images["defect"].tolist() == before["defect"].tolist()


def test_the_file_has_no_prompt_path_or_model(run):
    folder, file = run
    judge(folder, file, lambda row: row["contrast"])
    text = file.read_text()
    assert not any(prompt in text for prompt in PROMPTS)
    assert not any(word in text for word in (str(folder.parent), "images", ".png", "base", '"ratio"', "p1"))
    first = json.loads(text.splitlines()[0])
    assert set(first) == {"id", "day", "answer", "pictures"}
    assert set(first["pictures"][0]) == {"name", "metrics", "features", "backbone"}


def test_pairs_that_show_no_taste_have_no_say_and_that_is_said(run):
    folder, file = run
    before = load_results(folder).images["defect"].tolist()
    coin = iter(np.random.default_rng(0).random(1000))
    judge(folder, file, lambda _: next(coin))
    (note,) = renew_taste(folder)
    assert "is not known yet" in note
    results = load_results(folder)
    assert results.images["defect"].tolist() == before
    assert ("Your taste", "not known yet", note) in facts_on_page(results, analyse(results))


@pytest.mark.night
def test_a_run_is_scored_by_what_is_known_when_it_begins_and_again_when_it_ends(toy, run, tmp_path):
    """Its images are scored while drawn as they are afterwards; what is judged meanwhile counts."""
    folder, file = run
    judge(folder, file, lambda row: -row["contrast"])
    asked = {"references": ["base"], "taste": {"file": str(file)}}
    lines = file.read_text().splitlines(keepends=True)

    class Judging(Quiet):
        def trial(self, told):
            if told.number == 0:
                assert load_results(tmp_path / "x").images["taste"].notna().all()
                file.write_text("".join(lines[:-1]))

    merge = [{"models": ["base", "burnt"], "ratio": {"low": 0.3, "high": 0.6, "step": 0.3}}]
    what = small_run.experiment(toy, merge=merge, score=asked)
    run_experiment(what, FILE, tmp_path / "x", Budget(), Judging())
    after = load_results(tmp_path / "x")
    assert after.facts.taste["pairs"] == len(lines) - 1
    images = after.images.copy()
    rescore(tmp_path / "x", lambda _: lambda: None)  # measured anew
    again = load_results(tmp_path / "x").images
    for name in ("defect", "taste", "defect_without_taste"):
        assert again[name].tolist() == pytest.approx(images[name].tolist(), nan_ok=True)
