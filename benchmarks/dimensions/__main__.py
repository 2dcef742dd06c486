"""The distance from the best at which a search ends, by sampler and trials; and a race's false stops.

    python -m benchmarks.dimensions [--seeds 20] [--first 1000] [--problems NAME ...] [--samplers NAME ...]
    python -m benchmarks.dimensions --races 50

Studies have even seeds from 1000 on: `gp` was chosen on lower ones. "gp, right map" and the like know a
probe's map. A study's answer is the trial that ranks first over its 16 prompts. Its regret is that trial's
loss over all prompts there might be, less the least that a search, or a descent from the problem's best
values, has found. A race is wrong where it stops the truly best trial of a study, and this one survives for
all prompts.
"""

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import TrialState
from scipy.stats import wilcoxon

from benchmarks.dimensions.maps import RIGHT, map_of_problem
from benchmarks.dimensions.problems import ALL, PROBLEMS, PROMPTS, Problem, drawn
from gridsearch.experiment.tables import LOOK
from gridsearch.results import store
from gridsearch.results.shared.optuna_private import frozen
from gridsearch.score.score import SURVIVES, image_losses
from gridsearch.search.racing import Racing
from gridsearch.search.samplers.by_name import make_sampler
from gridsearch.search.samplers.gp import Gp
from gridsearch.search.trial.outcome import Outcome

TRIALS = (10, 20, 40, 80, 160)
MOST = {"gp": 40} | dict.fromkeys(RIGHT, 40)  # its arithmetic grows with the cube of the trials
SAMPLERS = ("random", "qmc", "tpe", "gp", *RIGHT, "cmaes")
RACED, RACES = 40, ("chain anywhere", "blocks anywhere")  # trials of a study that races, and the problems
CERTAIN = 0.05

Array = NDArray[np.float64]


def main(seeds: range, workers: int, problems: Sequence[str], samplers: Sequence[str]) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{os.cpu_count()} cores, optuna {optuna.__version__}, {len(seeds)} studies")
    jobs = [(problem, sampler, seed) for problem in problems for sampler in samplers for seed in seeds]
    began = time.perf_counter()
    with ProcessPoolExecutor(workers) as pool:
        found = dict(zip(jobs, pool.map(answers, *zip(*jobs, strict=True)), strict=True))
    for problem in problems:
        show(problem, {job[1:]: losses for job, losses in found.items() if job[0] == problem})
    print(f"{time.perf_counter() - began:.0f} s")


def answers(problem: str, sampler: str, seed: int) -> list[float]:
    """The true loss of a study's answer after each number of trials, and last the least there is."""
    of = PROBLEMS[problem](np.random.default_rng([seed, 2]))
    study = searched(of, sampler, seed, MOST.get(sampler, TRIALS[-1]))
    best = [
        min(study.trials[:count], key=lambda trial: trial.value).params
        for count in TRIALS
        if count <= len(study.trials)
    ]
    return [of.true_loss(parameters) for parameters in best] + [descended(of, nearest(of))]


def searched(of: Problem, sampler: str, seed: int, trials: int, races: bool = False) -> optuna.Study:
    """A study of so many trials, all drawn whole or, in a race, to where it stops them."""
    cases = drawn(PROMPTS, np.random.default_rng([seed, 3]))
    rng = np.random.default_rng([seed, 4])
    expected = map_of_problem(of, RIGHT[sampler], rng) if sampler in RIGHT else None
    study, racing = optuna.create_study(), Racing([f"p{case}" for case in range(PROMPTS)])
    for number in range(trials):
        study.sampler = make_sampler(sampler.split(",")[0], seed, number, TRIALS[-1])
        if isinstance(study.sampler, Gp) and expected:
            study.sampler = replace(study.sampler, expected=expected)
        trial = study.ask(dict(of.space))
        outcome = of.outcome(trial.params, cases)
        if races and (short := stopped(study, trial, outcome, racing)):
            trial.set_user_attr(store.SUMMARY, short.summary())
            study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_user_attr(store.SUMMARY, outcome.summary())
            study.tell(trial, outcome.value)
    return study


def stopped(study: optuna.Study, trial: optuna.Trial, whole: Outcome, racing: Racing) -> Outcome | None:
    """The images that a race draws of a trial; None where it draws them all."""
    losses = image_losses([row["verdict"] for row in whole.images], [row["defect"] for row in whole.images])
    for step, loss in enumerate(losses):
        trial.report(float(loss), step)
        drawn_so_far = step + 1
        if drawn_so_far % LOOK == 0 and racing.reason(study, frozen(trial)):
            return Outcome(whole.images[:drawn_so_far], {}, whole.cases)
    return None


