"""A search that draws nothing: its images' rows are made up, of twelve prompts, in rungs."""

from pathlib import Path

from gridsearch.experiment.experiment import parse_experiment
from gridsearch.results import store
from gridsearch.search.budget import Budget
from gridsearch.search.trial.outcome import Batch
from tests.helpers.searching import search_with

ORDER = [f"p{i}_s1" for i in range(1, 13)]


def row(defect, prompt="p1", verdict="ok", dial=0.0):
    """An image's row, as far as a search looks at it."""
    seen = {"verdict": verdict, "defect": defect, "dial": dial}
    return {"prompt_id": prompt, "prompt": "t", "seed": 1, "file": "images/x.png"} | seen


def experiment(prompts=12, step=0.05, **search_table):
    return parse_experiment(
        {
            "name": "x",
            "models": {"a": "a.safetensors", "b": "b.safetensors"},
            "merge": [{"models": ["a", "b"], "ratio": {"low": 0.0, "high": 1.0, "step": step}}],
            "prompt": [{"text": f"text {i}"} for i in range(prompts)],
            "search": {"sampler": "random", "trials": 10} | search_table,
        },
        Path(),
        "x",
    )


def facts_of(what, order=ORDER, **more) -> store.Facts:
    return store.Facts(
        what.model_dump(mode="json"), {}, {}, None, what.search.trials or 0, {}, "x.toml", order=order, **more
    )


def painted(ratio: float, case: str) -> dict:
    """A curve with a window from .29 to .71, and prompts that differ a little."""
    shift = 0.01 * (hash_of(case) % 5 - 2)
    distance = abs(ratio - 0.5 - shift)
    verdict = "ok" if distance < 0.21 else "blank" if ratio < 0.5 else "burnt"
    defect = 4 * distance if verdict == "ok" else 5 + distance
    dial = 10 * (ratio - 0.5 - shift)
    return row(defect, case.split("_")[0], verdict, dial) | {"blur": 1 + ratio, "noise": 2 - ratio}


def hash_of(case: str) -> int:
    return int(case.removeprefix("p").split("_")[0])


class Painter:
    """Draws in rungs of `size`, counts what it draws, and is killed where it is told to be."""

    def __init__(self, order=ORDER, size=4, kill_after=None, paint=painted):
        self.order, self.size, self.kill_after, self.paint = order, size, kill_after, paint
        self.drawn: list[tuple[float, str]] = []

    def __call__(self, number, parameters, done):
        missing = [case for case in self.order if case not in done]
        for start in range(0, len(missing), self.size):
            rung = missing[start : start + self.size]
            for case in rung:
                if len(self.drawn) == self.kill_after:
                    raise KeyboardInterrupt
                self.drawn.append((parameters["ratio"], case))
            yield Batch([self.paint(parameters["ratio"], case) for case in rung], {"render": 1.0})


def searched(folder, what, painter, order=ORDER):
    if not store.has_study(folder):
        store.write_study(folder, facts_of(what, order))
    told = []
    with store.open_study(folder) as study:
        search_with(study, what, order, Budget(), painter, told.append)
    return told
