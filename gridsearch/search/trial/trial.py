"""One trial: merge, render, score."""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from gridsearch.experiment.tables import LOOK
from gridsearch.merge.engine.collapse import lent_text, recipe_text
from gridsearch.render.cases import Case
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.draw import Rendered
from gridsearch.score.score import Score
from gridsearch.search.trial.content import Judged, drawn_and_judged
from gridsearch.search.trial.outcome import Batch
from gridsearch.search.trial.save import Origin, merge_hash, save_image
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import Setup, live_fingerprint, merge_over
from gridsearch.search.trial.standard import scored_row, with_values

MOST_WAITING = 64  # items, so that slow threads do not fill the memory
THREADS = min(4, os.cpu_count() or 1)  # a batch's images come all at once

Item = TypeVar("Item")
Made = TypeVar("Made")
Following = Callable[[], Mapping[str, Any] | None]  # the parameters of the next trial, where they are known


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
    following: Following = lambda: None,
) -> Iterator[Batch]:
    """Merge the parents at `parameters`, render the cases, and yield them in batches, saved and scored.

    Where trials race, nothing is rendered ahead of a batch that has not been asked for. The images' names
    begin with `name`, as `images/t0007_`. Once all are drawn, the merge of the trial that is `following`
    begins, while the last are written and scored.
    """
    experiment = setup.experiment.at(parameters)
    sampling = sampling_of(experiment.render, setup.parents.of(experiment))

    began = time.perf_counter()
    terms = setup.weights.terms(experiment)
    merge_over(setup, terms, experiment)
    merge_seconds = time.perf_counter() - began

    recipe = "; ".join([recipe_text(experiment, terms), *lent_text(experiment)])
    origin = Origin(experiment.name, merge_hash(experiment, setup.hashes), recipe, setup.renderer.place)
    one_by_one = Lock()  # plug-in scorers need not know of threads

    def finish(judged: Judged) -> FinishedImage:
        drawn, content, seconds = judged
        row = save_image(setup.out, name, drawn, sampling, origin, experiment.images.format)
        with one_by_one:
            began = time.perf_counter()
            row = with_values(row, setup.standard, drawn.pixels, drawn.case, content)
            seconds += time.perf_counter() - began
        began = time.perf_counter()
        row, score = scored_row(setup.standard, row, setup.standard.measured(drawn.pixels))
        seconds += time.perf_counter() - began
        return FinishedImage(drawn, row | {"weights": weights.result()}, score, seconds)

    with ThreadPoolExecutor(1) as beside:  # it reads all weights, which drawing leaves as they are
        weights = beside.submit(live_fingerprint, setup.live)
        drawing = partial(drawn_and_judged, setup, sampling, terms, experiment, weights.result)
        drawn = partial(_merge_next, setup, following, weights)
        for images in _batches(setup, sampling, cases, drawing, finish, drawn):
            for image in images:
                on_image(image.drawn.case, image.score)
            seconds = {
                "merge": merge_seconds,
                "render": sum(image.drawn.seconds for image in images),
                "score": sum(image.seconds for image in images),
            }
            yield Batch([image.row for image in images], seconds)
            merge_seconds = 0.0


def _merge_next(setup: Setup, following: Following, weights: Future[str]) -> None:
    """Merge the next trial, if it is known, over weights of which the fingerprint is taken."""
    wait([weights])
    with contextlib.suppress(Exception):  # an error is the next trial's, which meets it again
        if (parameters := following()) is not None:
            recipe = setup.experiment.at(parameters)
            merge_over(setup, setup.weights.terms(recipe), recipe)


def _batches(
    setup: Setup,
    sampling: Sampling,
    cases: Sequence[Case],
    drawing: Callable[[Sequence[Case]], Iterator[Judged]],
    finish: Callable[[Judged], FinishedImage],
    drawn: Callable[[], None],
) -> Iterator[list[FinishedImage]]:
    """Render cases in batches; `finish` works on one batch while the next is rendered, unless trials race.

    `drawn` is called once the last is rendered.
    """
    batches, batch = setup.renderer.batches, setup.experiment.render.batch
    races = setup.experiment.search.races()
    while cases:
        size = batches.size(sampling, batch)
        size = min(size, LOOK) if races else size
        part = cases[:size] if races else cases
        images: list[FinishedImage] = []
        last = len(part) == len(cases)
        for image in map_in_threads(finish, drawing(part), drawn if last else None):
            images.append(image)
            if len(images) == size:
                yield images
                images = []
        if images:
            yield images
        cases = cases[len(part) :]


def map_in_threads(
    work: Callable[[Item], Made], items: Iterable[Item], made: Callable[[], None] | None = None
) -> Iterator[Made]:
    """Yield `map(work, items)`, the work done by threads while more items are made, and `made` is called."""
    with ThreadPoolExecutor(THREADS) as threads:
        waiting: deque[Future[Made]] = deque()
        for item in items:
            waiting.append(threads.submit(work, item))
            while waiting and (waiting[0].done() or len(waiting) > MOST_WAITING):
                yield waiting.popleft().result()
        if made is not None:
            made()
        while waiting:
            yield waiting.popleft().result()
