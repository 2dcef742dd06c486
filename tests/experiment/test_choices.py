"""Choices that are no numbers: methods, samplers, unconditional embeddings and VAEs, named and fixed."""

import pickle
from pathlib import Path

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.checks import dependent_notes
from gridsearch.experiment.experiment import Experiment, parse_experiment
from gridsearch.experiment.methods import METHODS
from gridsearch.experiment.prompt_notes import prompt_notes
from gridsearch.merge.export.options import chosen_values
from gridsearch.results.analysis.identical import drawn_with, made_of
from gridsearch.search.samplers.by_name import expected_trials, grid, require_suits
from tests.helpers.experiments import STEPS, documented, parse

K = {"low": 0.1, "high": 0.3, "step": 0.1}
SEVERAL = {"models": ["a", "b", "c"], "method": ["ties", "model_stock", "geometric_median"], "k": K}


def test_a_method_is_searched_and_brings_the_arguments_that_it_takes():
    what = parse(SEVERAL | {"ratio": [0.5, 1.0]})
    assert list(what.searched()) == ["merged.method", "ratio", "merged.k"]
    assert what.merge[0].methods() == ("ties", "model_stock", "geometric_median")
    assert Experiment.model_validate_json(what.model_dump_json()) == what
    assert pickle.loads(pickle.dumps(what.merge[0])) == what.merge[0]

    ties = what.at({"merged.method": "ties", "ratio": 0.5, "merged.k": 0.2})
    alone = {"models": ["a", "b", "c"], "method": "ties", "k": 0.2, "ratio": 0.5}
    assert ties.merge == parse(alone).merge
    assert type(ties.merge[0]) is METHODS["ties"]
    stock = what.at({"merged.method": "model_stock", "ratio": 0.5, "merged.k": 0.2})
    assert stock.merge == parse({"models": ["a", "b", "c"], "method": "model_stock", "ratio": 0.5}).merge
    median = what.at({"merged.method": "geometric_median"})
    assert median.searched() == {}
    assert what.without_effect({"merged.method": "geometric_median"}) == {"ratio", "merged.k"}
    assert what.without_effect({"merged.method": "model_stock"}) == {"merged.k"}
    assert what.without_effect({"merged.method": "ties"}) == set()


def test_a_grid_draws_no_copy_that_differs_in_an_argument_of_another_method():
    """ties: 2 ratios x 3 shares; model_stock: 2 ratios; geometric_median: 1."""
    what = parse(SEVERAL | {"ratio": [0.5, 1.0]})
    assert expected_trials(what) == (9, 9)
    points = grid(what)
    made = {made_of(what.model_dump(mode="json"), point) for point in points}
    assert len(made) == 9
    assert {point["merged.k"] for point in points if point["merged.method"] == "model_stock"} == {0.1}
    notes = dependent_notes(what)
    assert any("is model_stock, searching merged.k changes nothing: a grid" in note for note in notes)
    assert any("is geometric_median, searching merged.k, ratio changes nothing" in note for note in notes)
    tpe = parse(SEVERAL, search={"sampler": "tpe", "trials": 5})
    assert any("such trials draw the same" in note for note in dependent_notes(tpe))


def test_the_documented_choice_is_real():
    models = {name: f"{name}.safetensors" for name in ("base", "tuned", "other")}
    what = documented("## A choice of methods, or of VAEs", models=models)
    assert what.searched()["components.vae"] == ("base", "clear.safetensors", "merged")
    assert len(grid(what)) == 3 * (6 + 2 + 1)


def test_files_of_vaes_are_called_by_their_names_and_opened_where_they_lie():
    vaes = ["merged", "b", "vae/clear.safetensors"]
    tables = {
        "models": {"a": "a.safetensors", "b": "b.safetensors"},
        "components": {"vae": vaes},
        "prompt": [{"text": "t"}],
        "merge": [{"models": ["a", "b"], "ratio": {"default": 0.5, "vae": [0.2, 0.3]}}],
        "name": "x",
    }
    here, there = (parse_experiment(tables, Path(folder), "x") for folder in ("/here", "/there"))
    assert here.searched()["components.vae"] == ("merged", "b", "clear.safetensors")
    assert here.searched() == there.searched()  # a study goes on where the files lie elsewhere
    assert here.vae_files() == {"/here/vae/clear.safetensors": "clear.safetensors"}
    clear = here.at({"components.vae": "clear.safetensors", "merged.ratio.vae": 0.2})
    assert clear.vae_file() == Path("/here/vae/clear.safetensors")
    assert clear.vae_files() == {"/here/vae/clear.safetensors": "vae"}
    assert clear.merge[0].ratio == {"default": 0.5}  # the VAE is copied, and its ratio means nothing
    merged = here.at({"components.vae": "merged", "merged.ratio.vae": 0.2})
    assert merged.merge[0].ratio == {"default": 0.5, "vae": 0.2}
    assert len(grid(here)) == 4
    assert here.needed_models() == ("a", "b")
    made = {made_of(here.model_dump(mode="json"), point) for point in grid(here)}
    assert len(made) == 4


