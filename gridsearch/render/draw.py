"""Cases in, images out: fixed seeds, batches, one picture per case."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gridsearch.render.batch import is_out_of_memory
from gridsearch.render.cases import Case
from gridsearch.render.decode import decode, finite_rows, to_uint8
from gridsearch.render.denoise.guidance import is_guided
from gridsearch.render.denoise.loop import denoise
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.denoise.schedulers import scheduler_for
from gridsearch.render.pipeline import Renderer
from gridsearch.render.prompt.encode import Conditioning, Encoded, encode, stacked, zeros_like
from gridsearch.render.watch.abort import Abort
from gridsearch.render.watch.preview import film, preview, rgb_map
from gridsearch.render.watch.recorder import UNWATCHED, Recorder, WatchSettings
from gridsearch.render.watch.trace import Trace

MOST_TEXTS = 1000  # whose embeddings are kept, 0.3 MB each with SDXL


@dataclass(frozen=True)
class Rendered:
    """An image of a case.

    Attributes:
        pixels: (H, W, 3) uint8; non-finite values are black and `finite` says so.
        seconds: its share of its batch's.
        trace: what was predicted on the way.
        calls: of the UNet, that drawing it to the end takes.
        stop: where and why it was not drawn to its end; its pixels are then what was predicted there.
        film: the predictions side by side, (H, W, 3) uint8, where they were asked for.
    """

    case: Case
    pixels: np.ndarray
    finite: bool
    seconds: float
    trace: Trace
    calls: int
    stop: Abort | None
    film: np.ndarray | None


@torch.inference_mode()
def draw(
    renderer: Renderer,
    cases: Sequence[Case],
    sampling: Sampling,
    batch: int | None = None,
    watch: WatchSettings = UNWATCHED,
) -> Iterator[Rendered]:
    """Draw the cases in order.

    An image's noise depends on its seed and size alone, whatever it is drawn together with.

    Args:
        batch: images a call; None for as many as fit. Halved where they do not.

    Raises:
        torch.OutOfMemoryError: not even one image fits.
    """
    colours = rgb_map(renderer.pipe.vae) if watch.film else None
    images = renderer.batches.size(sampling, batch)
    while cases:
        part = cases[:images]
        drawn = _draw_if_it_fits(renderer, part, sampling, watch, colours)
        if drawn is None:
            images = renderer.batches.halved(sampling, len(part))
        else:
            yield from drawn
            cases = cases[len(part) :]
            images = renderer.batches.size(sampling, batch)


def _draw_if_it_fits(
    renderer: Renderer,
    cases: Sequence[Case],
    sampling: Sampling,
    watch: WatchSettings,
    colours: Tensor | None,
) -> list[Rendered] | None:
    try:
        with renderer.batches.measured(sampling, len(cases)):
            return _draw_batch(renderer, cases, sampling, watch, colours)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(cases) == 1:
            raise torch.OutOfMemoryError(str(error)) from error
        return None


def _draw_batch(
    renderer: Renderer,
    cases: Sequence[Case],
    sampling: Sampling,
    watch: WatchSettings,
    colours: Tensor | None,
) -> list[Rendered]:
    began = time.perf_counter()
    pipe = renderer.pipe
    scheduler = scheduler_for(sampling, renderer.scheduler_config)
    calls = len(scheduler.timesteps)
    recorder = Recorder(len(cases), calls, watch)
    text = _conditioning(renderer, cases, sampling)
    seeds = [case.seed for case in cases]
    drawn = denoise(pipe.unet, scheduler, text, seeds, sampling, pipe.vae_scale_factor, recorder)
    images = decode(pipe.vae, recorder.latents(drawn))
    finite = finite_rows(images).tolist()
    pixels = to_uint8(images)
    films = [None] * len(cases)
    if colours is not None:
        films = [film(preview(frames, colours)) for frames in recorder.films()]
    traces = recorder.traces()
    seconds = (time.perf_counter() - began) / len(cases)
    return [
        Rendered(case, pixels[i], finite[i], seconds, traces[i], calls, recorder.stops.get(i), films[i])
        for i, case in enumerate(cases)
    ]


def _conditioning(renderer: Renderer, cases: Sequence[Case], sampling: Sampling) -> Conditioning:
    """The texts of a batch in the order in which the loop asks: see `denoise`."""
    prompts = [_encoded(renderer, case.text, sampling.clip_skip) for case in cases]
    texts = list(prompts)
    if is_guided(sampling):
        texts = [_negative(renderer, case, sampling) for case in cases] + texts
    if sampling.pag_scale > 0:
        texts += prompts
    return stacked(texts)


def _negative(renderer: Renderer, case: Case, sampling: Sampling) -> Encoded:
    """An empty negative prompt is zeros, or encoded as it is.

    Zeros are what SDXL was trained with, and what diffusers and A1111 use; ComfyUI encodes the empty text.
    """
    if not case.negative and sampling.unconditional == "zeros":
        return zeros_like(_encoded(renderer, case.text, sampling.clip_skip))
    return _encoded(renderer, case.negative, sampling.clip_skip)


def _encoded(renderer: Renderer, text: str, clip_skip: int) -> Encoded:
    """A text's embedding, computed once for as long as the text encoders stay what they are."""
    if len(renderer.encoded) == MOST_TEXTS:
        renderer.encoded.clear()
    if (text, clip_skip) not in renderer.encoded:
        renderer.encoded[text, clip_skip] = encode(renderer.pipe, text, clip_skip)
    return renderer.encoded[text, clip_skip]
