"""How far from the best a search ends, by sampler and number of trials.

    python -m benchmarks.dimensions [--seeds 20] [--gp 8] [--workers 2]

A study's answer is the trial with the least mean loss over its 16 prompts. Its regret is that trial's loss
over all prompts there might be, less the least that any search, or a descent from its answer, has found.
"""

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from benchmarks.dimensions.problems import PROBLEMS, PROMPTS, Problem, drawn
from gridsearch.search.samplers.by_name import make_sampler

TRIALS = (10, 20, 40, 80, 160)
MOST = {"gp": 40}  # its arithmetic grows with the cube of the trials: a second each here
SAMPLERS = ("random", "qmc", "tpe", "gp", "cmaes")
LEFT_OUT = {("blocks", "gp")}  # ten seconds a trial
CERTAIN = 0.05

Array = NDArray[np.float64]


def main(seeds: int, gp_seeds: int, workers: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{os.cpu_count()} cores, optuna {optuna.__version__}, {seeds} studies ({gp_seeds} with gp)")
    jobs = [
        (problem, sampler, seed)
        for problem in PROBLEMS
        for sampler in SAMPLERS
        if (problem, sampler) not in LEFT_OUT
        for seed in range(gp_seeds if sampler == "gp" else seeds)
    ]
    began = time.perf_counter()
    with ProcessPoolExecutor(workers) as pool:
        found = dict(zip(jobs, pool.map(answers, *zip(*jobs, strict=True)), strict=True))
    for problem in PROBLEMS:
        show(problem, {job[1:]: losses for job, losses in found.items() if job[0] == problem})
    print(f"{time.perf_counter() - began:.0f} s")


def answers(problem: str, sampler: str, seed: int) -> list[float]:
    """The true loss of a study's answer after each number of trials, and last of a descent from it."""
    of = PROBLEMS[problem](np.random.default_rng([seed, 0]))
    shifts, noise = drawn(PROMPTS, np.random.default_rng([seed, 1]))
    study = optuna.create_study()
    for number in range(MOST.get(sampler, TRIALS[-1])):
        study.sampler = make_sampler(sampler, seed, number, TRIALS[-1])
        trial = study.ask(dict(of.space))
        study.tell(trial, float(of.losses(trial.params, shifts, noise).mean()))
    best = [
        min(study.trials[:count], key=lambda trial: trial.value).params
        for count in TRIALS
        if count <= len(study.trials)
    ]
    return [of.true_loss(parameters) for parameters in best] + [descended(of, best[-1])]


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
    print("".join(["sampler ", *(f"{count:>8}" for count in TRIALS), "   better than random from"]))
    for sampler, values in ((name, np.array(rows)) for name, rows in regrets.items()):
        medians = "".join(f"{value:8.3f}" for value in np.median(values, axis=0))
        pays = pays_from(values, np.array(regrets["random"]))
        print(f"{sampler:8}{medians.ljust(8 * len(TRIALS))}   {pays}")


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
    parser.add_argument("--gp", type=int, default=8)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    main(asked.seeds, asked.gp, asked.workers)
