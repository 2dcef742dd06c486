"""Rendering cases: batches of images with fixed seeds, one image per case."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from gridsearch.render.cases import Case
from gridsearch.render.decode import decode, enlarged, film, finite_rows, preview, rgb_map, to_uint8
from gridsearch.render.denoise.guidance.branches import WITHOUT, branches
from gridsearch.render.denoise.hires import Pass, passes
from gridsearch.render.denoise.loop import Start, denoise
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
    trace: Trace  # statistics of the predictions on the way, of the first pass of hires fix
    calls: int  # UNet calls of a complete rendering
    stop: Abort | None  # where and why rendering was stopped; the pixels are then the prediction there
    film: np.ndarray | None  # the predictions side by side, (H, W, 3) uint8, where they were asked for

    @property
    def made(self) -> int:
        """The UNet calls that were made."""
        return self.calls if self.stop is None else self.stop.call + 1


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
    first, *second = passes(sampling)
    calls = first.calls + sum(one.calls for one in second)
    recorder = Recorder(len(cases), first.calls, replace(watch, on_call=_counting(watch, 0, calls)))
    latents = recorder.latents(_denoised(renderer, cases, first, recorder))
    for hires in second:
        latents = enlarged(renderer.pipe.vae, latents, sampling.hires_upscaler, *hires.size)
        going = [i for i in range(len(cases)) if i not in recorder.stops]
        if going and hires.calls:
            told = WatchSettings(on_call=_counting(watch, first.calls, calls))
            start, alone = Start(latents[going], hires.skipped), Recorder(len(going), hires.calls, told)
            again = _denoised(renderer, [cases[i] for i in going], hires, alone, start)
            latents[going] = again.to(latents.dtype)
    images = decode(renderer.pipe.vae, latents)
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


def _counting(watch: WatchSettings, before: int, calls: int) -> Callable[[int, int], None] | None:
    """Return what is told the calls of one of two passes: those of the other count, too."""
    tell = watch.on_call
    return tell and (lambda call, _: tell(before + call, calls))


def _denoised(
    renderer: Renderer, cases: Sequence[Case], one: Pass, recorder: Recorder, start: Start | None = None
) -> Tensor:
    """Return the latents of one pass, without those of images that were stopped."""
    scheduler, pipe = scheduler_for(one.sampling, renderer.scheduler_config), renderer.pipe
    text, seeds = conditioning(renderer, cases, one.sampling), [case.seed for case in cases]
    return denoise(pipe.unet, scheduler, text, seeds, one.sampling, pipe.vae_scale_factor, recorder, start)


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
