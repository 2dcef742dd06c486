"""Experiments whose steps are those of a recipe of sd-mecha, with numbers of it searched."""

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import parse_experiment

RECIPE = """version 0.1.0
model "raw\\\\base.safetensors"
model "b.safetensors"
merge "subtract" &1 &0
model "c.safetensors"
merge "subtract" &3 &0
merge "ties_sum_with_dropout" &2 &4 probability=0.1 apply_stock=true seed=3
merge "isotropic_overrided" &5 0.8 false true
merge "add_difference" &0 &6 1.0
merge "pick_component" &0 "vae"
merge "fallback" &8 &7
"""
RANGE = {"low": 0.5, "high": 1.5}


@pytest.fixture
def parse(tmp_path):
    def parsed(search, recipe=RECIPE, **tables):
        (tmp_path / "x.mecha").write_text(recipe)
        tables = {"prompt": [{"text": "x", "seeds": [1]}], "search": {"trials": 3, "sampler": "tpe"}} | tables
        table = {"file": "x.mecha", "search": search}
        return parse_experiment({"name": "x", "recipe": table} | tables, tmp_path, "x.toml")

    return parsed


def test_a_number_of_an_instruction_is_searched(parse, tmp_path):
    made = parse({"&7.alpha": RANGE, "&5.probability": [0.1, 0.3]}, models={"c": {"path": "d.safetensors"}})
    assert [(step.name, step.method, step.models) for step in made.merge] == [
        ("step1", "dare_ties", ("base", "b", "c")),
        ("merged", "isotropic", ("base", "step1")),
    ]
    assert {name: getattr(one, "low", one) for name, one in made.searched().items()} == {
        "ratio": 0.5,
        "step1.probability": (0.1, 0.3),
    }
    assert made.components.vae == "base"
    files = {"base": "raw/base.safetensors", "b": "b.safetensors", "c": "d.safetensors"}
    assert {name: model.path for name, model in made.models.items()} == {
        name: tmp_path / file for name, file in files.items()
    }
    assert [note for note in made.notes if "line 8" in note and "is not published" in note]
    fixed = made.at({"ratio": 0.75, "step1.probability": 0.3})
    assert not fixed.searched()
    assert (fixed.merge[0].probability, fixed.merge[1].ratio) == (0.3, 0.75)


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"&7.beta": RANGE}, "add_difference has no number 'beta' to search"),
        ({"&70.alpha": RANGE}, "is one number of the merge"),
        ({"&7.alpha": {"low": 2, "high": 1}}, "must be less than high"),
        ({"&5.seed": [1, 2]}, "dare_ties: seed"),
        ({"&5.apply_stock": [True]}, "apply_stock must be true or false"),
        ({"&2.alpha": RANGE}, "subtract has no number"),
    ],
)
def test_what_is_no_number_of_the_merge_cannot_be_searched(parse, search, words):
    with pytest.raises(BadInput, match=words):
        parse(search)


def test_a_number_of_a_step_that_is_used_twice_is_refused(parse):
    twice = RECIPE[: RECIPE.index('merge "isotropic')] + (
        'merge "add_difference" &0 &5 1.0\nmerge "add_difference" &0 &5 0.5\nmerge "weighted_sum" &6 &7'
    )
    with pytest.raises(BadInput, match="is one number of the merge"):
        parse({"&5.probability": RANGE | {"high": 0.9}}, twice)


def test_steps_are_in_one_place(parse):
    with pytest.raises(BadInput, match=r"in \[recipe\] and in \[\[merge"):
        parse({}, merge=[{"models": ["a", "b"], "ratio": 0.5}])
