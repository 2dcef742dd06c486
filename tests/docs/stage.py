"""A working folder in which what the documentation tells a reader to do can be done in seconds.

The models that its experiments name are the toy's, under those names. The experiments are the documentation's
own, first checked as they stand, then made small: the toy's components, two steps, 64 px, three values of
what is searched, one seed of two prompts.
"""

import json
import shutil
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from gridsearch.experiment.experiment import parse_experiment
from tests.docs.pages import REPOSITORY

TOY = REPOSITORY / "experiments" / "toy"
WHOLE = {"name", "models", "merge", "prompt"}  # a file without one of them is a part of an experiment
# A night that a page may begin after, with its two models.
NIGHT = """
name = "night"
[models]
evo = "models/evo.safetensors"
vpred = "models/vpred.safetensors"
[[merge]]
models = ["evo", "vpred"]
ratio = { low = 0.0, high = 1.0, step = 0.5 }
[render]
prediction_type = "v_prediction"
[[prompt]]
text = "a circle"
[[prompt]]
text = "a star"
[search]
sampler = "grid"
"""
RATIO = {"low": 0.0, "high": 1.0, "step": 0.5}


def prepare(folder: Path) -> None:
    """The repository as a reader has it, with its experiments made small."""
    (folder / "experiments").mkdir(parents=True)
    (folder / "experiments" / "toy").symlink_to(TOY)
    for file in (REPOSITORY / "experiments").glob("*.toml"):
        data = tomllib.loads(file.read_text())
        put_files(data, folder)  # for the copy that a reader makes of the example
        put_files(data, folder / "experiments")
        (folder / "experiments" / file.name).write_text(to_toml(small(data)))
    put_experiment(NIGHT, folder / "night.toml")
    (folder / "models" / "config").symlink_to(TOY / "config")


def put_experiment(text: str, file: Path) -> None:
    """Check an experiment as it is written, and lay it down made small.

    Raises:
        BadInput: a reader could not run it.
    """
    data = tomllib.loads(text)
    put_files(data, file.parent)
    parse_experiment(data, file.parent, file)
    file.write_text(to_toml(small(data)))


def made_small(file: Path) -> None:
    """Leave as little to draw as there can be in an experiment that the program wrote."""
    file.write_text(to_toml(small(tomllib.loads(file.read_text("utf-8")))), "utf-8")


def check_part(text: str, folder: Path) -> None:
    """Check a part of an experiment within one that is whole.

    Raises:
        BadInput: a key or a value in it is wrong.
    """
    data = completed(tomllib.loads(text))
    put_files(data, folder)
    parse_experiment(data, folder, "the page")


def completed(part: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment around a part of one: its models are those that it speaks of."""
    whole: dict[str, Any] = {
        "name": "part",
        "merge": [{"models": ["evo", "vpred"], "ratio": RATIO}],
        "prompt": [{"text": "a circle"}],
    } | deepcopy(dict(part))
    if "recipe" in whole:
        del whole["merge"]
        return whole
    known = {step["name"] for step in whole["merge"] if "name" in step} | set(whole.get("adapters", {}))
    spoken_of = set(whole.get("score", {}).get("references", ())) | {"evo", "vpred"}
    for step in whole["merge"]:
        for place in step["models"]:
            spoken_of |= {place} if isinstance(place, str) else set(place)
    there = whole.setdefault("models", {})
    there |= {name: f"models/{name}.safetensors" for name in spoken_of - known - set(there)}
    whole.setdefault("render", {}).setdefault("prediction_type", "v_prediction")
    return whole


def put_files(data: Mapping[str, Any], folder: Path) -> None:
    """The toy's checkpoints, and prompts, where an experiment says that files are."""
    for model in data.get("models", {}).values():
        named = (
            [model] if isinstance(model, str) else [v for key, v in model.items() if key != "prediction_type"]
        )
        for path in (folder / name for name in named):
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(TOY / f"{'vpred' if path.stem.startswith('v') else 'base'}.safetensors")
    for prompt in data.get("prompt", ()):
        file = folder / prompt.get("file", "*")
        if "*" not in file.name and not file.exists():
            file.write_text("a circle\na star\n")


def small(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same experiment, with the toy's components and as little to draw as there can be."""
    made = _few(dict(data))
    made["render"] = made.get("render", {}) | {
        "config": str(TOY / "config"),
        "width": 64,
        "height": 64,
        "steps": 2,
    }
    own = [prompt for prompt in made["prompt"] if not prompt.get("held_out")][:2]
    apart = [prompt for prompt in made["prompt"] if prompt.get("held_out")][:1]
    made["prompt"] = [prompt | {"seeds": prompt.get("seeds", [0])[:1]} for prompt in own + apart]
    search = made.get("search", {})
    if "trials" in search:
        made["search"] = search | {"trials": 3}
    return made


def _few(value: Any) -> Any:
    """Ranges have three values, wherever they are."""
    if isinstance(value, list):
        return [_few(item) for item in value]
    if not isinstance(value, dict):
        return value
    if {"low", "high"} <= set(value):
        return value | {"step": (value["high"] - value["low"]) / 2}
    return {key: _few(item) for key, item in value.items()}


def to_toml(data: Mapping[str, Any]) -> str:
    """Every key on a line, tables within it inline."""
    return "".join(f"{_inline(key)} = {_inline(value)}\n" for key, value in data.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_inline(k)} = {_inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def put_results(folder: Path, finished: Path) -> None:
    """A finished run under the name that a page calls it by."""
    if not folder.exists():
        shutil.copytree(finished, folder)
