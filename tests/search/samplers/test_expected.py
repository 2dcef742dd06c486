"""How many trials are foretold, against searches whose prompts differ and whose losses scatter."""

from itertools import pairwise

import numpy as np
import pytest

from gridsearch.search.samplers.axis import make_axis
from gridsearch.search.samplers.window import Seen, next_ratio, next_ratios
from gridsearch.search.samplers.window_trials import window_trials

STUDIES = 12


def trials_of(axis, seed, width, cases=16):
    """The trials of a search where each case has its own window, and each image its own error."""
    rng = np.random.default_rng([seed, round(1000 * width)])
    low = rng.uniform(0.02, 0.98 - width) + width * rng.normal(0, 0.19, cases)
    high = np.maximum(low + width * (1 + rng.normal(0, 0.19, cases)), low + width / 10)
    seen = []
    while (ratio := next_ratio(seen, axis)) is not None:
        assert ratio == next_ratios(seen, axis)[0]
        at = (ratio - low) / (high - low)
        sound = (at >= 0) & (at <= 1)
        losses = np.where(sound, (2 * np.abs(at - 0.4)) ** 2 / 2, 1.9) + rng.normal(0, 0.05, cases)
        dial = np.median(np.clip(6 * (at - 0.2), -5, 5) + rng.normal(0, 0.4, cases))
        seen.append(Seen(ratio, sound.mean(), dial, losses.mean()))
    return len(seen)


@pytest.mark.parametrize("step", [0.05, 0.01, 0.002])
def test_noisy_searches_take_as_many_as_were_foretold(step):
    axis = make_axis(0.0, 1.0, step)
    fewest, most = window_trials(axis, 1)
    taken = [trials_of(axis, seed, width) for seed in range(STUDIES) for width in (0.02, 0.1, 0.3)]
    assert np.mean([fewest <= one <= most for one in taken]) >= 0.9
    assert max(taken) > 0.7 * most  # nor are they many more than it takes


def test_a_finer_step_takes_a_few_more_and_no_more_time_to_foretell():
    steps = [0.01 / 2**i for i in range(8)]
    most = [window_trials(make_axis(0.0, 1.0, step), 1)[1] for step in steps]
    assert all(0 <= b - a <= 6 for a, b in pairwise(most))


def test_no_curve_has_more_trials_than_values():
    assert window_trials(make_axis(0.0, 1.0, 0.25), 3) == (15, 15)
