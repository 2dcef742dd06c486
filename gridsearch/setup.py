"""What stays the same from trial to trial: the models opened, the renderer loaded, the references drawn."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from gridsearch.experiment import Experiment
from gridsearch.files import write_atomic
from gridsearch.merge.linear import merge_into
from gridsearch.merge.sources import FileSource, dtypes_of, open_source
from gridsearch.outcome import case_row
from gridsearch.parents import Parents, native_sampling, samplings_of
from gridsearch.references import bands_of, judged_references
from gridsearch.render.cases import Case, cases_of
from gridsearch.render.draw import Drawn, draw
from gridsearch.render.pipeline import Renderer, load_renderer, placement
from gridsearch.render.png import parameters_text, png_bytes
from gridsearch.render.schedulers import scheduler_for
from gridsearch.score.band import Band


@dataclass(frozen=True)
class Setup:
    """All that a trial needs beside its parameters."""

    experiment: Experiment
    parents: Parents
    sources: Mapping[str, FileSource]
    dtypes: Mapping[str, torch.dtype]  # of a merge's keys
    renderer: Renderer
    cases: tuple[Case, ...]
    bands: Mapping[str, Band]  # case id -> what healthy looks like
    out: Path


def load_setup(experiment: Experiment, parents: Parents, out: Path) -> Setup:
    """Open the sources and load the renderer. Writes nothing; the bands come with the references."""
    render = experiment.render
    place = placement(render.device, render.dtype)
    renderer = load_renderer(parents.first.path, render.config, render.vocabulary, place)
    for sampling in samplings_of(experiment, parents):
        scheduler_for(
            sampling, renderer.scheduler_config
        )  # an unfit sampler is said before anything is written
    sources = {name: open_source(checkpoint.path) for name, checkpoint in parents.checkpoints.items()}
    dtypes = dtypes_of(parents.first)
    return Setup(experiment, parents, sources, dtypes, renderer, cases_of(experiment.prompt), {}, out)


def draw_references(setup: Setup, on_image: Callable[[Drawn], None]) -> list[dict]:
    """Draw and judge what healthy looks like: a row per image, as in images.csv, with `model` for `trial`."""
    models = setup.experiment.reference_models()
    drawn = [row for name in models for row in _draw_parent(setup, name, on_image)]
    return judged_references(setup.out, drawn)


def _draw_parent(setup: Setup, name: str, on_image: Callable[[Drawn], None]) -> Iterator[dict]:
    """A parent's own renders of every case, in the mode it was trained for."""
    merge_into(setup.renderer.live, setup.sources, {name: 1.0}, setup.dtypes)
    sampling = native_sampling(setup.experiment.render, setup.parents, name)
    for drawn in draw(setup.renderer, setup.cases, sampling, setup.experiment.render.batch):
        case = drawn.case
        file = f"references/{name}_{case.id}.png"
        text = parameters_text(case, sampling, f"{name} alone", setup.renderer.place)
        write_atomic(setup.out / file, png_bytes(drawn.pixels, text))
        on_image(drawn)
        yield {"model": name} | case_row(case, sampling.prediction_type, drawn, file)


def with_references(setup: Setup, references: Sequence[dict]) -> Setup:
    """The setup that judges by these references."""
    return replace(setup, bands=bands_of(references, [case.id for case in setup.cases]))
