"""Simulated studies: what a search renders, on a real Optuna study with its real sampler."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from benchmarks.search.curve import Cases, Curve, Rendered, draw_cases, draw_curve, render
from benchmarks.search.race import Race, run_race
from gridsearch.loss import image_losses
from gridsearch.search.window_sampler import SUMMARY, WindowSampler

STEP = 0.01
RATIOS = tuple(round(STEP * i, 2) for i in range(round(1 / STEP) + 1))
LEADERS, HELD_OUT = 3, 4  # confirmed on so many cases of other prompts each; one trial is repeated besides
REPEATS = 5  # in a row: nothing new is to be expected
NAMES = ("exhaustive", "window", "random", "tpe", "gp")


@dataclass(frozen=True)
class Problem:
    """One simulated pair of models with its cases."""

    curve: Curve
    cases: Cases
    seed: int


@dataclass(frozen=True)
class Found:
    """What a search has seen: a row per trial, a column per case; not drawn is "" and NaN."""

    ratios: NDArray[np.float64]
    verdicts: NDArray[np.str_]
    defects: NDArray[np.float64]
    prompts: NDArray[np.int64]
    renders: int


@dataclass  # not frozen: a study is logged as it goes
class Log:
    """Grows with every trial; the same ratio again draws nothing and only counts as a repeat."""

    rows: list[tuple[float, Rendered, NDArray[np.bool_]]] = field(default_factory=list)
    repeats: int = 0

    def add(self, ratio: float, images: Rendered, drawn: NDArray[np.bool_]) -> None:
        if any(ratio == earlier for earlier, _, _ in self.rows):
            self.repeats += 1
            return
        self.rows.append((ratio, images, drawn))
        self.repeats = 0

    @property
    def renders(self) -> int:
        return sum(int(drawn.sum()) for _, _, drawn in self.rows)

    def spent(self, renders: int) -> bool:
        """So much has been drawn, or the sampler has settled on ratios that it has tried."""
        return self.renders >= renders or self.repeats >= REPEATS


def problem(seed: int, prompts: int, seeds: int = 1, width: float | None = None) -> Problem:
    rng = np.random.default_rng([seed, 0])
    curve = draw_curve(rng, width)
    return Problem(curve, draw_cases(curve, prompts, seeds, rng), seed)


def search(name: str, of: Problem, renders: int | None = None) -> Found:
    """Search by name; all but `exhaustive` and `window` go on until they have drawn `renders`."""
    if name == "exhaustive":
        return exhaustive(of)
    checks = LEADERS * HELD_OUT + len(of.cases)
    racing = name != "gp"  # a Gaussian process learns from whole trials only
    sampler = _sampler(name, of.seed)
    log = Log()
    enough = sampler.done if name == "window" else lambda _: log.spent(renders - checks)
    run_study(of, sampler, racing, log, enough)
    return _found(log, of, checks)


def exhaustive(of: Problem) -> Found:
    """Every ratio with every case, without a study: nothing is left to decide."""
    log = Log()
    everything = np.ones(len(of.cases), dtype=bool)
    log.rows += [(ratio, render(of.curve, of.cases, ratio, of.seed), everything) for ratio in RATIOS]
    return _found(log, of, 0)


def run_study(
    of: Problem, sampler: BaseSampler, racing: bool, log: Log, enough: Callable[[optuna.Study], bool]
) -> None:
    """Ask, race, tell, until it is enough."""
    order = np.random.default_rng([of.seed, 2]).permutation(len(of.cases))
    race = Race(order, gate=racing, worse=racing)
    study = optuna.create_study(sampler=sampler, pruner=optuna.pruners.NopPruner())
    best: tuple[float, NDArray[np.float64]] | None = None
    while not enough(study):
        trial = study.ask()
        ratio = round(trial.suggest_float("ratio", 0.0, 1.0, step=STEP), 10)
        images = render(of.curve, of.cases, ratio, of.seed)
        losses = image_losses(images.verdicts, images.defects)
        count = run_race(race, losses, best[1] if best else None)
        drawn = np.zeros(len(losses), dtype=bool)
        drawn[order[:count]] = True
        log.add(ratio, images, drawn)
        partial = count < len(losses)
        mean = float(losses[drawn].mean())
        summary = {
            "survived": float((losses[drawn] < 1).mean()),
            "dial": float(np.median(images.dials[drawn])),
            "loss": mean,
            "partial": partial,
        }
        trial.set_user_attr(SUMMARY, summary)
        if partial:
            study.tell(trial, state=TrialState.PRUNED)
            continue
        study.tell(trial, mean)
        if best is None or mean < best[0]:
            best = mean, losses


def _sampler(name: str, seed: int) -> BaseSampler:
    samplers = {"random": RandomSampler, "tpe": TPESampler, "gp": GPSampler}
    return WindowSampler("ratio", seed=seed) if name == "window" else samplers[name](seed=seed)


def _found(log: Log, of: Problem, checks: int) -> Found:
    rows = sorted(log.rows, key=lambda row: row[0])
    return Found(
        ratios=np.array([ratio for ratio, _, _ in rows]),
        verdicts=np.array([np.where(drawn, images.verdicts, "") for _, images, drawn in rows]),
        defects=np.array([np.where(drawn, images.defects, np.nan) for _, images, drawn in rows]),
        prompts=of.cases.prompts,
        renders=log.renders + checks,
    )
