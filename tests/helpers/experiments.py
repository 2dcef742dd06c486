"""Experiments that nothing is drawn of: a file's text, and one merge step of each method."""

import tomllib
from pathlib import Path

from gridsearch.experiment.experiment import Experiment, load_experiment, parse_experiment
from tests.docs.pages import REPOSITORY

HEAD = """
name = "x"
[models]
a = "a.safetensors"
b = "b.safetensors"
[[merge]]
models = ["a", "b"]
ratio = [0.2, 0.4]
"""
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
    "dare_linear": {"models": ["a", "b"], "ratio": 0.5, "probability": 0.5},
    "breadcrumbs": {"models": ["a", "b"], "ratio": 0.5, "drop_smallest": 0.2, "drop_largest": 0.2},
    "breadcrumbs_ties": {"models": ["a", "b", "c"], "ratio": 0.5, "drop_smallest": 0.2},
    "sce": {"models": ["a", "b", "c"], "ratio": 0.5, "k": 0.5},
    "karcher": {"models": ["a", "b", "c"]},
    "multislerp": {"models": ["a", "b", "c"]},
    "add_perpendicular": {"models": ["a", "b", "c"], "ratio": 0.5},
    "isotropic": {"models": ["a", "b"], "ratio": 0.5},
    "low_rank": {"models": ["a", "b"], "ratio": 0.5, "rank": 8},
    "nearswap": {"models": ["a", "b"], "ratio": 0.5, "threshold": 0.01},
    "pick": {"models": ["a", "b"], "ratio": 0.5},
    "tensor_sum": {"models": ["a", "b"], "ratio": 0.5, "offset": 0.1},
    "top_k_tensor_sum": {"models": ["a", "b"], "ratio": 0.5, "offset": 0.1},
    "clamp": {"models": ["a", "b", "c"], "stiffness": 0.5},
    "smooth_add": {"models": ["a", "b", "c"], "ratio": 0.5},
    "extract": {"models": ["a", "b", "c"], "ratio": 0.5, "differing": 0.5, "gamma": 2.0},
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


def load(folder: Path, *prompts: str, render: str = "", more: str = "") -> Experiment:
    """An experiment's file in that folder, read: its prompts, its settings, and other tables."""
    tables = "".join(f"\n[[prompt]]\n{prompt}\n" for prompt in prompts)
    (folder / "x.toml").write_text(f"{HEAD}\n[render]\n{render}\n{more}{tables}", "utf-8")
    return load_experiment(folder / "x.toml")


def documented(heading: str = "", page: str = "recipes.md", **tables) -> Experiment:
    """The first example under that heading of a page, with the tables that it leaves out."""
    text = (REPOSITORY / "docs" / page).read_text("utf-8")
    example = text[text.index(heading) :].split("```toml\n")[1].split("```")[0]
    whole = tomllib.loads(example) | {"name": "x", "prompt": [{"text": "t"}]} | tables
    return parse_experiment(whole, Path(), "x")
