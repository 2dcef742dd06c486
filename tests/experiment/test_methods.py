"""The table of merge methods: one is added in two files, and every part that follows from it knows it."""

import pickle

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.methods import METHODS
from tests.helpers.edited import answer_of, edited_package
from tests.helpers.experiments import STEPS, parse

ROW = '    "midpoint": _method(Two, RATIO, FIRST_AND_SECOND),'
FUNCTION = """

def midpoint(a: Tensor, b: Tensor, ratio: float) -> Tensor:
    return torch.where(a * b > 0, b, torch.lerp(a, b, ratio))
"""
EDITS = (
    ("experiment/methods.py", '    "cosine_b": _method(Two, RATIO, NONE, "add_cosine_b"),', ROW),
    ("merge/engine/methods.py", "    return torch.where(merged.isnan(), b, merged)", FUNCTION),
    ("merge/engine/methods.py", '    "cosine_a": partial(_cosine, "cosine_a"),', '    "midpoint": midpoint,'),
)
CODE = """
import json
from pathlib import Path

import torch

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import parse_experiment
from gridsearch.merge.engine.methods import FUNCTIONS

def parsed(**step):
    merge = {"models": ["a", "b"], "ratio": {"low": 0.0, "high": 1.0, "step": 0.5}} | step
    models = {"a": "a.safetensors", "b": "b.safetensors"}
    whole = {"name": "x", "models": models, "merge": [merge], "prompt": [{"text": "t"}]}
    return parse_experiment(whole, Path(), "x")

try:
    parsed(method="midpoint", strength=1.0)
except BadInput as error:
    refused = str(error)
try:
    parsed(method="midpont")
except BadInput as error:
    misspelt = str(error)
experiment = parsed(method="midpoint")
a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -4.0])
print(json.dumps({
    "searched": [*experiment.searched()],
    "merged": FUNCTIONS["midpoint"](a, b, ratio=0.5).tolist(),
    "linear": experiment.merge[0].is_linear(),
    "refused": refused,
    "misspelt": misspelt,
}))
"""


@pytest.mark.night
def test_a_merge_method_is_added_in_two_files(tmp_path):
    found = answer_of(edited_package(tmp_path, EDITS), CODE)
    assert found["searched"] == ["ratio"]
    assert found["merged"] == [3.0, -1.0]
    assert not found["linear"]
    assert "strength" in found["refused"]
    assert "midpoint" in found["misspelt"]


@pytest.mark.parametrize("method", [*STEPS, ["ties", "breadcrumbs_ties"]])
def test_a_step_can_be_sent_to_another_process(method):
    (step,) = parse(STEPS[method if isinstance(method, str) else method[0]] | {"method": method}).merge
    again = pickle.loads(pickle.dumps(step))
    assert type(again) is type(step)
    assert again == step


def test_the_examples_in_these_tests_are_of_every_method():
    assert STEPS.keys() == METHODS.keys()


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("breadcrumbs", {"drop_smallest": 0.6, "drop_largest": 0.4}, "add up to 1, so nothing would be left"),
        ("breadcrumbs_ties", {"drop_smallest": [0.5, 0.95], "drop_largest": 0.2}, "add up to 1.15"),
        ("breadcrumbs", {"models": ["a"]}, "at least 2"),
        ("dare_linear", {"probability": 1.0}, "less than 1"),
        ("della", {"ranks": "columns"}, "ranks"),
        ("sce", {"k": 1.5}, "from 0 to 1"),
        ("karcher", {"weights": [1, 1]}, "2 weights are given for 3 models"),
        ("karcher", {"weights": [1, -1, 1]}, "from 0 to"),
        ("multislerp", {"weights": [0, 0.0, 0]}, "all weights are zero"),
        ("multislerp", {"models": ["a", "b", "a"]}, "listed twice"),
        ("low_rank", {"rank": 0}, "from 1 to"),
        ("low_rank", {"rank": 1.5}, "whole number"),
        ("nearswap", {"threshold": -0.1}, "from 0 to"),
        ("nearswap", {"threshold": None}, "threshold"),
        ("pick", {"ratio": 1.1}, "from 0 to 1"),
        ("pick", {"ratio": {"default": 0.5, "IN04": -1}}, "from 0 to 1"),
        ("tensor_sum", {"ratio": {"low": 0.5, "high": 1.5}}, "from 0 to 1"),
        ("tensor_sum", {"offset": 2}, "from 0 to 1"),
        ("clamp", {"models": ["a", "b"]}, "at least 3"),
        ("clamp", {"ratio": 0.5}, "ratio"),
        ("extract", {"gamma": -1}, "from 0 to"),
    ],
)
def test_what_an_argument_cannot_be_is_said(method, changes, said):
    with pytest.raises(BadInput) as refused:
        parse(STEPS[method] | {"method": method} | changes)
    assert said in str(refused.value)
