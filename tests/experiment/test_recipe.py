"""What may be merged and searched, and what is said of a recipe that does not hold together."""

import re
import tomllib
from pathlib import Path

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment, parse_experiment
from gridsearch.experiment.methods import METHODS
from tests.docs.pages import REPOSITORY
from tests.helpers.experiments import documented

GOOD = """
name = "x"
[models]
a = "a.safetensors"
b = "b.safetensors"
c = "c.safetensors"
[adapters]
style = "style.safetensors"
[[merge]]
name = "mixed"
models = ["a", "b"]
ratio = { default = 0.5, in = { low = 0.0, high = 1.0, step = 0.5 }, "IN04.attention" = [0.1, 0.2] }
[[merge]]
name = "average"
method = "average"
models = ["mixed", "c"]
weights = [1.0, { low = 0.5, high = 1.0, step = 0.25 }]
[[merge]]
name = "robust"
method = "ties"
models = ["average", "b", "c"]
k = [0.2, 0.3]
[[merge]]
method = "adapter"
models = ["robust", "style"]
ratio = { unet = 0.55, te = [0.0, 0.5] }
[components]
vae = "vae/own.safetensors"
text_encoders = "merged"
[[prompt]]
text = "t"
"""


def parse(text: str) -> Experiment:
    return parse_experiment(tomllib.loads(text), Path("/folder"), "x.toml")


def test_whatever_is_searched_is_named_by_its_step_and_place_and_can_be_fixed():
    experiment = parse(GOOD)
    names = [
        "mixed.ratio.in",
        "mixed.ratio.IN04.attention",
        "average.weights.c",
        "robust.k",
        "merged.ratio.te",
    ]
    assert list(experiment.searched()) == names
    fixed = experiment.at(dict(zip(names, (0.5, 0.2, 0.75, 0.3, 0.5), strict=True)))
    assert fixed.searched() == {}
    assert fixed.merge[0].ratio == {"default": 0.5, "in": 0.5, "IN04.attention": 0.2}
    assert fixed.merge[1].weights == (1.0, 0.75)
    assert (fixed.merge[2].k, fixed.merge[3].ratio["te"]) == (0.3, 0.5)
    assert Experiment.model_validate(experiment.model_dump(mode="json")) == experiment


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"ratio": 47}, "Did you mean 0.47?"),
        ({"ratio": {"low": 0, "high": 100, "step": 5}}, "Did you mean 1?"),
        ({"ratio": {"default": 0.5, "OUT03": 60}}, "Did you mean 0.6?"),
        ({"ratio": {"start": 20, "end": [0.1, 0.8]}}, "Did you mean 0.2?"),
        ({"ratio": -0.2}, "To use -0.2, write extrapolate = true"),
        ({"ratio": [0.5, 1.2], "method": ["weighted_sum", "slerp"]}, "To use 1.2, write extrapolate = true"),
        ({"ratio": 80, "method": "adapter", "models": ["a", "style"]}, "Did you mean 0.8?"),
    ],
)
def test_a_ratio_beyond_the_models_is_asked_for(step, said):
    data = tomllib.loads(GOOD) | {"merge": [{"models": ["a", "b"], **step}]}
    with pytest.raises(BadInput, match=re.escape(said)):
        parse_experiment(data, Path("/folder"), "x.toml")
    data["merge"][0]["extrapolate"] = True
    asked = parse_experiment(data, Path("/folder"), "x.toml")
    again = Experiment.model_validate(asked.model_dump(mode="json"))  # as a study keeps it
    assert again.merge[0].numbers() == asked.merge[0].numbers()
    assert "extrapolate" not in asked.model_dump()["merge"][0]


def test_files_are_those_that_the_steps_and_the_components_use():
    experiment = parse(GOOD)
    assert experiment.needed_models() == ("a", "b", "c")
    assert experiment.merged_adapters() == ("style",)
    assert experiment.adapters["style"] == Path("/folder/style.safetensors")
    assert experiment.vae_file() == Path("/folder/vae/own.safetensors")
    lent = parse(GOOD.replace('vae = "vae/own.safetensors"', 'vae = "c"'))
    assert (lent.vae_source(), lent.vae_file()) == ("c", None)


def test_a_selector_of_two_parts_needs_no_quotes():
    plain = parse(GOOD.replace('"IN04.attention" = ', "IN04.attention = "))
    assert plain == parse(GOOD)


def test_the_documented_recipe_and_methods_are_real():
    text = (REPOSITORY / "docs" / "methods.md").read_text("utf-8")
    assert list(documented().searched()) == ["mixed.ratio", "sharper.ratio", "merged.ratio.unet"]
    rows = text.split("| method |")[1].split("\n\n")[0]
    assert set(METHODS) == set(re.findall(r"`(\w+)`", "".join(re.findall(r"\n\| (.*?) \|", rows))))


WRONG = {
    "no such block": (("in = {", "inn = {"), "merge[0].ratio.inn", "nearest is 'in'"),
    "blocks the wrong way round": (("in = {", '"IN05-IN03" = {'), "not a range of blocks", "IN03-IN05"),
    "unknown method": (('method = "ties"', 'method = "tise"'), "merge[2].method", "'ties'"),
    "another method's key": (("k = [0.2, 0.3]", "density = 0.2"), "merge[2].density", "known keys are"),
    "one difference only": (('["average", "b", "c"]', '["average", "b"]'), "merge[2].models", "at least 3"),
    "share over one": (("k = [0.2, 0.3]", "k = [0.2, 1.3]"), "merge[2].k", "from 0 to 1"),
    "weights for others": (
        ("weights = [1.0, {", "weights = [1.0, 1.0, {"),
        "merge[1]",
        "3 weights are given",
    ),
    "adapter as a model": (('["mixed", "c"]', '["mixed", "style"]'), "is an adapter", 'method = "adapter"'),
    "no such adapter": (('["robust", "style"]', '["robust", "stile"]'), "the adapter 'stile'", "'style'"),
    "no such component": (
        ('text_encoders = "merged"', 'text_encoders = "d"'),
        "text_encoders names 'd'",
        "nearest name",
    ),
    "no such vae": (('vae = "vae/own.safetensors"', 'vae = "own"'), "omponents.vae names 'own'", "nearest"),
    "a part's name": (("c = ", "vae = "), "cannot be named 'vae'", None),
    "ratio beyond sense": (("unet = 0.55", "unet = 1e39"), "merge[3].ratio.unet", "from -1e+06 to 1e+06"),
    "two of one name": (("style = ", "a = "), "both named 'a'", None),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_recipe_is_told_what_where_and_how_to_mend(case):
    (old, new), what, also = WRONG[case]
    assert old in GOOD
    with pytest.raises(BadInput) as caught:
        parse(GOOD.replace(old, new))
    said = str(caught.value)
    assert what in said
    assert also is None or also in said
    assert "x.toml" in caught.value.lines[1]
    assert len(caught.value.lines) <= 4
