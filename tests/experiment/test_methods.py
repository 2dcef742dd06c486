"""The table of merge methods: one is added in two files, and every part that follows from it knows it."""

import pickle

import pytest

from tests.helpers.edited import answer_of, edited_package
from tests.helpers.experiments import STEPS, parse

ROW = '    "midpoint": _method(Two, RATIO, FIRST_AND_SECOND),'
FUNCTION = """

def midpoint(a: Tensor, b: Tensor, ratio: float) -> Tensor:
    return torch.where(a * b > 0, b, torch.lerp(a, b, ratio))
"""
EDITS = (
    ("experiment/methods.py", '    "cosine_b": _method(Two, RATIO, NONE, "add_cosine_b"),', ROW),
    ("merge/engine/evaluate.py", '    return _sd_mecha("geometric_median")(*tensors)', FUNCTION),
    ("merge/engine/evaluate.py", '    "slerp": slerp,', '    "midpoint": midpoint,'),
)
CODE = """
import json
from pathlib import Path

import torch

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import parse_experiment
from gridsearch.merge.engine.evaluate import FUNCTIONS

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


def test_a_merge_method_is_added_in_two_files(tmp_path):
    found = answer_of(edited_package(tmp_path, EDITS), CODE)
    assert found["searched"] == ["ratio"]
    assert found["merged"] == [3.0, -1.0]
    assert not found["linear"]
    assert "strength" in found["refused"]
    assert "midpoint" in found["misspelt"]


@pytest.mark.parametrize("method", STEPS)
def test_a_step_can_be_sent_to_another_process(method):
    (step,) = parse(STEPS[method] | {"method": method}).merge
    again = pickle.loads(pickle.dumps(step))
    assert type(again) is type(step)
    assert again == step
