"""Simulated studies: what a search renders. All but the pictures is the real thing: study, sampler, race."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import optuna
from numpy.typing import NDArray

from benchmarks.search.curve import Cases, Curve, Rendered, draw_cases, draw_curve, render
from gridsearch.experiment.experiment import Experiment, parse_experiment
from gridsearch.experiment.tables import LOOK
from gridsearch.search.budget import Budget
from gridsearch.search.evaluate import Told
from gridsearch.search.trial.outcome import Batch
from tests.helpers.searching import search_with

STEP = 0.01
RATIOS = tuple(round(STEP * i, 2) for i in range(round(1 / STEP) + 1))
LEADERS, HELD_OUT = 3, 4  # confirmed on so many cases of other prompts each; one trial is repeated besides
REPEATS = 5  # in a row: nothing new is to be expected
NAMES = ("exhaustive", "window", "random", "tpe")


@dataclass(frozen=True)
class Problem:
    """One simulated pair of models with its cases."""

    curve: Curve
    cases: Cases
    order: NDArray[np.int64]  # in which the cases are drawn
    seed: int


@dataclass(frozen=True)
class Found:
    """The images that a search has seen: a row per trial, a column per case; not drawn is "" and NaN."""

    ratios: NDArray[np.float64]
    verdicts: NDArray[np.str_]
    defects: NDArray[np.float64]
    prompts: NDArray[np.int64]
    renders: int


@dataclass  # not frozen: a study is logged as it goes
class Log:
    """Grows with every image; a ratio that was tried before draws nothing and only counts as a repeat."""

    of: Problem
    images: dict[float, Rendered] = field(default_factory=dict)
    drawn: dict[float, NDArray[np.bool_]] = field(default_factory=dict)
    repeats: int = 0

    def evaluate(self, number: int, parameters: Mapping, done: Collection[str]) -> Iterator[Batch]:
        """Draw the cases in batches, in the study's order."""
        ratio = parameters["ratio"]
        order = [case for case in self.of.order if f"p{case}_s0" not in done]
        self.images[ratio] = render(self.of.curve, self.of.cases, ratio, self.of.seed)
        self.drawn.setdefault(ratio, np.zeros(len(self.of.cases), dtype=bool))
        self.repeats = -1
        for start in range(0, len(order), LOOK):
            batch = order[start : start + LOOK]
            self.drawn[ratio][batch] = True
            yield Batch([self._row(ratio, case) for case in batch], {})

    def _row(self, ratio: float, case: int) -> dict:
        images = self.images[ratio]
        judged = {"verdict": str(images.verdicts[case]), "defect": float(images.defects[case])}
        return judged | {"prompt_id": f"p{case}", "seed": 0, "dial": float(images.dials[case])}

    def told(self, _: Told) -> None:
        self.repeats += 1

    @property
    def renders(self) -> int:
        return sum(int(drawn.sum()) for drawn in self.drawn.values())

    def spent(self, renders: int | None) -> str | None:
        """So much has been drawn, or the sampler has settled on ratios that it has tried."""
        done = renders is not None and (self.renders >= renders or self.repeats >= REPEATS)
        return "enough" if done else None


def problem(seed: int, prompts: int, seeds: int = 1, width: float | None = None) -> Problem:
    rng = np.random.default_rng([seed, 0])
    curve = draw_curve(rng, width)
    cases = draw_cases(curve, prompts, seeds, rng)
    return Problem(curve, cases, np.random.default_rng([seed, 2]).permutation(len(cases)), seed)


def search(name: str, of: Problem, renders: int | None = None) -> Found:
    """Search by name; all but `exhaustive` and `window` go on until they have drawn `renders`."""
    log = Log(of)
    if name == "exhaustive":  # every ratio with every case: nothing is left to decide
        for ratio in RATIOS:
            log.images[ratio] = render(of.curve, of.cases, ratio, of.seed)
            log.drawn[ratio] = np.ones(len(of.cases), dtype=bool)
        return _found(log, 0)
    checks = LEADERS * HELD_OUT + min(LOOK, len(of.cases))  # a repeat that is the same ends so soon
    enough = partial(log.spent, None if renders is None else renders - checks)
    order = [f"p{case}_s0" for case in of.order]
    experiment = experiment_for(name, of.seed, len(of.cases))
    with TemporaryDirectory() as folder:
        study = optuna.create_study(storage=f"sqlite:///{folder}/study.db")
        search_with(
            study,
            experiment,
            order,
            Budget(),
            log.evaluate,
            log.told,
            enough,
        )
    return _found(log, checks)


def experiment_for(name: str, seed: int, cases: int) -> Experiment:
    """As a user writes it; of so many prompts none is held out."""
    trials = {} if name == "window" else {"trials": len(RATIOS) * 100}
    merge = {"models": ["a", "b"], "ratio": {"low": 0.0, "high": 1.0, "step": STEP}}
    return parse_experiment(
        {
            "name": "simulated",
            "models": {"a": "a.safetensors", "b": "b.safetensors"},
            "merge": [merge],
            "prompt": [{"text": f"simulated {number}"} for number in range(cases)],
            "search": {"sampler": name, "seed": seed, "held_out": 0} | trials,
        },
        Path(),
        "simulated",
    )


def _found(log: Log, checks: int) -> Found:
    ratios = sorted(log.images)
    drawn = [log.drawn[ratio] for ratio in ratios]
    images = [log.images[ratio] for ratio in ratios]
    return Found(
        ratios=np.array(ratios),
        verdicts=np.array([np.where(d, i.verdicts, "") for d, i in zip(drawn, images, strict=True)]),
        defects=np.array([np.where(d, i.defects, np.nan) for d, i in zip(drawn, images, strict=True)]),
        prompts=log.of.cases.prompts,
        renders=log.renders + checks,
    )
