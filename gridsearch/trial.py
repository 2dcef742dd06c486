"""One trial: merge -> render -> score -> record."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from gridsearch.drawing import sampling_of
from gridsearch.judging import judge, with_values
from gridsearch.keeping import Origin, keep, merge_hash
from gridsearch.merge.collapse import recipe_text
from gridsearch.outcome import Outcome, score_row
from gridsearch.render.cases import Case
from gridsearch.render.draw import draw
from gridsearch.score.score import Score
from gridsearch.setup import Setup, merge_over


def run_trial(
    number: int, parameters: Mapping[str, Any], setup: Setup, on_image: Callable[[Case, Score], None]
) -> Outcome:
    """Merge the parents at `parameters`, draw every case, judge every image, keep it as a PNG."""
    experiment = setup.experiment.at(parameters)
    sampling = sampling_of(experiment.render, setup.parents)
    seconds = {"merge": 0.0, "render": 0.0, "score": 0.0}
    images = []

    began = time.perf_counter()
    terms = setup.weights.terms(experiment)
    merge_over(setup, terms)
    seconds["merge"] = time.perf_counter() - began
    recipe = recipe_text(experiment, terms)
    origin = Origin(experiment.name, merge_hash(recipe, setup.hashes), recipe, setup.renderer.place)

    for drawn in draw(setup.renderer, setup.cases, sampling, experiment.render.batch, setup.watch):
        case = drawn.case
        seconds["render"] += drawn.seconds
        row = keep(setup.out, "images", f"t{number:04}", drawn, sampling, origin)

        began = time.perf_counter()
        row = with_values(row, setup.standard.scorers, drawn.pixels, case)
        judged = judge(setup.standard, drawn.pixels, row)
        seconds["score"] += time.perf_counter() - began

        images.append(row | score_row(judged))
        on_image(case, judged)
    return Outcome(images, seconds)
