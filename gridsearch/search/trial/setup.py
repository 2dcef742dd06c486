"""The state that all trials of a run share: open models, the loaded renderer, the standard of scoring."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from gridsearch.base.machine import free_memory
from gridsearch.checkpoint.identity import short_hash
from gridsearch.checkpoint.ldm.components import check_clip_skip, config_folder
from gridsearch.checkpoint.ldm.keys import is_text
from gridsearch.checkpoint.ldm.layout import LiveRows
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.prompts import cases_of
from gridsearch.experiment.recipe import Recipe
from gridsearch.experiment.values import choices_of, usual_value
from gridsearch.merge.engine.collapse import Terms, lent_by
from gridsearch.merge.engine.fingerprint import fingerprint
from gridsearch.merge.engine.kept import Kept
from gridsearch.merge.engine.live import Live, merge_live, stale_keys
from gridsearch.merge.engine.sources import DTYPES, Residence, placed
from gridsearch.merge.parents import Parents
from gridsearch.merge.vae import vae_of_reference
from gridsearch.merge.weights import (
    Reading,
    Weights,
    dtypes_of,
    gives_own_vae,
    keys_read,
    open_weights,
    read_through,
    require_complete,
    residence_of,
)
from gridsearch.render.cases import Case
from gridsearch.render.denoise.sampling import GUIDANCE, SAMPLERS, Sampling
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import Renderer, load_renderer
from gridsearch.render.placement import placement
from gridsearch.render.watch import WatchSettings, expected_of, trace_of
from gridsearch.search.trial.save import Origin, save_image
from gridsearch.search.trial.settings import native_sampling
from gridsearch.search.trial.standard import Standard, open_standard, standard_of


@dataclass(frozen=True)
class Setup:
    """Everything that a trial needs beside its parameters."""

    experiment: Experiment
    parents: Parents
    weights: Weights
    live: Live
    residence: Residence
    renderer: Renderer
    cases: tuple[Case, ...]
    standard: Standard  # by which images are scored
    watch: WatchSettings  # traces and early abort while images are rendered
    out: Path
    hashes: Mapping[str, str]  # name -> the file's SHA-256


def load_setup(
    experiment: Experiment,
    parents: Parents,
    out: Path,
    listener: Reading,
    hashes: Mapping[str, str] = MappingProxyType({}),
    standard: Standard | None = None,
) -> Setup:
    """Load the renderer, open the models and read them. Nothing is written.

    The healthy bands follow with the references (`with_references`). SHA-256 of the files, by name, are for
    the text inside images.
    """
    render = experiment.render
    place = placement(render.device, render.dtype)
    weights = open_weights(experiment, parents, render.config)
    config = config_folder(render.config, experiment.its_family)
    check_clip_skip(config, max(choices_of(render.clip_skip)))
    require_complete(experiment, parents, config)
    renderer = load_renderer(
        parents.first,
        render.config,
        render.vocabulary,
        place,
        render.vae_dtype,
        render.compile,
        gives_own_vae(experiment, parents),
    )
    greatest = read_through(weights, keys_read(experiment, weights, experiment.reference_models()), listener)
    lies = residence_of(experiment, weights, place.device, free_memory(place.device))
    merged = keys_read(experiment, weights)
    # references are drawn once: what only they need stays where it is
    files = {
        name: placed(file, merged[name], lies, place.device) if name in experiment.needed_models() else file
        for name, file in weights.files.items()
    }
    return Setup(
        experiment=experiment,
        parents=parents,
        weights=weights,
        live=Live(
            renderer.live,
            {**files, **weights.adapters},
            _dtypes(experiment, weights),
            greatest,
            Kept(lies.room),
        ),
        residence=lies,
        renderer=renderer,
        cases=cases_of(experiment.prompt),
        standard=standard or open_standard(experiment.score),
        watch=WatchSettings(early_abort=render.early_abort, film=render.trace),
        out=out,
        hashes=hashes,
    )


def merge_over(setup: Setup, terms: Mapping[str, Terms], recipe: Recipe | None = None) -> None:
    """Merge over the live weights; prompts encoded by text encoders that change are forgotten.

    `recipe` is the merge, which needs to be known where the VAE is searched: its sources may differ in dtype.
    """
    if any(is_text(key) for key in stale_keys(setup.live, terms)):
        setup.renderer.encoded.clear()  # before the merge, which may fail half way
    live = setup.live
    if recipe is not None and len(setup.experiment.vae_sources()) > 1:
        live = replace(live, dtypes=_dtypes(recipe, setup.weights))
    merge_live(live, terms)


def _dtypes(recipe: Recipe, weights: Weights) -> dict[str, torch.dtype]:
    return {key: DTYPES[name] for key, name in dtypes_of(recipe, weights).items()}


def merge_parent(setup: Setup, name: str) -> Sampling:
    """Write a parent alone over the live weights; returns how it draws, in its own prediction type."""
    own, lent = setup.weights.files[name].header.tensors, vae_of_reference(setup.experiment)
    merge_over(setup, {key: ((name if key in own else lent, 1.0),) for key in setup.weights.merged})
    return native_sampling(setup.experiment.render, setup.parents, name)


def draw_parent(setup: Setup, name: str, cases: Sequence[Case]) -> Iterator[dict]:
    """Render cases with a parent alone, in its own prediction type; yields rows that are not scored yet."""
    sampling = merge_parent(setup, name)
    origin = Origin(name, short_hash(setup.hashes.get(name, "")), f"{name} alone", setup.renderer.place)
    film_only = replace(setup.watch, early_abort=0.0)  # the references are what early abort compares with
    for drawn in draw(setup.renderer, cases, sampling, setup.experiment.render.batch, film_only):
        row = save_image(
            setup.out, f"references/{name}.", drawn, sampling, origin, setup.experiment.images.format
        )
        yield {"model": name} | row | {"trajectory": drawn.trace.as_row()}


def watch_for(setup: Setup, sampling: Sampling) -> WatchSettings:
    """Return how a trial is watched: without early abort where its guidance is not the references'.

    Nor is there any where either sampler's early predictions do not come true.
    """
    render = setup.experiment.render
    alike = all(getattr(sampling, name) == usual_value(getattr(render, name)) for name in GUIDANCE)
    samplers = {sampling.sampler, usual_value(render.sampler)}
    if alike and all(SAMPLERS[name].steady for name in samplers):
        return setup.watch
    return replace(setup.watch, expected=None)


def with_references(setup: Setup, references: Sequence[dict]) -> Setup:
    """Return the setup that scores by these references, and aborts images that leave their trajectories."""
    models = setup.experiment.reference_models()  # after scoring again, fewer than were drawn
    chosen = [row for row in references if row["model"] in models]
    healthy = [row["trajectory"] for row in chosen if row["verdict"] == "ok" and "trajectory" in row]
    expected = expected_of([trace_of(trajectory) for trajectory in healthy])
    standard = standard_of(chosen, [case.id for case in setup.cases], setup.standard)
    return replace(setup, standard=standard, watch=replace(setup.watch, expected=expected))


def live_fingerprint(live: Live) -> str:
    """Return the fingerprint of the live weights, on every device the same; equal ones are the same model."""
    return fingerprint({name: piece.view for name, (_, piece) in _pieces(live).items()})


def parent_fingerprint(setup: Setup, name: str) -> str:
    """Return the fingerprint that a parent alone has, read from its file without any merging.

    Components that the experiment takes from another model are that model's.
    """
    return fingerprint(_OfFile(setup, name))


def _pieces(live: Live) -> dict[str, tuple[str, LiveRows]]:
    return {f"{key} {i}": (key, piece) for key, own in live.parts.items() for i, piece in enumerate(own)}


class _OfFile(Mapping[str, Tensor]):
    """The live weights of one model alone, each made when it is asked for: never a second model in memory."""

    def __init__(self, setup: Setup, name: str) -> None:
        self._setup, self._name, self._pieces = setup, name, _pieces(setup.live)

    def __getitem__(self, name: str) -> Tensor:
        key, piece = self._pieces[name]
        file = self._setup.weights.files[lent_by(self._setup.experiment, key) or self._name]
        own = file.tensor(key)
        own = own[piece.rows] if own.ndim else own
        return own.to(self._setup.live.dtypes[key]).reshape(piece.view.shape).to(piece.view.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)
