"""The worth of a probe to `window` on simulated pairs of models, and the cost of a wrong one.

    python -m benchmarks.search.prior [STUDIES]

A right probe is off by as much as those of the toy's pairs are (`benchmarks.search.probe`): its window is
shifted by 0.15 of the true one's width and is as wide within a factor of 1.3 (both standard deviations). A
wrong one expects a window of the same kind anywhere. An earlier study drew other prompts, with `window`: of
the same pair; of one that has a single model in common, whose window is shifted by as much as it is wide (the
two of the toy that have their base in common are best at 0.45 and 0.90, with a window 0.45 wide) and is as
wide within a factor of 1.3; or of any pair.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from tempfile import TemporaryDirectory

import numpy as np
import optuna

from benchmarks.search.curve import draw_cases, draw_curve, render
from benchmarks.search.study import Log, Problem, experiment_for, problem
from gridsearch.results.analysis.probe import FAILS
from gridsearch.score.score import SURVIVES, image_losses
from gridsearch.search.budget import Budget
from tests.helpers.searching import search_with

SHIFT, FACTOR = 0.15, 1.3
PROBED = np.linspace(0, 1, 21)
AFTER = (1, 2, 3, 5, 8, 11)  # trials
KINDS = ("none", "right", "wrong", "earlier, same models", "earlier, one model", "earlier, others")


def probe(kind: str, of: Problem, rng: np.random.Generator) -> dict | None:
    """Return the answers as a study keeps them; None for none."""
    if kind == "none":
        return None
    width, low = of.curve.width, of.curve.low
    if kind.startswith("earlier"):
        return earlier(kind, of, rng)
    if kind == "wrong":
        low = rng.uniform(0, 1 - width)
    middle = low + width / 2 + rng.normal(0, SHIFT * width)
    half = width / 2 * FACTOR ** rng.normal()
    off = FAILS * np.minimum(np.abs(PROBED - middle) / half, 3)
    return {"ratios": PROBED.tolist(), "error": off.tolist(), "spread": [1.0] * len(off)}


def earlier(kind: str, of: Problem, rng: np.random.Generator) -> dict:
    """Return the curve that an earlier study drew, as a study keeps it."""
    curve = of.curve
    if kind == "earlier, others":
        curve = draw_curve(rng)
    elif kind == "earlier, one model":
        width = float(np.clip(curve.width * FACTOR ** rng.normal(), 0.02, 0.2))
        low = float(np.clip(curve.low + rng.choice([-1, 1]) * curve.width, 0.0, 1 - width))
        curve = replace(draw_curve(rng), low=low, width=width)
    log = searched(replace(of, curve=curve, cases=draw_cases(curve, len(of.cases), 1, rng)), None)
    losses = {
        ratio: float(image_losses(log.images[ratio].verdicts[drawn], log.images[ratio].defects[drawn]).mean())
        for ratio, drawn in sorted(log.drawn.items())
    }
    kept = {"ratios": [*losses], "losses": [*losses.values()]}
    return kept | {"study": kind, "shared": [], "differs": []}


def searched(of: Problem, answers: dict | None) -> Log:
    """Search a simulated pair with `window`, which is told these answers."""
    log = Log(of)
    order = [f"p{case}_s0" for case in of.order]
    experiment = experiment_for("window", of.seed, len(of.cases))
    asked = experiment.search.model_copy(update={"probe": "error" in (answers or {})})
    with TemporaryDirectory() as folder:
        study = optuna.create_study(storage=f"sqlite:///{folder}/study.db")
        study.set_user_attr("facts", {"probe": answers})
        search_with(
            study,
            experiment.model_copy(update={"search": asked}),
            order,
            Budget(),
            log.evaluate,
            log.told,
            lambda: None,
        )
    return log


def lines(studies: int) -> Iterator[str]:
    yield "loss above the least after " + "".join(f"{n:7}" for n in AFTER) + "     end  renders  found"
    for kind in KINDS:
        lost, renders, found = [], [], 0
        for seed in range(studies):
            of = problem(seed, 16)
            log = searched(of, probe(kind, of, np.random.default_rng([seed, 9])))
            every = [mean_loss(of, ratio) for ratio in np.linspace(0, 1, 101)]
            own = [mean_loss(of, ratio) for ratio in log.drawn]
            so_far = np.minimum.accumulate(own) - min(every)
            lost.append([*(so_far[min(n, len(own)) - 1] for n in AFTER), so_far[-1]])
            renders.append(log.renders / (101 * 16))
            found += any(_survives(of, ratio) for ratio in log.drawn)
        means = "".join(f"{value:7.3f}" for value in np.mean(lost, 0))
        yield f"{kind:<26} {means}  {np.mean(renders):7.1%}  {found / studies:.0%}"


def mean_loss(of: Problem, ratio: float) -> float:
    images = render(of.curve, of.cases, round(float(ratio), 10), of.seed)
    return float(image_losses(images.verdicts, images.defects).mean())


def _survives(of: Problem, ratio: float) -> bool:
    return float((render(of.curve, of.cases, ratio, of.seed).verdicts == "ok").mean()) >= SURVIVES


def main() -> None:
    for line in lines(int(sys.argv[1]) if sys.argv[1:] else 40):
        print(line, flush=True)


if __name__ == "__main__":
    main()
