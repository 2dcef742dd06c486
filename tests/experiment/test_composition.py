"""What a merge is made of, in a few words."""

import pytest

from gridsearch.base.words import prompt_labels, setting_text
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.experiment.composition import block_weights, composition
from tests.helpers.experiments import parse

CHAIN = [
    {"name": "ab", "models": ["a", "b"], "ratio": 0.25},  # 0.75 a + 0.25 b
    {"models": ["ab", "c"], "ratio": 0.4},  # 0.45 a + 0.15 b + 0.4 c
]
SLERP = [{"name": "ab", "method": "slerp", "models": ["a", "b"], "ratio": 0.5}]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"models": ["a", "b"], "ratio": 0.455}], "54.5% a + 45.5% b"),
        ([{"models": ["a", "b"], "ratio": 1.0}], ""),  # it is b itself
        (CHAIN, "45% a + 15% b + 40% c"),
        ([{"method": "add_difference", "models": ["a", "b", "c"], "ratio": 0.5}], "a + 0.5 b - 0.5 c"),
        ([{"method": "adapter", "models": ["a", "x"], "ratio": 0.6}], "a + 0.6 x"),
        ([{"method": "average", "models": ["a", "b", "c", "d"]}], "25% a + 25% b + 25% c + 25% d"),
        (SLERP, ""),
        ([*SLERP, {"models": ["ab", "c"], "ratio": 0.5}], ""),
        (
            [SLERP[0] | {"name": "burnt"}, {"models": ["c", "burnt"], "ratio": {"IN00": 0.5, "M00": 1}}],
            "c and model “burnt”, 2 blocks each with a ratio of its own; 0 is c, 1 is model “burnt”",
        ),
        (
            [{"method": "adapter", "models": ["a", "x"], "ratio": {"IN00": 0.5}}],
            "a and x, 1 block with a ratio of its own; 0 is a, 1 adds x at its full strength",
        ),
        (
            [{"method": "low_rank", "models": ["a", "b"], "ratio": {"IN00": 0.5}}],  # 1 is not b
            "a and b, 1 block with a ratio of its own; 0 is a",
        ),
        (
            [{"method": "cosine_a", "models": ["a", "b"], "ratio": {"IN00": 0.5}}],
            "a and b, 1 block with a ratio of its own",
        ),
    ],
)
def test_a_sum_of_models_is_told_in_shares(steps, said):
    assert composition(parse(steps[0], merge=steps).merge) == said


def test_a_range_for_all_blocks_searches_each_and_their_ratios_are_one_list():
    ratio = {"blocks": {"low": 0.0, "high": 1.0}, "M00": 0.25}
    searched = parse({"models": ["a", "b"], "ratio": ratio}, search={"sampler": "cmaes", "trials": 9})
    names = searched.searched()
    assert len(names) == 19
    assert "ratio.M00" not in names
    steps = searched.at(dict.fromkeys(names, 0.5)).merge
    listed = ",".join(["0.5"] * 10 + ["0.25"] + ["0.5"] * 9)
    assert block_weights(steps, SDXL.blocks) == listed
    again = parse({"models": ["a", "b"], "ratio": listed}).merge
    assert block_weights(again, SDXL.blocks) == listed
    assert block_weights(parse({"models": ["a", "b"], "ratio": 0.5}).merge, SDXL.blocks) == ""


def test_labels_leave_out_what_all_prompts_share():
    prompts = ["masterpiece, a cat, best quality", "masterpiece, a dog, best quality"]
    assert prompt_labels(prompts) == dict(zip(prompts, ["a cat", "a dog"], strict=True))
    assert prompt_labels(["a cat"]) == {"a cat": "a cat"}
    assert prompt_labels(["a, b", "a"]) == {"a, b": "b", "a": "a"}


def test_a_choice_is_told_by_itself():
    assert setting_text("merged.model_b", "epoch6") == "epoch6"
    assert setting_text("merged.method", "ties") == "ties"
    assert setting_text("components.vae", "base") == "VAE base"
    assert setting_text("render.cfg", 4.0) == "cfg 4"
