"""The experiment file: what it means, and what is said when it is wrong."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment, Range, load_experiment, parse_experiment

GOOD = """
name = "x"
[models]
a = "a.safetensors"
b = { path = "b.safetensors", prediction_type = "v_prediction" }
[[merge]]
models = ["a", "b"]
ratio = { low = 0.0, high = 1.0, step = 0.1 }
[render]
cfg = 4
[[prompt]]
text = "t"
seeds = [1, 2]
"""


def parse(text: str) -> Experiment:
    return parse_experiment(tomllib.loads(text), Path("/folder"), "x.toml")


def test_values_are_the_decimals_written():
    assert Range(low=0, high=0.3, step=0.1).values() == (0.0, 0.1, 0.2, 0.3)


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 100))
def test_a_range_has_every_step_and_no_more(low, steps, hundredths):
    step = hundredths / 100
    high = round(low + steps * step, 2)
    values = Range(low=low, high=high, step=step).values()
    assert len(values) == steps + 1
    assert values[0] == low
    assert values[-1] == high


def test_a_lone_ratio_is_named_ratio_and_two_are_named_by_their_steps():
    assert list(parse(GOOD).searched()) == ["ratio"]
    chain = GOOD.replace(
        "[render]", '[[merge]]\nname = "second"\nmodels = ["merged", "a"]\nratio = [0.1, 0.2]\n[render]'
    )
    assert list(parse(chain).searched()) == ["merged.ratio", "second.ratio"]


def test_at_fixes_what_is_searched_and_leaves_the_rest():
    experiment = parse(GOOD.replace("cfg = 4", 'cfg = [3, 5]\nprediction_type = ["epsilon", "v_prediction"]'))
    fixed = experiment.at({"ratio": 0.3, "render.cfg": 5.0, "render.prediction_type": "epsilon"})
    assert fixed.merge[0].ratio == 0.3
    assert (fixed.render.cfg, fixed.render.prediction_type) == (5.0, "epsilon")
    assert fixed.searched() == {}


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "x.toml").write_text(GOOD)
    assert load_experiment(tmp_path / "x.toml").models["a"].path == tmp_path / "a.safetensors"


def test_an_experiment_survives_its_own_json():
    experiment = parse(GOOD)
    assert Experiment.model_validate(experiment.model_dump(mode="json")) == experiment


WRONG = {
    "misspelt key": (("cfg = 4", "cgf = 4"), "Unknown key 'render.cgf'", "nearest known key is 'cfg'"),
    "another program's key": (("cfg = 4", "cfg_scale = 4"), "Unknown key 'render.cfg_scale'", "called 'cfg'"),
    "misspelt key in a range": (("low = 0.0", "lwo = 0.0"), "Unknown key 'merge[0].ratio.lwo'", "'low'"),
    "low over high": (("low = 0.0", "low = 2.0"), "low = 2 must be less than high = 1", None),
    "nan": (("step = 0.1", "step = nan"), "finite", None),
    "no prompt": (('[[prompt]]\ntext = "t"\nseeds = [1, 2]', ""), "'prompt' is missing", "[[prompt]]"),
    "unknown model": (('"b"]', '"bb"]'), "the nearest name is 'b'", None),
    "unknown method": (("models = [", 'method = "sum"\nmodels = ['), "merge[0].method", None),
    "grid without a step": (
        (", step = 0.1 }\n", ' }\n[search]\nsampler = "grid"\n'),
        "A grid needs a step for ratio",
        None,
    ),
    "sampler without trials": (
        ("[[prompt]]", '[search]\nsampler = "tpe"\n[[prompt]]'),
        "search.trials",
        None,
    ),
    "racing for two goals": (
        ("[[prompt]]", '[search]\nsampler = "nsga2"\ntrials = 20\nracing = true\n[[prompt]]'),
        "leave search.racing out",
        None,
    ),
    "a grid that is to end early": (
        ("[[prompt]]", "[search]\nwidth = 0.1\n[[prompt]]"),
        "Search.width is for a search",
        None,
    ),
    "size not in eights": (("cfg = 4", "width = 100"), "multiple of 8", None),
    "path in an id": (('text = "t"', 'text = "t"\nid = "../x"'), "prompt[0].id", None),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_told_what_where_and_how_to_mend(case):
    (old, new), what, fix = WRONG[case]
    assert old in GOOD
    with pytest.raises(BadInput) as caught:
        parse(GOOD.replace(old, new))
    assert what in caught.value.lines[0]
    assert "x.toml" in caught.value.lines[1]
    assert fix is None or fix in caught.value.lines[-1]
    assert len(caught.value.lines) <= 4


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("guidance_scale = 4", "Here it is called 'cfg'"),
        ('"CFG scale" = 4', "Here it is called 'cfg'"),
        ("num_inference_steps = 20", "Here it is called 'steps'"),
        ('scheduler = "karras"', "In ComfyUI this is the noise schedule"),
        ('schedule = "simple"', 'timestep_spacing = "trailing"'),
        ('schedule = "normal"', 'timestep_spacing = "linspace"'),
        ("batch_size = 4", "Here it is called 'batch'"),
    ],
)
def test_a_setting_by_another_programs_name_is_told_by_its_name_here(line, said):
    with pytest.raises(BadInput) as caught:
        parse(GOOD.replace("cfg = 4", line))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("named", "key"),
    [
        ("euler_ancestral", "euler_a"),  # ComfyUI
        ("dpmpp_2m_sde_gpu", "dpmpp_2m_sde"),
        ("dpmpp_2m_k", "dpmpp_2m_karras"),  # InvokeAI
        ("EulerAncestralDiscreteScheduler", "euler_a"),  # diffusers
        ("k_euler_a", "euler_a"),  # sd-scripts
        ("DPM++ 2M Karras", "dpmpp_2m_karras"),  # A1111
    ],
)
def test_samplers_go_by_the_names_of_other_programs(named, key):
    assert parse(GOOD.replace("cfg = 4", f'sampler = "{named}"')).render.sampler == key


def test_broken_toml_names_the_line(tmp_path):
    (tmp_path / "x.toml").write_text('name = "x"\nmodels = [\n')
    with pytest.raises(BadInput, match=r"line \d|end of document"):
        load_experiment(tmp_path / "x.toml")


@pytest.mark.parametrize("text", [r"D:\models\x.safetensors", r"a \(circle\)"])
def test_a_backslash_in_double_quotes_is_told_to_stand_in_single_ones(tmp_path, text):
    (tmp_path / "x.toml").write_text(f'name = "{text}"\n')
    with pytest.raises(BadInput, match="'single quotes'"):
        load_experiment(tmp_path / "x.toml")


def test_a_scorer_that_names_an_unknown_prompt_is_refused(toy, tmp_path):
    text = (toy.parent / "toy.toml").read_text().replace("toy/", f"{toy}/")
    scorer = (
        '\n[[score.scorer]]\nname = "blur_effect"\nprompts = ["p1", "{}"]\nprompt_weights = {{ p2 = 0.0 }}\n'
    )
    (tmp_path / "x.toml").write_text(text + scorer.format("p22"))
    with pytest.raises(BadInput, match="names the prompt 'p22'") as caught:
        load_experiment(tmp_path / "x.toml")
    assert "nearest id is 'p2'" in str(caught.value)
    (tmp_path / "x.toml").write_text(text + scorer.format("p2"))
    assert load_experiment(tmp_path / "x.toml").score.scorer[0].prompts == ("p1", "p2")
