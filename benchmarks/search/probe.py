"""The probe beside the drawn curve, on pairs of toy models.

python -m benchmarks.search.probe [FOLDER]
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.quiet import Quiet
from gridsearch.experiment.experiment import Experiment, load_experiment
from gridsearch.merge.parents import open_parents
from gridsearch.render.denoise.guidance.branches import branches
from gridsearch.render.denoise.sampling import SAMPLERS
from gridsearch.results import store
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.probe import agreement, expectation_of
from gridsearch.results.results import load_results
from gridsearch.search.budget import Budget
from gridsearch.search.run import run_experiment
from gridsearch.search.trial.probe import probe_merges
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import load_setup

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
V = {"prediction_type": "v_prediction", "zero_terminal_snr": True}
EPSILON = {"prediction_type": "epsilon", "zero_terminal_snr": False}


def pairs() -> dict[str, Experiment]:
    """Experiments of one ratio each: the three of the toys, and other pairs of their models."""
    toy = load_experiment(EXPERIMENTS / "toy.toml")

    def of(
        first: str, second: str, references: list[str], step: float = 0.05, **render: object
    ) -> Experiment:
        said = toy.model_dump(mode="json")
        paths = {name: {"path": str(EXPERIMENTS / "toy" / f"{name}.safetensors")} for name in (first, second)}
        said |= {"models": paths, "score": {"references": references}, "render": said["render"] | render}
        said["merge"][0] |= {"models": [first, second], "ratio": {"low": 0, "high": 1, "step": step}}
        for prompt in said["prompt"]:
            prompt["seeds"] = prompt["seeds"][:2]
        return Experiment.model_validate(said)

    return {
        "toy": toy,
        "sound": of("base", "vpred", ["base"], **V),
        "epsilon": of("base", "vpred", ["base"], **EPSILON),
        "flow": load_experiment(EXPERIMENTS / "toy-flow.toml"),
        "tuned": of("vpred", "burnt", ["vpred"], **V),
        "guided": of("base", "burnt", ["base"], 0.1, **V, cfg=7.0),
        "unguided": of("base", "burnt", ["base"], 0.1, **V, cfg=1.0),
        "sd15": load_experiment(EXPERIMENTS / "toy-sd15.toml"),
    }


HEADING = "pair      ratios  Spearman  best and probe's  window and probe's       calls / trial"


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(sys.argv[1]) if sys.argv[1:] else Path(place)
        print(HEADING, flush=True)
        for name, experiment in pairs().items():
            file = EXPERIMENTS / f"{experiment.name}.toml"
            run_experiment(experiment, file, folder / name, Budget(), Quiet())
            print(line(name, experiment, folder / name), flush=True)


def line(name: str, experiment: Experiment, folder: Path) -> str:
    """Compare what the probe expects with what a finished run has drawn."""
    stored = store.read_study(folder)
    setup = load_setup(experiment, open_parents(experiment), folder, Quiet())
    (parameter,) = experiment.searched()
    drawn = sorted(
        (trial.params[parameter], trial.user_attrs[store.SUMMARY]["loss"]) for trial in stored.trials
    )
    ratios = [ratio for ratio, _ in drawn]
    found = probe_merges(setup, stored.facts.references or [], stored.facts.order, parameter, ratios)
    expected = expectation_of(found)
    assert expected is not None
    window = analyse(load_results(folder)).best.window
    sampling = sampling_of(experiment.render, setup.parents)
    trial = len(setup.cases) * len(branches(sampling)) * SAMPLERS[sampling.sampler].calls(sampling.steps)
    best = min(drawn, key=lambda one: one[1])[0]
    drawn_edges = [edge.at if edge.outside is not None else None for edge in (window.low, window.high)]
    return (
        f"{name:<9} {len(drawn):6}  {agreement(expected, drawn):8.2f}  {best:8.2f} {expected.best:6.2f}  "
        f"{_span(drawn_edges):>12} {_span(expected.window() or ()):>12}  {found['calls'] / trial:12.2f}"
    )


def _span(ends: Sequence[float | None]) -> str:
    return "-".join("end" if end is None else f"{end:.2f}" for end in ends)


if __name__ == "__main__":
    main()
