"""Two trials that drew the same are spoken of at once."""

import optuna
import pytest

from gridsearch.errors import RunFailed
from gridsearch.outcome import Outcome
from gridsearch.search.alarms import alarming
from gridsearch.search.loop import Told


def images(*digests, verdict="ok"):
    return [
        {"prompt_id": f"p{i}", "seed": 1, "verdict": verdict, "digest": digest}
        for i, digest in enumerate(digests)
    ]


@pytest.fixture
def notes():
    return []


def told(number, ratio, rows):
    return Told(number, {"ratio": ratio}, Outcome(rows, {}, 2))


def test_the_same_pictures_at_another_ratio_are_an_alarm_and_a_copy_is_none(notes):
    heard = []
    hear = alarming(optuna.create_study(), heard.append, notes.append)
    hear(told(0, 0.1, images("aa", "bb")))
    hear(told(1, 0.2, images("aa", "cc")))  # one picture alone may be alike
    hear(told(2, 0.1, images("aa", "bb")))
    assert notes == []
    hear(told(3, 0.3, images("aa", "cc")))
    assert len(notes) == 1
    assert notes[0].startswith("Trial 3 drew the same images as trial 1")
    assert len(heard) == 4


def test_broken_images_and_failed_trials_say_nothing(notes):
    hear = alarming(optuna.create_study(), lambda _: None, notes.append)
    hear(told(0, 0.1, images("aa", verdict="nan")))
    hear(told(1, 0.2, images("aa", verdict="nan")))
    hear(Told(2, {"ratio": 0.3}, RunFailed("no luck")))
    hear(told(3, 0.4, images(None)))
    hear(told(4, 0.5, images(None)))
    assert notes == []
