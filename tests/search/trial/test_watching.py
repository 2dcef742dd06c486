"""Early abort compares a trial with the references, where both are drawn so that it can."""

from dataclasses import replace

import numpy as np

from gridsearch.merge.parents import open_parents
from gridsearch.render.watch import Expected
from gridsearch.search.trial.settings import native_sampling, sampling_of
from gridsearch.search.trial.setup import load_setup, watch_for
from tests.helpers.small_run import Quiet, experiment, settings


def test_a_searched_sampler_or_unconditional_is_compared_with_references_of_the_first_only_where_alike(
    toy, tmp_path
):
    render = settings(toy)["render"] | {
        "sampler": ["euler", "ddim", "lcm"],
        "unconditional": ["zeros", "empty"],
    }
    what = experiment(toy, render=render)
    parents = open_parents(what)
    reference = native_sampling(what.render, parents, "base")
    assert (reference.sampler, reference.unconditional) == ("euler", "zeros")

    setup = load_setup(what, parents, tmp_path, Quiet())
    one = np.ones(1)
    setup = replace(setup, watch=replace(setup.watch, expected=Expected(one, one, one, one)))
    compared = {}
    for sampler in ("euler", "ddim", "lcm"):  # LCM's early predictions do not come true
        for word in ("zeros", "empty"):
            fixed = what.at({"render.sampler": sampler, "render.unconditional": word, "ratio": 0.5})
            sampling = sampling_of(fixed.render, parents.of(fixed))
            assert (sampling.sampler, sampling.unconditional) == (sampler, word)
            compared[sampler, word] = watch_for(setup, sampling).expected is not None
    assert [key for key, is_compared in compared.items() if is_compared] == [
        ("euler", "zeros"),
        ("ddim", "zeros"),
    ]

    noisy = replace(setup, experiment=experiment(toy, render=render | {"sampler": ["lcm", "euler"]}))
    euler = sampling_of(what.at({"render.sampler": "euler", "render.unconditional": "zeros"}).render, parents)
    assert watch_for(setup, euler).expected is not None
    assert watch_for(noisy, euler).expected is None