def test_how_images_are_drawn_is_told_apart_only_where_it_matters():
    what = parse(STEPS["weighted_sum"], render={"unconditional": ["zeros", "empty"], "cfg": [1.0, 4.0]})
    settings = what.model_dump(mode="json")
    by_cfg = {
        cfg: {
            drawn_with(settings, {"render.unconditional": word, "render.cfg": cfg})
            for word in ("zeros", "empty")
        }
        for cfg in (1.0, 4.0)
    }
    assert {cfg: len(drawn) for cfg, drawn in by_cfg.items()} == {1.0: 1, 4.0: 2}
    negative = {"prompt": [{"text": "t", "negative": "bad"}]}
    vain = parse(STEPS["weighted_sum"], render={"unconditional": ["zeros", "empty"]}, **negative)
    assert any("Every prompt has a negative prompt" in note for note in dependent_notes(vain))


def test_searched_settings_are_not_compared_with_those_of_prompts():
    """Sizes and the sampler among them, which are compared in A1111's words."""
    sizes = ("original_width", "target_height", "crop_left")
    render = {name: {"low": 0, "high": 512, "step": 256} for name in sizes} | {"sampler": ["euler", "ddim"]}
    assert prompt_notes(parse(STEPS["weighted_sum"], render=render)) == []


def test_the_command_line_fixes_choices_and_asks_for_no_argument_that_is_not_taken():
    what = parse(SEVERAL | {"ratio": [0.5, 1.0]}, components={"vae": ["a", "vae/x.safetensors"]})
    vae = "components.vae=x.safetensors"
    found = chosen_values(what, ["merged.method=model_stock", "merged=0.7", vae])
    assert found == {"merged.method": "model_stock", "ratio": 0.7, "components.vae": "x.safetensors"}
    with pytest.raises(BadInput, match=r"merged\.k changes nothing with merged\.method model_stock"):
        chosen_values(what, ["merged.method=model_stock", "merged=0.7", vae, "merged.k=0.1"])
    with pytest.raises(BadInput, match="nearest is 'ties'"):
        chosen_values(what, ["merged.method=tise"])
    with pytest.raises(BadInput, match="A value is missing") as caught:
        chosen_values(what, ["merged.method=ties", "merged=0.7", vae])
    assert "--ratio merged.k=VALUE" in str(caught.value)


def test_a_search_for_a_window_needs_a_number_and_says_so():
    only_words = parse(
        STEPS["slerp"] | {"method": ["slerp", "weighted_sum"]},
        render={"sampler": ["euler", "Euler a"]},
        search={"sampler": "window"},
    )
    with pytest.raises(BadInput, match=r"merged\.method, render\.sampler has no order"):
        require_suits(only_words)
    ratio = {"low": 0.0, "high": 1.0, "step": 0.1}
    both = parse(
        STEPS["slerp"] | {"method": ["slerp", "weighted_sum"], "ratio": ratio},
        render={"sampler": ["euler", "Euler a"]},
        search={"sampler": "window"},
    )
    require_suits(both)  # along a curve for each of the four


WRONG = {
    "models of another number": (
        {"method": ["ties", "slerp"]},
        "merge[0]: method 'slerp'",
        "at most 2 of them",
    ),
    "an argument is missing": (
        {"models": ["a", "b"], "method": ["slerp", "weighted_sum"]},
        "merge[0]: method 'slerp'",
        "the key 'ratio' is missing",
    ),
    "an argument of none": (
        {"method": ["ties", "model_stock"], "ration": 0.1},
        "none of ties, model_stock has an argument 'ration'",
        "nearest known key is 'ratio'",
    ),
    "a wrong value": ({"method": ["ties", "dare_ties"], "k": 1.5}, "method 'ties': k", "from 0 to 1"),
    "no such method": ({"method": ["ties", "dare_tise"]}, "merge[0].method[1]: there is no", "'dare_ties'"),
    "an adapter": ({"method": ["ties", "adapter"]}, "'adapter' adds an adapter", "no other method does"),
    "twice": ({"method": ["ties", "ties"]}, "merge[0].method", "listed twice"),
    "rebasin": ({"method": "rebasin"}, "merge[0].method", "gridsearch rebasin B --to A"),
    "a table": ({"method": {"ties": 1}}, "merge[0].method", "there is no merge method"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_choice_of_methods_is_told_what_where_and_how_to_mend(case):
    step, what, also = WRONG[case]
    with pytest.raises(BadInput) as caught:
        parse({"models": ["a", "b", "c"]} | step)
    assert what in str(caught.value)
    assert also in str(caught.value)
    assert len(caught.value.lines) <= 4


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"components": {"vae": ["a", "d.ckpt"]}}, "neither a model nor a .safetensors file"),
        (
            {"components": {"vae": ["x/v.safetensors", "y/v.safetensors"]}},
            "wo files of components.vae are called 'v.safetensors'",
        ),
        ({"components": {"vae": []}}, "at least 1 of them"),
        ({"render": {"sampler": ["euler", "Eulr a"]}}, "the nearest is 'Euler a'"),
        ({"render": {"sampler": "Euler Beta"}}, 'sampler = "Euler" and schedule = "Beta"'),
        ({"render": {"schedule": "SGM Uniform"}}, 'set timestep_spacing = "trailing"'),
        ({"render": {"schedule": ["beta"], "sampler": ["euler", "ddim"]}}, "sampler ddim takes no schedule"),
        ({"render": {"pag_layers": "M00, IN01"}}, "'IN01' is not a layer of attention"),
        ({"render": {"sampler": ["euler", "Euler"]}}, "listed twice"),
        ({"render": {"unconditional": ["zeros", "none"]}}, "there is no 'none'"),
    ],
)
def test_a_wrong_choice_elsewhere_is_told(tables, said):
    with pytest.raises(BadInput) as caught:
        parse(STEPS["weighted_sum"], **tables)
    assert said in " ".join(caught.value.lines)
