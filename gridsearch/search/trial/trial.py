"""One trial: merge, render, score."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from gridsearch.experiment.tables import LOOK
from gridsearch.merge.engine.collapse import lent_text, recipe_text
from gridsearch.render.cases import Case
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.draw import Rendered, draw
from gridsearch.score.score import Score, score_row
from gridsearch.search.trial.fingerprints import live_fingerprint
from gridsearch.search.trial.outcome import Batch
from gridsearch.search.trial.save import Origin, map_in_threads, merge_hash, save_image
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import Setup, merge_over, watch_for
from gridsearch.search.trial.standard import score_image, with_values


@dataclass(frozen=True)
class FinishedImage:
    """A rendered image with its row and score, and the seconds that scoring took."""

    drawn: Rendered
    row: dict
    score: Score
    seconds: float


def run_trial(
    setup: Setup,
    parameters: Mapping[str, Any],
    cases: Sequence[Case],
    name: str,
    on_image: Callable[[Case, Score], None],
) -> Iterator[Batch]:
    """Merge the parents at `parameters`, render the cases, and yield them in batches, saved and scored.

    Where trials race, nothing is rendered ahead of a batch that has not been asked for.

    Args:
        name: the folder of its images and the beginning of their names, `images/t0007_`.
    """
    experiment = setup.experiment.at(parameters)
    sampling = sampling_of(experiment.render, setup.parents.of(experiment))

    began = time.perf_counter()
    terms = setup.weights.terms(experiment)
    merge_over(setup, terms)
    weights = live_fingerprint(setup.live)
    merge_seconds = time.perf_counter() - began

    recipe = "; ".join([recipe_text(experiment, terms), *lent_text(experiment)])
    origin = Origin(experiment.name, merge_hash(experiment, setup.hashes), recipe, setup.renderer.place)
    save = partial(
        save_image, setup.out, name, sampling=sampling, origin=origin, written_as=experiment.images.format
    )
    finish = partial(_saved_and_scored, setup, save, weights, Lock())
    for images in _batches(setup, sampling, cases, finish):
        for image in images:
            on_image(image.drawn.case, image.score)
        seconds = {
            "merge": merge_seconds,
            "render": sum(image.drawn.seconds for image in images),
            "score": sum(image.seconds for image in images),
        }
        yield Batch([image.row for image in images], seconds)
        merge_seconds = 0.0


def _saved_and_scored(
    setup: Setup, save: Callable[..., dict], weights: str, one_by_one: Lock, drawn: Rendered
) -> FinishedImage:
    """Save an image and score it.

    Args:
        weights: the fingerprint of the merge.
        one_by_one: held by plug-in scorers, which need not know of threads.
    """
    row = save(drawn=drawn)
    with one_by_one:
        began = time.perf_counter()
        row = with_values(row, setup.standard.scorers, drawn.pixels, drawn.case)
        seconds = time.perf_counter() - began
    began = time.perf_counter()
    score = score_image(setup.standard, drawn.pixels, row)
    seconds += time.perf_counter() - began
    return FinishedImage(drawn, row | {"weights": weights} | score_row(score), score, seconds)


def _batches(
    setup: Setup, sampling: Sampling, cases: Sequence[Case], finish: Callable[[Rendered], FinishedImage]
) -> Iterator[list[FinishedImage]]:
    """Render cases in batches; `finish` works on one batch while the next is rendered, unless trials race."""
    batches, batch = setup.renderer.batches, setup.experiment.render.batch
    watch = watch_for(setup, sampling)
    races = setup.experiment.search.races()
    while cases:
        size = batches.size(sampling, batch)
        size = min(size, LOOK) if races else size
        part = cases[:size] if races else cases
        images: list[FinishedImage] = []
        for image in map_in_threads(finish, draw(setup.renderer, part, sampling, batch, watch)):
            images.append(image)
            if len(images) == size:
                yield images
                images = []
        if images:
            yield images
        cases = cases[len(part) :]
