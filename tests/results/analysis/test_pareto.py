"""The front of blur and noise on points placed by hand."""

import pandas as pd
import pytest

from gridsearch.results.analysis.ranking import front

POINTS = {  # trial -> survived, blur, noise
    0: (1.0, 1.0, 3.0),
    1: (0.9, 1.2, 1.2),  # far below the line from 0 to 2: the knee
    2: (1.0, 3.0, 1.0),
    3: (1.0, 1.5, 1.5),  # beaten by 1
    4: (0.2, 0.1, 0.1),  # does not survive
    5: (1.0, 1.2, 1.3),  # as blurred as 1, and noisier
}


def tables(points: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    trials = pd.DataFrame([{"trial": t, "survived": s} for t, (s, _, _) in points.items()])
    images = [
        {"trial": t, "prompt_id": f"p{p}", "seed": 1, "blur": blur + shift, "noise": noise + shift}
        for t, (_, blur, noise) in points.items()
        for p, shift in enumerate((0.0, 1.0))
    ]
    return trials, pd.DataFrame(images).assign(verdict="ok")


def references(blur=(0.0, 1.0), noise=(0.0, 1.0)) -> pd.DataFrame:
    cases = zip(("p0", "p1"), blur, noise, strict=True)
    rows = [{"prompt_id": p, "seed": 1, "blur": b, "noise": n, "verdict": "ok"} for p, b, n in cases]
    return pd.DataFrame(rows, columns=["prompt_id", "seed", "blur", "noise", "verdict"])


def test_who_is_on_the_front_and_where_its_knee_is():
    found = front(*tables(POINTS), references(), 0.5)
    assert [(point.trial, point.knee) for point in found] == [(0, False), (1, True), (2, False)]
    assert (found[1].blur, found[1].noise, found[1].survived) == pytest.approx((1.2, 1.2, 0.9))


def test_sharper_than_a_sound_reference_is_no_gain():
    # with references 2 blurred, 0, 1 and 5 have no excess of blur, and 1 is the cleanest of them
    found = front(*tables(POINTS), references(blur=(2.0, 3.0)), 0.5)
    assert [(point.trial, point.blur) for point in found] == [(1, 0.0), (2, pytest.approx(1.0))]


def test_without_references_blur_itself_counts_and_without_survivors_nothing_does():
    trials, images = tables(POINTS)
    assert [point.trial for point in front(trials, images, references().iloc[:0], 0.5)] == [0, 1, 2]
    assert front(trials.assign(survived=0.1), images, references(), 0.5) == ()


def test_blank_images_do_not_clean_their_trial():
    trials, images = tables({0: (1.0, 2.0, 1.2), 1: (0.5, 2.0, 1.4)})
    images = images.assign(blur=[2.0, 2.0, 2.0, float("nan")], noise=[1.2, 1.2, 1.4, 0.0])
    images.loc[3, "verdict"] = "blank"
    assert [(p.trial, p.noise) for p in front(trials, images, references().iloc[:0], 0.5)] == [(0, 1.2)]


def test_where_no_sound_image_has_edges_there_is_no_front():
    trials, images = tables({0: (1.0, 2.0, 1.2)})
    assert front(trials, images.assign(blur=float("nan")), references(), 0.5) == ()
    assert front(trials, images.assign(verdict="blank"), references(), 0.5) == ()
