"""Experiments that nothing is drawn of: a file's text, and one merge step of each method."""

from pathlib import Path

from gridsearch.experiment.experiment import Experiment, parse_experiment

GOOD = """
name = "bad"
[models]
base  = "{toy}/base.safetensors"
other = "{toy}/burnt.safetensors"
[[merge]]
models = ["base", "other"]
ratio = {{ low = 0.0, high = 1.0, step = 0.5 }}
[render]
prediction_type = "v_prediction"
config = "{toy}/config"
width = 64
height = 64
steps = 2
[[prompt]]
text = "a circle"
"""
STEPS = {
    "weighted_sum": {"models": ["a", "b"], "ratio": 0.5},
    "add_difference": {"models": ["a", "b", "c"], "ratio": 0.5},
    "average": {"models": ["a", "b", "c"]},
    "adapter": {"models": ["a", "x"], "ratio": 0.5},
    "slerp": {"models": ["a", "b"], "ratio": 0.5},
    "train_difference": {"models": ["a", "b", "c"], "ratio": 0.5},
    "cosine_a": {"models": ["a", "b"], "ratio": 0.5},
    "cosine_b": {"models": ["a", "b"], "ratio": 0.5},
    "ties": {"models": ["a", "b", "c"], "ratio": 0.5, "k": 0.5},
    "dare_ties": {"models": ["a", "b", "c"], "ratio": 0.5, "k": 0.5, "probability": 0.5},
    "della": {"models": ["a", "b", "c"], "ratio": 0.5, "k": 0.5, "probability": 0.5, "della_eps": 0.1},
    "model_stock": {"models": ["a", "b", "c"], "ratio": 0.5},
    "geometric_median": {"models": ["a", "b", "c"]},
}


def parse(step, **tables) -> Experiment:
    return parse_experiment(
        {
            "name": "x",
            "models": {name: f"{name}.safetensors" for name in ("a", "b", "c", "d")},
            "adapters": {name: f"{name}.safetensors" for name in ("x", "y")},
            "merge": [step],
            "prompt": [{"text": "t"}],
        }
        | tables,
        Path(),
        "x.toml",
    )
