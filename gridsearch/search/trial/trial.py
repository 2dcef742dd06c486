"""One trial: merge -> render -> score -> record."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

from gridsearch.experiment.tables import LOOK
from gridsearch.merge.engine.collapse import lent_text, recipe_text
from gridsearch.render.cases import Case
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.draw import Rendered, draw
from gridsearch.score.score import Score, score_row
from gridsearch.search.trial.fingerprints import live_fingerprint
from gridsearch.search.trial.save import Origin, keep, merge_hash, overlapped
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import Setup, merge_over, watch_for
from gridsearch.search.trial.standard import judge, with_values


def run_trial(
    name: str,
    parameters: Mapping[str, Any],
    setup: Setup,
    cases: Sequence[Case],
    on_image: Callable[[Case, Score], None],
    on_rung: Callable[[list[dict], Mapping[str, float]], bool],
) -> None:
    """Merge the parents at `parameters`, draw the cases, judge every image, keep it.

    Args:
        name: the folder of its images and the beginning of their names, `images/t0007_`.
        on_rung: told the rows of some images once they are safe, and what they took in seconds; says whether
            to go on.
    """
    experiment = setup.experiment.at(parameters)
    sampling = sampling_of(experiment.render, setup.parents.of(experiment))

    began = time.perf_counter()
    terms = setup.weights.terms(experiment)
    merge_over(setup, terms)
    weights = live_fingerprint(setup.live)
    spent = {"merge": time.perf_counter() - began, "render": 0.0, "score": 0.0}
    recipe = "; ".join([recipe_text(experiment, terms), *lent_text(experiment)])
    origin = Origin(experiment.name, merge_hash(experiment, setup.hashes), recipe, setup.renderer.place)

    one_by_one = Lock()  # plug-in scorers need not know of threads

    def kept_and_judged(drawn: Rendered) -> tuple[Rendered, dict, Score, float]:
        row = keep(setup.out, name, drawn, sampling, origin, experiment.images.format)
        with one_by_one:
            began = time.perf_counter()
            row = with_values(row, setup.standard.scorers, drawn.pixels, drawn.case)
            took = time.perf_counter() - began
        began = time.perf_counter()
        judged = judge(setup.standard, drawn.pixels, row)
        return drawn, row | {"weights": weights}, judged, took + time.perf_counter() - began

    for drawn in drawn_rungs(setup, sampling, cases, kept_and_judged):
        rows = []
        for image, row, judged, took in drawn:
            spent["render"] += image.seconds
            spent["score"] += took
            rows.append(row | score_row(judged))
            on_image(image.case, judged)
        if not on_rung(rows, spent):
            return
        spent = dict.fromkeys(spent, 0.0)


def drawn_rungs(
    setup: Setup, sampling: Sampling, cases: Sequence[Case], work: Callable[[Rendered], Any]
) -> Iterator[list]:
    """What `work` makes of the images, a rung at a time.

    Where trials race, nothing further is drawn until a rung has been looked at; otherwise the next batch is
    under way already.
    """
    batches, batch = setup.renderer.batches, setup.experiment.render.batch
    watch = watch_for(setup, sampling)
    races = setup.experiment.search.races()
    while cases:
        size = batches.size(sampling, batch)
        size = min(size, LOOK) if races else size
        part = cases[:size] if races else cases
        rung = []
        for result in overlapped(work, draw(setup.renderer, part, sampling, batch, watch)):
            rung.append(result)
            if len(rung) == size:
                yield rung
                rung = []
        if rung:
            yield rung
        cases = cases[len(part) :]
