"""Twenty blocks of the toy, really drawn: what `gp` finds in 40 trials, and `cmaes` in 160.

    python -m benchmarks.dimensions.toy FOLDER [STUDIES]

Both searches of a study draw the same 8 images a trial: 4 prompts, with two seeds that no other study has.
Their answer is drawn once more on the toy's other 4 prompts, 16 images that no search has seen. In a FOLDER
that holds the runs already nothing is drawn again.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import sys
from pathlib import Path

import pandas as pd

from benchmarks.quiet import Quiet
from benchmarks.search.toy import TOY
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.experiment.experiment import Experiment, load_experiment
from gridsearch.experiment.tables import Search
from gridsearch.experiment.values import Range
from gridsearch.results.results import load_results
from gridsearch.score.score import image_losses
from gridsearch.search.budget import Budget
from gridsearch.search.run import run_experiment

TRIALS = {"gp": 40, "cmaes": 160}
AFTER = (10, 20, 40, 80, 160)
STEP = 0.05


def searched(sampler: str, study: int) -> Experiment:
    """The toy's experiment with a ratio a block, and half of its prompts held out."""
    toy = load_experiment(TOY)
    (step,) = toy.merge
    ratios = step.model_copy(
        update={"ratio": dict.fromkeys(SDXL.blocks, Range(low=0.0, high=1.0, step=STEP))}
    )
    half = len(toy.prompt) // 2
    own = tuple(
        prompt.model_copy(update={"seeds": (1000 + 2 * study, 1001 + 2 * study)})
        for prompt in toy.prompt[:half]
    )
    unseen = tuple(prompt.model_copy(update={"held_out": True}) for prompt in toy.prompt[half:])
    search = Search(sampler=sampler, trials=TRIALS[sampler], seed=study, racing=False, confirm=1)
    return toy.model_copy(update={"merge": (ratios,), "prompt": own + unseen, "search": search})


def losses_of(images: pd.DataFrame) -> pd.Series:
    """The mean loss of each trial's images."""
    own = images.assign(loss=image_losses(images["verdict"].to_numpy(), images["defect"].to_numpy()))
    return own.groupby("trial")["loss"].mean()


def row(folder: Path, sampler: str, study: int) -> str:
    out = folder / f"{sampler}-{study}"
    run_experiment(searched(sampler, study), TOY, out, Budget(), Quiet())
    results = load_results(out)
    least = losses_of(results.images).sort_index().cummin()
    after = "".join(f"{least.iloc[n - 1]:8.3f}" if n <= len(least) else " " * 8 for n in AFTER)
    unseen = results.checks_of("held_out")
    sound, off = (unseen["verdict"] == "ok").mean(), unseen["defect"].median()
    return f"{study:5}  {sampler:8}{after}{losses_of(unseen).item():8.3f}{off:8.3f}{sound:8.0%}"


def main(folder: Path, studies: int) -> None:
    print("study  sampler " + "".join(f"{n:8}" for n in AFTER) + "  unseen  defect   sound")
    for study in range(studies):
        for sampler in TRIALS:
            print(row(folder, sampler, study), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 2)
