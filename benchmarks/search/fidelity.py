"""Do cheap renders put the ratios in the order of whole ones? Fewer steps, fewer prompts, latents alone.

    python -m benchmarks.search.fidelity FOLDER

FOLDER holds the grids that `python -m benchmarks.search.probe FOLDER` draws. Each cheap way is compared with
the mean loss of all images of a ratio, by Spearman's rank correlation over the ratios: of all, and of those
that survive, where the order decides the answer. Fewer prompts are the same images, but fewer of them.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.quiet import Quiet
from benchmarks.search.probe import pairs
from gridsearch.experiment.experiment import Experiment
from gridsearch.merge.parents import open_parents
from gridsearch.render.cases import Case
from gridsearch.render.draw import Rendered, draw
from gridsearch.results import store
from gridsearch.score.measure import measure
from gridsearch.score.score import SURVIVES, image_losses
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import Setup, load_setup, merge_over, merge_parent, with_references
from gridsearch.search.trial.standard import scored_row

NAMES = ("toy", "sound", "flow", "guided", "sd15")
STEPS = (5, 10)  # of 20
FEW = (2, 4, 8)  # prompts, an image each
LUCK = 50  # choices of few prompts, whose correlations are averaged


def lines(name: str, experiment: Experiment, folder: Path) -> Iterator[str]:
    stored = store.read_study(folder)
    setup = load_setup(experiment, open_parents(experiment), folder, Quiet())
    setup = with_references(setup, stored.facts.references or [])
    (parameter,) = experiment.searched()
    trials = sorted(stored.trials, key=lambda trial: trial.params[parameter])
    whole = np.array([trial.user_attrs[store.SUMMARY]["loss"] for trial in trials])
    alive = np.array([trial.user_attrs[store.SUMMARY]["survived"] >= SURVIVES for trial in trials])
    images = [{row["prompt_id"]: row for row in store.images_of(trial)} for trial in trials]
    for few in FEW:
        found = [_few_prompts(images, few, seed) for seed in range(LUCK)]
        yield _line(name, f"{few} prompts, {setup.experiment.render.steps} steps", found, whole, alive)
    first = {case.prompt_id: case for case in reversed(setup.cases)}
    for steps in STEPS:
        drawn = [_drawn(setup, {parameter: t.params[parameter]}, [*first.values()], steps) for t in trials]
        losses = np.array([_loss(setup, images) for images in drawn])
        yield _line(name, f"{len(first)} prompts, {steps} steps", [losses], whole, alive)
        own = _own_spread(setup, [*first.values()])
        off = np.array([abs(np.log(_spread(images) / own)) for images in drawn])
        yield _line(name, f"{len(first)} prompts, {steps} steps, spread of latents", [off], whole, alive)


def _few_prompts(images: list[dict], few: int, seed: int) -> np.ndarray:
    """The mean loss of each ratio over a few of its prompts, an image each."""
    prompts = sorted(images[0])
    chosen = np.random.default_rng(seed).choice(prompts, min(few, len(prompts)), replace=False)
    rows = [[own[prompt] for prompt in chosen] for own in images]
    return np.array([_mean_loss(own) for own in rows])


def _mean_loss(rows: list[dict]) -> float:
    return float(image_losses([row["verdict"] for row in rows], [row["defect"] for row in rows]).mean())


def _drawn(setup: Setup, parameters: dict, cases: list[Case], steps: int) -> list[Rendered]:
    recipe = setup.experiment.at(parameters)
    merge_over(setup, setup.weights.terms(recipe), recipe)
    sampling = replace(sampling_of(recipe.render, setup.parents.of(recipe)), steps=steps)
    return list(draw(setup.renderer, cases, sampling))


def _loss(setup: Setup, images: list[Rendered]) -> float:
    """The mean loss of images, by the bands of the whole run's references."""
    plain = {"scorers": {}, "unscored": {}}
    rows = [
        plain | {"prompt_id": one.case.prompt_id, "seed": one.case.seed, "finite": one.finite}
        for one in images
    ]
    scored = [
        scored_row(setup.standard, row, measure(one.pixels))[0] for row, one in zip(rows, images, strict=True)
    ]
    return _mean_loss(scored)


def _own_spread(setup: Setup, cases: list[Case]) -> float:
    """The spread of the latents that a reference's own model ends with."""
    sampling = merge_parent(setup, setup.experiment.reference_models()[0])
    return _spread(list(draw(setup.renderer, cases, sampling)))


def _spread(images: list[Rendered]) -> float:
    """The geometric mean of the standard deviations of the last latents, of all images and channels."""
    return float(np.exp(np.mean([np.log(one.trace.std[-1]) for one in images])))


def _line(pair: str, way: str, found: list[np.ndarray], whole: np.ndarray, alive: np.ndarray) -> str:
    every = np.mean([spearmanr(one, whole)[0] for one in found])
    among = np.mean([spearmanr(one[alive], whole[alive])[0] for one in found])
    lost = np.mean([whole[one.argmin()] for one in found]) - whole.min()
    return f"{pair:<9} {way:<42} {every:8.2f} {among:13.2f} {lost:10.3f}"


def main() -> None:
    folder, known = Path(sys.argv[1]), pairs()
    print(f"{'pair':<9} {'way':<42} Spearman  of survivors  loss lost", flush=True)
    for name in NAMES:
        for line in lines(name, known[name], folder / name):
            print(line, flush=True)


if __name__ == "__main__":
    main()
