"""One trial: merge -> render -> score -> record."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from gridsearch.drawing import sampling_of
from gridsearch.judging import judge, with_values
from gridsearch.keeping import Origin, keep, merge_hash
from gridsearch.merge.collapse import lent_text, recipe_text
from gridsearch.outcome import Outcome, score_row
from gridsearch.overlap import overlapped
from gridsearch.render.cases import Case
from gridsearch.render.draw import Drawn, draw
from gridsearch.score.score import Score
from gridsearch.setup import Setup, merge_over, watch_for


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
    recipe = "; ".join([recipe_text(experiment, terms), *lent_text(experiment)])
    origin = Origin(experiment.name, merge_hash(experiment, setup.hashes), recipe, setup.renderer.place)

    def kept_and_judged(drawn: Drawn) -> tuple[Drawn, dict, Score, float]:
        row = keep(setup.out, "images", f"t{number:04}_", drawn, sampling, origin)
        began = time.perf_counter()
        row = with_values(row, setup.standard.scorers, drawn.pixels, drawn.case)
        judged = judge(setup.standard, drawn.pixels, row)
        return drawn, row, judged, time.perf_counter() - began

    watch = watch_for(setup, sampling)
    batches = draw(setup.renderer, setup.cases, sampling, experiment.render.batch, watch)
    for drawn, row, judged, took in overlapped(kept_and_judged, batches):
        seconds["render"] += drawn.seconds
        seconds["score"] += took
        images.append(row | score_row(judged))
        on_image(drawn.case, judged)
    return Outcome(images, seconds)
