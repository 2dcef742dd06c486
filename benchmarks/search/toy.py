"""The toy's 101 ratios, all of them and as `window` searches them: the same prompts, the same answer?

    python -m benchmarks.search.toy [FOLDER]

Nothing is simulated: merges, renders and scores are the toy's own. Both runs draw the same cases, and two of
the eight prompts are held out of both. In a FOLDER that holds the runs already nothing is drawn again.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.quiet import Quiet
from gridsearch.base.words import duration
from gridsearch.experiment.experiment import Experiment, load_experiment
from gridsearch.experiment.tables import Search
from gridsearch.experiment.values import Range
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.results import Results, load_results
from gridsearch.search.budget import Budget
from gridsearch.search.run import run_experiment

TOY = Path(__file__).parents[2] / "experiments" / "toy.toml"
STEP = 0.01
SEARCHES = {"exhaustive": Search(sampler="grid", held_out=2), "window": Search(sampler="window", held_out=2)}


def searched(name: str) -> Experiment:
    """The toy's experiment with finer steps and another search."""
    toy = load_experiment(TOY)
    (step,) = toy.merge
    fine = step.model_copy(update={"ratio": Range(low=0.0, high=1.0, step=STEP)})
    return toy.model_copy(update={"name": f"toy-{name}", "merge": (fine,), "search": SEARCHES[name]})


def seconds_of(results: Results) -> float:
    """Return the seconds that the trials and the checks took."""
    parts = results.trials[["seconds_merge", "seconds_render", "seconds_score"]]
    return float(parts.sum().sum() + results.checks["seconds"].sum())


def lines(folder: Path) -> Iterator[str]:
    yield "search       trials  renders     time  best  interval        window          sound"
    for name in SEARCHES:
        run_experiment(searched(name), TOY, folder / name, Budget(), Quiet())
        results = load_results(folder / name)
        best = analyse(results).best
        renders = len(results.images) + len(results.checks)
        window = f"{best.window.low.inside:.2f} to {best.window.high.inside:.2f}"
        interval = f"{best.interval.low:.3f} to {best.interval.high:.3f}"
        yield (
            f"{name:<12} {len(results.trials):6}  {renders:7}  {duration(seconds_of(results)):>7}  "
            f"{best.ratio:.2f}  {interval}  {window}    {best.survived:.0%}"
        )


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        for line in lines(Path(sys.argv[1]) if sys.argv[1:] else Path(place)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
