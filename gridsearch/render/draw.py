"""Rendering cases: batches of images with fixed seeds, one image per case."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from gridsearch.render.cases import Case
from gridsearch.render.decode import decode, film, finite_rows, preview, rgb_map, to_uint8
from gridsearch.render.denoise.guidance.branches import WITHOUT, branches
from gridsearch.render.denoise.loop import denoise
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.denoise.schedulers import scheduler_for
from gridsearch.render.pipeline import Renderer
from gridsearch.render.placement import is_out_of_memory
from gridsearch.render.prompt.encode import Conditioning, Encoded, encode, stacked, zeros_like
from gridsearch.render.watch import UNWATCHED, Abort, Recorder, Trace, WatchSettings

MOST_TEXTS = 1000  # embeddings that are kept, of 0.3 MB each with SDXL


@dataclass(frozen=True)
class Rendered:
    """The image of a case."""

    case: Case
    pixels: np.ndarray  # (H, W, 3) uint8; non-finite values are black and `finite` says so
    finite: bool
    seconds: float  # its share of the time of its batch
    trace: Trace  # statistics of the predictions on the way
    calls: int  # UNet calls of a complete rendering
    stop: Abort | None  # where and why rendering was stopped; the pixels are then the prediction there
    film: np.ndarray | None  # the predictions side by side, (H, W, 3) uint8, where they were asked for


def draw(
    renderer: Renderer,
    cases: Sequence[Case],
    sampling: Sampling,
    batch: int | None = None,
    watch: WatchSettings = UNWATCHED,
) -> Iterator[Rendered]:
    """Render the cases in order (see `draw_batches`)."""
    return chain.from_iterable(draw_batches(renderer, cases, sampling, batch, watch))


@torch.inference_mode()
def draw_batches(
    renderer: Renderer,
    cases: Sequence[Case],
    sampling: Sampling,
    batch: int | None = None,
    watch: WatchSettings = UNWATCHED,
) -> Iterator[list[Rendered]]:
    """Render the cases in order; yields the images of each batch, between which the weights may change.

    An image's noise depends on its seed and size alone, whatever else is in its batch.

    Args:
        batch: images per call; None for as many as fit. It is halved where they do not fit.

    Raises:
        torch.OutOfMemoryError: not even one image fits.
    """
    to_rgb = rgb_map(renderer.pipe.vae) if watch.film else None
    images = renderer.batches.size(sampling, batch)
    while cases:
        part = cases[:images]
        try:
            with renderer.batches.measured(sampling, len(part)):
                rendered = _render_batch(renderer, part, sampling, watch, to_rgb)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(part) == 1:
                raise torch.OutOfMemoryError(str(error)) from error
            rendered = []
        if not rendered:  # not within `except`, where the error still holds what the batch took
            images = renderer.batches.halved(sampling, len(part))
            continue
        yield rendered
        cases = cases[len(part) :]
        images = renderer.batches.size(sampling, batch)


def _render_batch(
    renderer: Renderer, cases: Sequence[Case], sampling: Sampling, watch: WatchSettings, to_rgb: Tensor | None
) -> list[Rendered]:
    began = time.perf_counter()
    pipe = renderer.pipe
    scheduler = scheduler_for(sampling, renderer.scheduler_config)
    calls = len(scheduler.timesteps)
    recorder = Recorder(len(cases), calls, watch)
    text = conditioning(renderer, cases, sampling)
    seeds = [case.seed for case in cases]
    latents = denoise(pipe.unet, scheduler, text, seeds, sampling, pipe.vae_scale_factor, recorder)
    images = decode(pipe.vae, recorder.latents(latents))
    finite = finite_rows(images).tolist()
    pixels = to_uint8(images)
    films: list[np.ndarray | None] = [None] * len(cases)
    if to_rgb is not None:
        films = [film(preview(frames, to_rgb)) for frames in recorder.films()]
    traces = recorder.traces()
    seconds = (time.perf_counter() - began) / len(cases)
    return [
        Rendered(case, pixels[i], finite[i], seconds, traces[i], calls, recorder.stops.get(i), films[i])
        for i, case in enumerate(cases)
    ]


def conditioning(renderer: Renderer, cases: Sequence[Case], sampling: Sampling) -> Conditioning:
    """Return the texts of a batch: of all cases for the first of their branches, then for the next."""
    prompts = [embedded(renderer, case.text, sampling) for case in cases]
    negatives = [
        without_prompt(renderer, case.negative, prompt, sampling)
        for case, prompt in zip(cases, prompts, strict=True)
        if sampling.is_guided
    ]
    texts = (negatives if branch == WITHOUT else prompts for branch in branches(sampling))
    return stacked([text for of_all in texts for text in of_all])


def embedded(renderer: Renderer, text: str, sampling: Sampling) -> Encoded:
    """Return a text's embedding, computed once for as long as the text encoders do not change."""
    if len(renderer.encoded) == MOST_TEXTS:
        renderer.encoded.clear()
    if (text, sampling.clip_skip) not in renderer.encoded:
        renderer.encoded[text, sampling.clip_skip] = encode(renderer.pipe, text, sampling.clip_skip)
    return renderer.encoded[text, sampling.clip_skip]


def without_prompt(renderer: Renderer, negative: str, prompt: Encoded, sampling: Sampling) -> Encoded:
    """Return what takes the prompt's place.

    An empty negative prompt is zeros or encoded, as the settings say: SDXL was trained with zeros, and
    diffusers and A1111 use them; ComfyUI encodes the empty text.
    """
    if negative or sampling.unconditional == "empty":
        return embedded(renderer, negative, sampling)
    return zeros_like(prompt)
