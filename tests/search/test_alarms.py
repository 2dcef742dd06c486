"""Two trials that drew the same are spoken of at once."""

import optuna
import pytest

from gridsearch.base.errors import RunFailed
from gridsearch.search.checks import alarming
from gridsearch.search.loop import Told
from gridsearch.search.trial.outcome import Outcome

STEP = {"name": "merged", "models": ["a", ["b", "c"]], "ratio": {"low": 0.0, "high": 1.0}}
SETTINGS = {"merge": [STEP]}


def images(*digests, verdict="ok"):
    return [
        {"prompt_id": f"p{i}", "seed": 1, "verdict": verdict, "digest": digest}
        for i, digest in enumerate(digests)
    ]


@pytest.fixture
def notes():
    return []


def told(number, ratio, rows):
    return Told(number, {"ratio": ratio, "merged.model_b": "b"}, Outcome(rows, {}, 2))


def test_the_same_pictures_at_another_ratio_are_an_alarm_and_a_copy_is_none(notes):
    heard = []
    hear = alarming(optuna.create_study(), SETTINGS, heard.append, notes.append)
    hear(told(0, 0.1, images("aa", "bb")))
    hear(told(1, 0.2, images("aa", "cc")))  # one picture alone may be alike
    hear(told(2, 0.1, images("aa", "bb")))
    assert notes == []
    hear(told(3, 0.3, images("aa", "cc")))
    assert len(notes) == 1
    assert notes[0].startswith("Trial 3 drew the same images as trial 1")
    assert len(heard) == 4


def test_where_a_value_has_no_effect_the_same_pictures_are_right(notes):
    """At ratio 0 it does not matter which model the second one is; elsewhere it does."""
    settings = {"merge": [STEP | {"method": "weighted_sum"}]}
    hear = alarming(optuna.create_study(), settings, lambda _: None, notes.append)
    for number, (ratio, model) in enumerate([(0.0, "b"), (0.0, "c"), (0.5, "b"), (0.5, "c")]):
        rows = images(f"{ratio}", f"{ratio}")
        hear(Told(number, {"ratio": ratio, "merged.model_b": model}, Outcome(rows, {}, 2)))
    assert len(notes) == 1
    assert notes[0].startswith("Trial 3 drew the same images as trial 2")


def test_broken_images_and_failed_trials_say_nothing(notes):
    hear = alarming(optuna.create_study(), SETTINGS, lambda _: None, notes.append)
    hear(told(0, 0.1, images("aa", verdict="nan")))
    hear(told(1, 0.2, images("aa", verdict="nan")))
    hear(Told(2, {"ratio": 0.3}, RunFailed("no luck")))
    hear(told(3, 0.4, images(None)))
    hear(told(4, 0.5, images(None)))
    assert notes == []