def races(seeds: int, workers: int) -> None:
    """Print how often the truly best trial is stopped, and what share of the images is drawn."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    jobs = [
        (problem, sampler, seed)
        for problem in RACES
        for sampler in ("cmaes", "gp")
        for seed in range(0, 2 * seeds, 2)
    ]
    with ProcessPoolExecutor(workers) as pool:
        found = dict(zip(jobs, pool.map(race, *zip(*jobs, strict=True)), strict=True))
    for problem, sampler in dict.fromkeys(job[:2] for job in jobs):
        own = np.array([found[problem, sampler, seed] for seed in range(0, 2 * seeds, 2)])
        wrong, images = own.mean(0)
        print(
            f"{problem:16} {sampler:6} the best is stopped in {wrong:.1%}; {images:.0%} of the images drawn"
        )


def race(problem: str, sampler: str, seed: int) -> tuple[bool, float]:
    """Whether the truly best trial of a study, a survivor, was stopped; and the share of images drawn."""
    of = PROBLEMS[problem](np.random.default_rng([seed, 2]))
    trials = searched(of, sampler, seed, RACED, races=True).trials
    best = min(trials, key=lambda trial: of.true_loss(trial.params))
    images = sum(len(trial.intermediate_values) for trial in trials)
    survives = bool((of.judged(best.params, ALL)[0] == "ok").mean() >= SURVIVES)
    return survives and best.state == TrialState.PRUNED, images / (PROMPTS * RACED)


def nearest(of: Problem) -> dict:
    """The problem's best values, each on its step."""
    return {
        name: min(_values(of.space[name]), key=lambda one: _apart(one, value))
        for name, value in of.near.items()
    }


def _apart(one: object, other: object) -> float:
    return float(one != other) if isinstance(one, str) else abs(one - other)


def descended(of: Problem, parameters: Mapping) -> float:
    """The least loss that changing one parameter at a time leads to."""
    parameters, least = dict(parameters), of.true_loss(parameters)
    while True:
        before = least
        for name, distribution in of.space.items():
            for value in _values(distribution):
                other = parameters | {name: value}
                if (loss := of.true_loss(other)) < least:
                    parameters, least = other, loss
        if least == before:
            return least


def _values(distribution: optuna.distributions.BaseDistribution) -> Sequence:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return distribution.choices
    count = round((distribution.high - distribution.low) / distribution.step)
    return [distribution.low + i * distribution.step for i in range(count + 1)]


def show(problem: str, found: Mapping[tuple[str, int], list[float]]) -> None:
    """A row per sampler: the median regret, and from how many trials on it is surely below random's."""
    floor: dict[int, float] = {}
    for (_, seed), losses in found.items():
        floor[seed] = min(floor.get(seed, np.inf), *losses)
    regrets: dict[str, list] = {}
    for (sampler, seed), losses in found.items():
        regrets.setdefault(sampler, []).append(np.array(losses[:-1]) - floor[seed])
    print(f"\n{problem}: median regret after so many trials")
    print("".join(["sampler       ", *(f"{count:>8}" for count in TRIALS), "   better than random from"]))
    for sampler, values in ((name, np.array(rows)) for name, rows in regrets.items()):
        medians = "".join(f"{value:8.3f}" for value in np.median(values, axis=0))
        pays = pays_from(values, np.array(regrets["random"]))
        print(f"{sampler:14}{medians.ljust(8 * len(TRIALS))}   {pays}")


def pays_from(values: Array, random: Array) -> str:
    """The number of trials from which on the regret is below random's (Wilcoxon, paired by study)."""
    paid = "-"
    for i in reversed(range(values.shape[1])):
        differences = values[:, i] - random[: len(values), i]
        if not differences.any() or wilcoxon(differences, alternative="less").pvalue >= CERTAIN:
            return paid
        paid = str(TRIALS[i])
    return paid


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1000, help="the first study's seed")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS))
    parser.add_argument("--races", type=int, metavar="SEEDS")
    asked = parser.parse_args()
    if asked.races:
        races(asked.races, asked.workers)
    else:
        seeds = range(asked.first, asked.first + 2 * asked.seeds, 2)
        main(seeds, asked.workers, asked.problems, asked.samplers)
