"""The model of the loss: its two parts, the loss that they make, and what it sees that a mean loss hides."""

import numpy as np
import pytest

from gridsearch.score.score import image_losses
from gridsearch.search.samplers.loss_model import FAILED_LOSS, fit_losses, parts_of
from gridsearch.search.samplers.surrogate import fit_surrogate


def test_a_loss_falls_into_the_share_that_fails_and_how_far_off_the_others_are():
    """Of ten images, four sound ones have a defect of 0.5 and the others one of 7.5, the middle of theirs."""
    verdicts, defects = np.repeat(["ok", "burnt"], [4, 6]), np.repeat([0.5, 7.5], [4, 6])
    losses = np.array([image_losses(verdicts, defects).mean(), FAILED_LOSS, 0.2, 0.9])
    share, off = parts_of(losses, np.array([0.4, 0.0, 1.0, 1.0]))
    assert share == pytest.approx(
        [0.6, 1.0, 0.0, 0.1 / (FAILED_LOSS - 0.8)]
    )  # no sound image has a loss above 0.8
    assert off == pytest.approx([0.5, np.nan, 0.25, 4.0], nan_ok=True)


def trials_of(rng, count, width=8):
    """Places with doses, losses, and shares that survive: the dose breaks images, two numbers flaw them."""
    places = rng.random((count, width))
    doses = places.mean(1)
    survived = np.clip(1.6 - 9 * np.abs(doses - 0.5), 0, 1)
    off = 1.2 * (places[:, 0] - 0.3) ** 2 + 0.8 * (places[:, 1] - 0.8) ** 2
    return np.c_[places, doses], survived * off / (1 + off) + (1 - survived) * FAILED_LOSS, survived


def test_it_sees_the_flaws_of_sound_images_that_the_mean_loss_hides():
    rng = np.random.default_rng(0)
    places, losses, survived = trials_of(rng, 40)
    new, true, alive = trials_of(rng, 200)
    model = fit_losses(places, losses, survived)
    alone = fit_surrogate(places, losses)
    whole = alive == 1
    found, plain = (one.predict(new[:, :-1], new[:, -1])[0][whole] for one in (model, alone))
    assert np.sqrt(((found - true[whole]) ** 2).mean()) < 0.03
    assert np.abs(found - true[whole]).mean() < 0.5 * np.abs(plain - true[whole]).mean()


def test_its_error_is_that_of_draws_of_its_parts():
    rng = np.random.default_rng(1)
    model = fit_losses(*trials_of(rng, 12))
    new = trials_of(rng, 4)[0]
    (share, share_error), (off, off_error) = (
        one.predict(new[:, :-1], new[:, -1]) for one in (model.failing, model.off)
    )
    mean, error = model.predict(new[:, :-1], new[:, -1])
    small = 0.02  # to first order: so far that the parts hardly bend
    drawn, also = rng.standard_normal((2, 200_000, 1)) * small
    share, off = np.clip(share, 0, 1) + drawn * share_error, np.maximum(off, 0) + also * off_error
    losses = FAILED_LOSS * share + (1 - share) * off / (1 + off)
    assert mean == pytest.approx(losses.mean(0), rel=1e-3, abs=1e-3)
    assert error == pytest.approx(losses.std(0) / small, rel=0.02)


def test_without_sound_images_it_knows_the_share_alone_and_what_is_under_way_is_no_news():
    places, losses, survived = trials_of(np.random.default_rng(2), 20)
    dead = fit_losses(places, np.full(20, FAILED_LOSS), np.zeros(20))
    assert dead.off is None
    assert dead.predict(places[:, :-1], places[:, -1])[0] == pytest.approx(np.full(20, FAILED_LOSS))
    new = trials_of(np.random.default_rng(3), 1)[0]
    before, after = (
        fit_losses(places, losses, survived).with_expected(pending).predict(new[:, :-1], new[:, -1])
        for pending in (np.empty((0, 9)), new)
    )
    assert after[0] == pytest.approx(before[0], abs=0.05)
    assert after[1] < 0.5 * before[1]
