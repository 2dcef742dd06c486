"""A LoRA in a prompt: the fix that is offered, pasted where it says, is an experiment that loads."""

import re
import tomllib

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import load_experiment

EXPERIMENT = """\
name = "x"
{components}
[models]
a = "a.safetensors"
b = "b.safetensors"

[adapters]
sharp = "loras/sharp.safetensors"

[[merge]]
name = "{last}"
models = ["a", "b"]
ratio = [0.2, 0.4]
{more}
[[prompt]]
text = '''a cat {tag}, sun'''

[render]
steps = 3
"""
SHARPER = '[[merge]]\nmethod = "adapter"\nmodels = ["mixed", "sharp"]\nratio = 0.3\n'


def pasted(path, toml, tag):
    """Load the experiment, take the error's advice word by word, and load it again."""
    path.write_text(toml, "utf-8")
    with pytest.raises(BadInput) as caught:
        load_experiment(path)
    assert "x.toml, [[prompt]] 1" in str(caught.value)
    fix = caught.value.fix
    assert fix.startswith("Remove it from the prompt, and ")
    blocks = [re.sub("^    ", "", block, flags=re.M) for block in re.findall(r"(?:^    .*\n?)+", fix, re.M)]
    toml = toml.replace(tag, "")
    if "under [adapters]" in fix:
        assert fix.index("under [adapters]") < fix.index("at the end of the file")
        table, *blocks = blocks
        tomllib.loads(table)
        toml = toml.replace("[adapters]\n", f"[adapters]\n{table}")
    (steps,) = blocks
    tomllib.loads(steps)
    path.write_text(toml + steps, "utf-8")
    return load_experiment(path)


@pytest.fixture
def after(tmp_path):
    def load(tag, adapters=True, last="merged", more="", components=""):
        toml = EXPERIMENT.format(tag=tag, last=last, more=more, components=components)
        if not adapters:
            toml = toml.replace('[adapters]\nsharp = "loras/sharp.safetensors"\n', "")
        return pasted(tmp_path / "x.toml", toml, tag)

    return load


@pytest.mark.parametrize("adapters", [True, False])
def test_one_lora_becomes_a_step_after_the_last(after, tmp_path, adapters):
    experiment = after("<lora:style_v2:0.8>", adapters)
    *_, step = experiment.merge
    assert (step.name, step.method, step.models) == ("with-style_v2", "adapter", ("merged", "style_v2"))
    assert step.ratio == 0.8
    assert experiment.adapters["style_v2"] == tmp_path / "style_v2.safetensors"
    assert [*experiment.searched()] == ["ratio"]  # as it was called before


@pytest.mark.parametrize(
    ("strengths", "ratio"),
    [("", 1), (":.5", 0.5), (":1.", 1), (":+1e-1", 0.1), (":0.2:0.5", {"te": 0.2, "unet": 0.5}), (":x", 1)],
)
def test_strengths_that_are_no_numbers_of_toml_are_written_as_such(after, strengths, ratio):
    assert after(f"<lora:style{strengths}>").merge[-1].ratio == ratio


def test_a_merged_vae_gets_a_ratio_too(after):
    ratio = after("<lora:x:0.2:0.5>", components='components = { vae = "merged" }').merge[-1].ratio
    assert ratio == {"vae": 0, "te": 0.2, "unet": 0.5}


@pytest.mark.parametrize(
    "name",
    [
        "sub/my style",
        'quo"te',
        "back\\slash",
        "日本 スタイル",
        "a",
        "merged",
        "render",
        "9",
        "é",
        "x" * 300,
        "-",
    ],
)
def test_any_name_of_a_file_is_one_that_toml_and_a_recipe_take(after, tmp_path, name):
    experiment = after(f"<lora:{name}:1>")
    step = experiment.merge[-1]
    assert experiment.adapters[step.models[1]] == tmp_path / f"{name}.safetensors"


def test_several_loras_are_a_chain_of_steps_and_each_file_is_named_once(after):
    experiment = after("<lora:x:0.8> <lyco:y:0.5> <lora:x:0.3>")
    assert sorted(experiment.adapters) == ["sharp", "x", "y"]
    assert [(step.name, step.models, step.ratio) for step in experiment.merge[1:]] == [
        ("with-x", ("merged", "x"), 0.8),
        ("with-y", ("with-x", "y"), 0.5),
        ("with-x-2", ("with-y", "x"), 0.3),
    ]


def test_an_adapter_that_is_there_already_is_used(after):
    experiment = after("<lora:sharp:0.8>", last="mixed", more=SHARPER)
    assert [*experiment.adapters] == ["sharp"]
    assert [(step.name, step.models) for step in experiment.merge[1:]] == [
        ("merged", ("mixed", "sharp")),
        ("with-sharp", ("merged", "sharp")),
    ]


def test_a_lora_in_a_negative_prompt_is_found_as_well(tmp_path):
    toml = EXPERIMENT.format(tag="", last="merged", more="", components="")
    (tmp_path / "x.toml").write_text(toml.replace("sun'''", "sun'''\nnegative = '<lora:bad:1>'"))
    with pytest.raises(BadInput, match="names a LoRA: <lora:bad:1>"):
        load_experiment(tmp_path / "x.toml")
