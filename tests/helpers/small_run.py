"""A small run on the toy checkpoints: its settings, its experiment, and a listener that says nothing."""

from pathlib import Path

from gridsearch.experiment.experiment import parse_experiment
from gridsearch.merge.parents import open_parents
from gridsearch.results.store import Facts
from tests.helpers import program

FILE = Path("x.toml")
TIMES = ["seconds_merge", "seconds_render", "seconds_score", "started", "finished"]


class Quiet:
    """Listens to a run and says nothing."""

    def __getattr__(self, name):
        return lambda *_: lambda *_: None


class Noting(Quiet):
    """Keeps the notes that it is told."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def settings(toy: Path, **changes) -> dict:
    return {
        "name": "small",
        "models": {"base": str(toy / "base.safetensors"), "burnt": str(toy / "burnt.safetensors")},
        "merge": [{"models": ["base", "burnt"], "ratio": {"low": 0.0, "high": 1.0, "step": 0.25}}],
        "render": {
            "prediction_type": "v_prediction",
            "config": str(toy / "config"),
            "width": 64,
            "height": 64,
            "steps": 2,
        },
        "score": {"references": ["base"]},
        "prompt": [{"text": "a circle", "seeds": [1, 2]}, {"text": "a star", "seeds": [1]}],
    } | changes


def experiment(toy: Path, **changes):
    return parse_experiment(settings(toy, **changes), Path(), "test")


def gridsearch(*arguments):
    done = program.gridsearch(*arguments)
    assert done.returncode == 0, done.stderr
    return done


def facts(toy, search=None, render=None) -> Facts:
    """What a run of the toy keeps, as far as it is compared."""
    table = settings(toy) | ({"search": search} if search else {})
    table["render"] = table["render"] | (render or {})
    what = parse_experiment(table, Path(), "test")
    models = {
        name: {"short_hash": name, "prediction_type": p.type, "zero_terminal_snr": p.zero_terminal_snr}
        for name, p in open_parents(what).predictions.items()
    }
    drawing = {"on": "cpu float32", "components": "c0", "version": 2}
    return Facts(what.model_dump(mode="json"), models, {}, None, 5, drawing, "x.toml")
