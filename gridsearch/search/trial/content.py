"""The content of images: how much of its prompt the parents find in each, once a batch is drawn.

Each parent that is a reference is merged over the live weights in turn and judges in its own prediction type;
the merge comes back before the next batch. That is a few calls of the UNet an image, where drawing takes
dozens.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import nan

import numpy as np

from gridsearch.experiment.experiment import Experiment
from gridsearch.merge.engine.collapse import Terms
from gridsearch.render.cases import Case
from gridsearch.render.content import prompt_gains
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.draw import Rendered, draw_batches
from gridsearch.results.columns import CONTENT
from gridsearch.score.measure import read_image
from gridsearch.search.trial.setup import Setup, merge_over, merge_parent, watch_for

Judged = tuple[Rendered, float, float]  # an image, its content, and the seconds that took


def drawn_and_judged(
    setup: Setup,
    sampling: Sampling,
    terms: Mapping[str, Terms],
    recipe: Experiment,
    settle: Callable[[], object],
    cases: Sequence[Case],
) -> Iterator[Judged]:
    """Render cases with the merge of these terms, which the live weights hold; yields their content too.

    `settle` waits for all others who read the live weights; it is called before those change.
    """
    batch, watch = setup.experiment.render.batch, watch_for(setup, sampling)
    batches, left = draw_batches(setup.renderer, cases, sampling, batch, watch), len(cases)
    while left:
        merge_over(setup, terms, recipe)  # the parents may have judged the batch before
        drawn = next(batches)
        left -= len(drawn)
        began = time.perf_counter()
        if setup.experiment.score.content:
            settle()
        found = contents(setup, [one.pixels for one in drawn], [one.case for one in drawn])
        seconds = (time.perf_counter() - began) / len(drawn)
        for one, content in zip(drawn, found, strict=True):
            yield one, content if one.finite else nan, seconds


def contents(setup: Setup, pictures: Sequence[np.ndarray], cases: Sequence[Case]) -> list[float]:
    """Return the content of pictures, uint8 (H, W, 3): the mean of what the reference's models find in each.

    It is nan where the experiment does not ask for it. The live weights are a parent's afterwards.
    """
    asked, models = setup.experiment.score.content, setup.experiment.reference_models()
    if asked is None:
        return [nan] * len(cases)
    batch = setup.experiment.render.batch
    found = [
        prompt_gains(setup.renderer, pictures, cases, merge_parent(setup, name), asked.levels, batch)
        for name in models
    ]
    return np.mean(found, axis=0).tolist()


def with_content(setup: Setup, references: Sequence[dict], cases: Sequence[Case]) -> list[dict]:
    """Return the rows of saved references with their content, where it is asked for."""
    if setup.experiment.score.content is None:
        return [*references]
    pictures = [read_image(setup.out / row["file"]) for row in references]
    found = contents(setup, pictures, cases)
    return [
        row | {"scorers": {CONTENT: content if row["finite"] else nan}}
        for row, content in zip(references, found, strict=True)
    ]
