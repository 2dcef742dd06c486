"""A sampler of the search is written down once, and the page on the search knows it."""

import pytest
from optuna.samplers import BaseSampler

from gridsearch.experiment.tables import SEARCH_SAMPLERS, Search
from gridsearch.search.samplers.by_name import make_sampler
from tests.docs.pages import REPOSITORY
from tests.helpers.experiments import parse


@pytest.mark.parametrize("name", SEARCH_SAMPLERS)
def test_each_can_be_asked_for_is_explained_and_makes_a_sampler(name):
    assert Search(sampler=name).kind is SEARCH_SAMPLERS[name]
    page = (REPOSITORY / "docs" / "samplers.md").read_text("utf-8")
    assert f"`{name}`" in page.split("## Which sampler")[1].split("\n## ")[0]
    if name != "window":  # search/samplers/window_sampler.py is made for a parameter
        assert isinstance(make_sampler(name, seed=1, trial=0, trials=20), BaseSampler)


def test_what_follows_from_a_sampler():
    assert [name for name in SEARCH_SAMPLERS if SEARCH_SAMPLERS[name].ends_itself] == ["window", "grid"]
    assert {name for name in SEARCH_SAMPLERS if Search(sampler=name).races()} == {
        *("window", "tpe", "gp", "cmaes", "qmc", "random")
    }
    assert Search(sampler="nsga2").kind.goals == ("blur", "noise")
    assert Search(sampler="window").prompts_held_out(8) == 2
    assert Search(sampler="tpe").prompts_held_out(8) == 0


@pytest.mark.parametrize(
    ("ratio", "more", "sampler"),
    [
        ({"low": 0.0, "high": 1.0, "step": 0.05}, {}, "window"),
        ({"low": 0.0, "high": 1.0}, {}, "window"),
        ({"low": 0.0, "high": 1.0, "step": 0.1}, {}, "grid"),  # the first look of window would take them all
        ([0.2, 0.4], {}, "grid"),
        ({"low": 0.0, "high": 1.0, "step": 0.05}, {"render": {"cfg": [4, 5]}}, "grid"),
        ({"low": 0.0, "high": 1.0, "step": 0.05}, {"search": {"sampler": "grid"}}, "grid"),
        ({"low": 0.0, "high": 1.0, "step": 0.05}, {"search": {"trials": 9}}, "window"),
    ],
)
def test_a_single_ratio_is_searched_by_window_where_none_is_named(ratio, more, sampler):
    found = parse({"models": ["a", "b"], "ratio": ratio}, **more)
    assert found.search.sampler == sampler
    assert found.has_usual_sampler == ("sampler" not in more.get("search", {}))
