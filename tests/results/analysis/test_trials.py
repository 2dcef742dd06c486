"""Which trials count for what: stopped ones, projections, recipes that mix nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.identical import drawn_with, made_of
from gridsearch.results.analysis.trials import (
    distinct_trials,
    importances,
    is_projection,
    whole,
    without_copies,
)
from gridsearch.score.score import image_losses
from tests.helpers.made_up import results_of, table, with_facts

NOWHERE = Path("nowhere")


def stop(results, *trials, keep: int):
    """The same with some trials stopped after `keep` images."""
    images = results.images
    stopped = images["trial"].isin(trials)
    images = images[~stopped | (images.groupby("trial").cumcount() < keep)]
    rows = results.trials.copy()
    rows["partial"] = rows["trial"].isin(trials)
    for trial in trials:
        own = images[images["trial"] == trial]
        known = {"survived": (own["verdict"] == "ok").mean(), "defect": own["defect"].mean()}
        known |= {"state": "PRUNED", "images": len(own)}
        rows.loc[rows["trial"] == trial, list(known)] = list(known.values())
    return replace(results, images=images, trials=rows)


VERDICTS = {0.2: "bbbb", 0.4: "ooob", 0.5: "ooob", 0.6: "ooub", 0.8: "uuuu"}


def test_a_stopped_trial_never_wins_or_ties_and_counts_for_window_and_curve():
    images = table(VERDICTS, prompts=("p1", "p2", "p3", "p4"))
    # what 0.6 has of its images is all sound, more than any whole trial has
    answer = analyse(stop(results_of(NOWHERE, images, ("ratio",)), 0, 3, 4, keep=2))
    assert answer.best.ratio in {0.4, 0.5}
    assert set(answer.tied) <= {1, 2}
    assert answer.best.estimated == (0.2, 0.6, 0.8)
    assert (answer.best.window.low.outside, answer.best.window.high.inside) == (0.2, 0.6)
    assert answer.best.window.high.outside == 0.8
    assert answer.best.interval is not None
    assert (answer.complete, answer.stopped) == (2, 3)


def test_a_curve_on_which_all_trials_were_stopped_is_named_and_not_answered():
    mode = "render.prediction_type"
    one, two = (table(VERDICTS, **{mode: name}) for name in ("epsilon", "v_prediction"))
    images = pd.concat([one, two.assign(trial=two["trial"] + 5)])
    results = stop(results_of(NOWHERE, images, ("ratio", mode)), *range(5, 10), keep=1)
    answer = analyse(results)
    assert [found.settings for found in answer.slices] == [{mode: "epsilon"}]
    assert answer.given_up == ({mode: "v_prediction"},)


def test_a_stopped_trial_is_left_out_where_a_whole_one_has_its_parameters():
    images = pd.concat([table({0.2: "bb", 0.5: "oo"}), table({0.5: "oo"}).assign(trial=2)])
    results = stop(results_of(NOWHERE, images, ("ratio",)), 0, 1, keep=1)
    assert list(whole(results)["trial"]) == [2]
    assert list(distinct_trials(results)["trial"]) == [0, 2]


def test_the_same_parameters_drawn_again_are_one_piece_of_evidence():
    once = table(VERDICTS | {0.5: "oooo"}, prompts=("p1", "p2", "p3"))
    again = once[once["ratio"] == 0.4]
    copies = [again.assign(trial=trial) for trial in (5, 6, 7)]
    alone = results_of(NOWHERE, once, ("ratio",))
    results = results_of(NOWHERE, pd.concat([once, *copies]), ("ratio",))
    assert list(distinct_trials(results)["trial"]) == [0, 1, 2, 3, 4]
    assert analyse(results).best.doubt == analyse(alone).best.doubt
    assert analyse(results).tied == analyse(alone).tied


def test_of_stopped_trials_with_the_same_parameters_the_longest_counts():
    images = pd.concat([table({0.2: "bb", 0.5: "oooo"}), table({0.5: "oooo"}).assign(trial=2)])
    results = stop(results_of(NOWHERE, images, ("ratio",)), 1, keep=2)
    assert list(distinct_trials(stop(results, 2, keep=3))["trial"]) == [0, 2]


def test_copied_pictures_are_a_point_of_each_curve_and_count_once_for_what_matters():
    mode = "merged.model_b"
    rows = [
        {"trial": 11 * j + i, "ratio": ratio, mode: other, "prompt_id": p, "prompt": "x", "seed": 1}
        | {"verdict": "ok", "defect": 8 * (ratio - 0.5) ** 2 + 0.3 * j * (i > 0)}
        | {"file": f"t{11 * j * (i > 0) + i}_{p}.png"}  # at ratio 0 the second model does not count
        for j, other in enumerate("bc")
        for i, ratio in enumerate(np.arange(0, 1.01, 0.1).round(2))
        for p in ("p1", "p2", "p3")
    ]
    results = results_of(NOWHERE, pd.DataFrame(rows), ("ratio", mode))
    settings = {"merge": [results.settings["merge"][0] | {"models": ["a", ["b", "c"]]}]}
    results = with_facts(results, experiment=settings)
    trials = distinct_trials(results)
    assert len(trials) == 22
    assert list(without_copies(trials, results.images)["trial"]) == [*range(11), *range(12, 22)]
    images = results.images.assign(loss=image_losses(results.images["verdict"], results.images["defect"]))
    loss = images.groupby("trial")["loss"].mean()
    own = results.trials[results.trials["trial"] != 11].join(loss, on="trial")
    answer = analyse(results, resamples=50)
    assert answer.importances == importances(own, ("ratio", mode))
    assert [found.doubt.chances[0].ratio for found in answer.slices] == [0.0, 0.0]


def test_nothing_but_stopped_trials_is_no_answer():
    results = stop(results_of(NOWHERE, table({0.2: "bb", 0.5: "oo"}), ("ratio",)), 0, 1, keep=1)
    assert analyse(results).best is None


def scattered(sampler: str, trials: int = 30):
    rng = np.random.default_rng(0)
    rows = [
        {"trial": trial, "ratio": ratio, "render.cfg": cfg, "prompt_id": prompt, "prompt": "x", "seed": 1}
        | {"verdict": "ok" if abs(ratio - 0.5) < 0.2 else "blank", "defect": 8 * abs(ratio - 0.5)}
        for trial, (ratio, cfg) in enumerate(rng.random((trials, 2)).round(3))
        for prompt in ("p1", "p2", "p3")
    ]
    results = results_of(NOWHERE, pd.DataFrame(rows), ("ratio", "render.cfg"))
    return with_facts(results, experiment=results.settings | {"search": {"sampler": sampler}})


def test_many_values_at_once_claim_neither_interval_nor_window():
    results = scattered("tpe")
    assert is_projection(results)
    answer = analyse(results)
    (best,) = answer.slices
    assert (best.interval, best.window) == (None, None)
    first = results.trials.sort_values(["survived", "defect"], ascending=[False, True]).iloc[0]
    assert answer.parameters == {name: first[name] for name in ("ratio", "render.cfg")}
    assert answer.sentence.startswith(f"Take ratio {first['ratio']}")
    shares = dict(answer.importances)
    assert shares["ratio"] > 0.5 > shares["render.cfg"]
    spans = results.trials[["ratio", "render.cfg"]].agg(np.ptp)
    square = ((results.trials[["ratio", "render.cfg"]] - first[["ratio", "render.cfg"]]) / spans) ** 2
    nearest = np.sqrt(square.astype(float).mean(axis=1)).drop(first.name).sort_values()
    assert [near.trial for near in answer.neighbours] == list(nearest.index[:5])
    assert answer.neighbours[0].distance == pytest.approx(nearest.iloc[0])


def test_a_grid_is_no_projection_however_few_trials_it_has():
    assert not is_projection(scattered("grid"))
    assert not is_projection(scattered("tpe", trials=4))


def test_the_report_follows_the_curve_that_the_search_bisected():
    settings = {
        "merge": [{"name": "merged", "models": ["a", "b"], "ratio": [0.4, 0.5, 0.6]}],
        "render": {"cfg": {"low": 1.0, "high": 10.0, "step": 0.5}},
    }
    results = with_facts(scattered("window"), experiment=settings | {"search": {"sampler": "window"}})
    answer = analyse(results)
    assert answer.main == "render.cfg"
    assert {tuple(found.settings) for found in answer.slices} == {("ratio",)}


CHAIN = {
    "merge": [
        {"name": "first", "method": "weighted_sum", "models": ["a", "b"], "ratio": {"low": 0.0, "high": 1.0}},
        {"name": "last", "method": "add_difference", "models": ["first", "c", "d"], "ratio": [0.0, 0.5]},
    ]
}


def test_a_chain_is_one_parent_where_every_step_passes_one_on():
    def parent(first, last):
        return made_of(CHAIN, {"first.ratio": first, "last.ratio": last})

    assert [parent(0, 0), parent(1.0, 0.0)] == ["a", "b"]
    assert not isinstance(parent(0, 0.5), str)
    assert not isinstance(parent(0.3, 0), str)


def test_what_a_later_step_leaves_out_makes_no_other_merge():
    settings = {"merge": [CHAIN["merge"][0], CHAIN["merge"][0] | {"name": "last", "models": ["first", "c"]}]}

    def made(first, last):
        return made_of(settings, {"first.ratio": first, "last.ratio": last})

    assert made(0.2, 1) == made(0.3, 1) == "c"
    assert made(0.2, 0) != made(0.3, 0)
    assert made(0.2, 0.5) != made(0.2, 0.6)


METHODS = ("add_difference", "train_difference", "ties", "dare_ties", "della", "model_stock")


@pytest.mark.parametrize("method", METHODS)
def test_a_ratio_of_0_leaves_the_first_model_as_it_is(method):
    step = {
        "name": "merged",
        "method": method,
        "models": ["a", "b", "c"],
        "ratio": [0.0, 0.5],
        "k": [0.1, 0.2],
    }

    def made(ratio, k):
        return made_of({"merge": [step]}, {"ratio": ratio, "merged.k": k})

    assert made(0.0, 0.1) == made(0.0, 0.2) == "a"
    assert made(0.5, 0.1) != made(0.5, 0.2)
    assert not isinstance(made_of({"merge": [step]}, {"ratio": 1.0, "merged.k": 0.1}), str)


def test_a_model_mixed_with_itself_is_itself_at_every_ratio():
    ratio = {"low": 0.0, "high": 1.0, "step": 0.1}
    settings = {"merge": [{"name": "merged", "models": [["a", "b"], "b"], "ratio": ratio}]}
    made = [made_of(settings, {"merged.model_a": first, "ratio": r}) for r in (0.3, 0.4) for first in "ba"]
    assert made[0] == made[2] == "b"
    assert made[1] != made[3]
    # as the merge has it: the weights of its terms add up to exactly 1
    assert all((1 - r) + r == 1.0 for r in np.random.default_rng(0).random(10_000))


@pytest.mark.parametrize(
    ("render", "one", "other", "alike"),
    [
        ({"cfg": [0.5, 1.0, 4.0]}, {"cfg": 0.5}, {"cfg": 1.0}, True),
        ({"cfg": [0.5, 1.0, 4.0]}, {"cfg": 1.0}, {"cfg": 4.0}, False),
        ({"cfg": 1.0, "cfg_rescale": [0.0, 0.7]}, {"cfg_rescale": 0.0}, {"cfg_rescale": 0.7}, True),
        ({"cfg": 4.0, "cfg_rescale": [0.0, 0.7]}, {"cfg_rescale": 0.0}, {"cfg_rescale": 0.7}, False),
        ({"cfg": 1.0, "pag_scale": [0.0, 3.0]}, {"pag_scale": 0.0}, {"pag_scale": 3.0}, False),
    ],
)
def test_without_guidance_neither_its_strength_nor_its_rescaling_counts(render, one, other, alike):
    def drawn(values):
        return drawn_with({"render": render}, {f"render.{name}": value for name, value in values.items()})

    assert (drawn(one) == drawn(other)) == alike
