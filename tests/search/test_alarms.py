"""Two trials that drew the same are spoken of at once."""

from gridsearch.base.errors import RunFailed
from gridsearch.search.checks import RenderedImages
from gridsearch.search.evaluate import Told
from gridsearch.search.trial.outcome import Outcome

STEP = {"name": "merged", "models": ["a", ["b", "c"]], "ratio": {"low": 0.0, "high": 1.0}}
SETTINGS = {"merge": [STEP]}


def images(*digests, verdict="ok"):
    return [
        {"prompt_id": f"p{i}", "seed": 1, "verdict": verdict, "digest": digest}
        for i, digest in enumerate(digests)
    ]


def told(number, ratio, rows):
    return Told(number, {"ratio": ratio, "merged.model_b": "b"}, Outcome(rows, {}, 2))


def test_the_same_pictures_at_another_ratio_are_noted_and_a_copy_is_not():
    seen = RenderedImages(SETTINGS, {}, {})
    assert seen.add(told(0, 0.1, images("aa", "bb"))) is None
    assert seen.add(told(1, 0.2, images("aa", "cc"))) is None  # one picture alone may be alike
    assert seen.add(told(2, 0.1, images("aa", "bb"))) is None
    note = seen.add(told(3, 0.3, images("aa", "cc")))
    assert note.startswith("Trial 3 rendered the same images as trial 1")


def test_where_a_value_has_no_effect_the_same_pictures_are_right():
    """At ratio 0 it does not matter which model the second one is; elsewhere it does."""
    settings = {"merge": [STEP | {"method": "weighted_sum"}]}
    seen, notes = RenderedImages(settings, {}, {}), []
    for number, (ratio, model) in enumerate([(0.0, "b"), (0.0, "c"), (0.5, "b"), (0.5, "c")]):
        rows = images(f"{ratio}", f"{ratio}")
        notes.append(seen.add(Told(number, {"ratio": ratio, "merged.model_b": model}, Outcome(rows, {}, 2))))
    assert notes[:3] == [None] * 3
    assert notes[3].startswith("Trial 3 rendered the same images as trial 2")


def test_broken_images_and_failed_trials_say_nothing():
    seen = RenderedImages(SETTINGS, {}, {})
    trials = [
        told(0, 0.1, images("aa", verdict="nan")),
        told(1, 0.2, images("aa", verdict="nan")),
        Told(2, {"ratio": 0.3}, RunFailed("no luck")),
        told(3, 0.4, images(None)),
        told(4, 0.5, images(None)),
    ]
    assert [seen.add(trial) for trial in trials] == [None] * 5
