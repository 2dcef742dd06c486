"""Content on the toy: do the parents, as judges, find the ratio that an oracle finds best, and at what cost?

    python -m benchmarks.content [FOLDER]

Three pairs. Two are the toy's, drawn in v mode, where low ratios draw blanks: `burnt` clips at high ones, and
`vpred` is sound. The third are sound fine-tunes, one of which forgets a shape (`benchmarks.content.pair`).
Each ratio draws 32 pictures. The ratios are ranked by what the parents find of the prompt in the pictures, by
`defect`, and by both, and compared with an oracle's order (`benchmarks.content.oracle`). In a FOLDER that
holds the checkpoints and the runs already nothing is trained or drawn again.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from diffusers.utils import logging
from scipy.stats import spearmanr

from benchmarks.content.oracle import shape_oracle, whole_oracle
from benchmarks.content.pair import TOY, write_pair
from benchmarks.quiet import Quiet
from gridsearch.experiment.experiment import Experiment, load_experiment
from gridsearch.experiment.tables import Content
from gridsearch.merge.parents import open_parents
from gridsearch.render.cases import case_of
from gridsearch.render.draw import draw
from gridsearch.results import store
from gridsearch.results.columns import CONTENT
from gridsearch.results.results import load_results
from gridsearch.score.measure import measure, read_image
from gridsearch.search.budget import Budget
from gridsearch.search.run import run_experiment
from gridsearch.search.trial.content import contents
from gridsearch.search.trial.setup import Setup, load_setup, merge_parent
from gridsearch.search.trial.standard import open_standard, scored_references, scored_row

FILE = TOY.parent / "toy.toml"
ALIVE = 0.5  # share of sound pictures


def main() -> None:
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(sys.argv[1]) if sys.argv[1:] else Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        write_pair(folder)
        for name, experiment in pairs(folder).items():
            run_experiment(experiment, FILE, folder / name, Budget(), Quiet())
            show(name, experiment, folder / name)


def pairs(folder: Path) -> dict[str, Experiment]:
    """The toy's experiment with each pair of models, none of which is told of content."""
    toy = load_experiment(FILE)

    def of(first: Path, second: Path, score: dict, step: float, **render: object) -> Experiment:
        said = toy.model_dump(mode="json")
        said["models"] = {path.stem: {"path": str(path)} for path in (first, second)}
        said["merge"][0] |= {"models": [*said["models"]], "ratio": {"low": 0, "high": 1, "step": step}}
        return Experiment.model_validate(said | {"score": score, "render": said["render"] | render})

    base, sound = {"references": ["base"]}, {"prediction_type": "epsilon", "zero_terminal_snr": False}
    return {
        "toy": of(TOY / "base.safetensors", TOY / "burnt.safetensors", base, 0.05),
        "second": of(TOY / "base.safetensors", TOY / "vpred.safetensors", base, 0.05),
        "sound": of(folder / "keeps.safetensors", folder / "forgets.safetensors", {}, 0.1, **sound),
    }


def show(name: str, experiment: Experiment, folder: Path) -> None:
    """Print a line for each ratio, and what each order is worth."""
    asked = experiment.score.model_copy(update={"content": Content()})
    told = experiment.model_copy(update={"score": asked})
    setup = load_setup(told, open_parents(told), folder, Quiet())
    table, seconds = judged(setup, folder)
    oracle = shape_oracle() if name == "sound" else whole_oracle()
    rows = table.groupby("ratio")[["survived", CONTENT, "defect", "both"]].mean()
    rows["oracle"] = [
        oracle(np.stack(own["pixels"].tolist()), own["prompt"].tolist()) for _, own in table.groupby("ratio")
    ]
    print(f"\n{name}: {', '.join(experiment.models)}; 32 pictures a ratio")
    print(rows.round(4).to_string())
    orders = {
        "content": rows["content"],
        "survived, content": rows["survived"] + rows["content"],
        "survived, defect": rows["survived"] - rows["defect"] / 100,
        "survived, both": rows["survived"] - rows["both"] / 100,
    }
    among = {
        "": rows["survived"] >= 0,
        ", among those that survive": rows["survived"] >= ALIVE,
        ", among the mixes": (rows.index > 0) & (rows.index < 1),  # a parent's own pictures are references
    }
    for order, goodness in orders.items():
        best = goodness.idxmax()
        lost = rows["oracle"][best] - rows["oracle"].min()
        told = "".join(
            f"{words} {spearmanr(goodness[chosen], -rows['oracle'][chosen])[0]:.3f}"
            for words, chosen in among.items()
        )
        print(
            f"{order:18} Spearman{told}; best {best:.2f} (the oracle's {rows['oracle'].idxmin():.2f}), "
            f"{lost:.4f} from its distance"
        )
    drawing = seconds_to_draw(setup)
    print(f"seconds of the processor for 32 pictures: drawing {drawing:.2f}, judging {seconds:.2f}: ", end="")
    print(f"{seconds / drawing:.0%}")


def judged(setup: Setup, folder: Path) -> tuple[pd.DataFrame, float]:
    """A row per picture of the search, with its content and its defect without and with that.

    Also the processor's seconds that 32 pictures took, merging the parents included.
    """
    stored, cases = store.read_study(folder), {case.id: case for case in setup.cases}

    def with_content(rows: Sequence[dict]) -> list[dict]:
        pictures = [read_image(folder / row["file"]) for row in rows]
        values = contents(setup, pictures, [cases[case_of(row)] for row in rows])
        return [
            row | {"scorers": {CONTENT: value}, "pixels": picture}
            for row, value, picture in zip(rows, values, pictures, strict=True)
        ]

    references = with_content(stored.facts.references or [])
    models, by = setup.experiment.reference_models(), open_standard(setup.experiment.score)
    _, both = scored_references(folder, references, models, cases, by)
    ratios = load_results(folder).trials.set_index("trial")["ratio"]
    found, spent, images = [], 0.0, 0
    for trial in stored.trials:
        began = time.process_time()
        rows = with_content(store.images_of(trial))
        spent, images = spent + time.process_time() - began, images + len(rows)
        for row in rows:
            told = scored_row(both, row, measure(row["pixels"]))[0]
            found.append(
                {name: row[name] for name in ("prompt", "defect", "pixels")}
                | {"ratio": ratios[trial.number], "survived": row["verdict"] == "ok"}
                | {CONTENT: row["scorers"][CONTENT], "both": told["defect"]}
            )
    return pd.DataFrame(found), 32 * spent / images


def seconds_to_draw(setup: Setup) -> float:
    """The processor's seconds to draw 32 pictures as a trial does, all steps of them."""
    sampling = merge_parent(setup, setup.experiment.reference_models()[0])
    began = time.process_time()
    list(draw(setup.renderer, setup.cases, sampling))
    return time.process_time() - began


if __name__ == "__main__":
    main()
