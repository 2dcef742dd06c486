"""Cases in, images out: fixed seeds, batches, one picture per case."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gridsearch.render.cases import Case
from gridsearch.render.decode import decode, finite_rows, to_uint8
from gridsearch.render.denoise import denoise
from gridsearch.render.encode import Conditioning, Encoded, encode, stacked, zeros_like
from gridsearch.render.guidance import is_guided
from gridsearch.render.pipeline import Renderer
from gridsearch.render.sampling import Sampling
from gridsearch.render.schedulers import scheduler_for
from gridsearch.render.trace import Recorder, Trace


@dataclass(frozen=True)
class Drawn:
    """An image of a case. `pixels` is (H, W, 3) uint8; non-finite values are black and `finite` says so."""

    case: Case
    pixels: np.ndarray
    finite: bool
    seconds: float
    trace: Trace


@torch.inference_mode()
def draw(renderer: Renderer, cases: Sequence[Case], sampling: Sampling, batch: int) -> Iterator[Drawn]:
    """Draw the cases in order, `batch` at a time.

    An image's noise depends on its seed and size alone.
    """
    for start in range(0, len(cases), batch):
        yield from _draw_batch(renderer, cases[start : start + batch], sampling)


def _draw_batch(renderer: Renderer, cases: Sequence[Case], sampling: Sampling) -> list[Drawn]:
    began = time.perf_counter()
    pipe = renderer.pipe
    recorder = Recorder(len(cases))
    latents = denoise(
        pipe.unet,
        scheduler_for(sampling, renderer.scheduler_config),
        _conditioning(renderer, cases, sampling),
        [case.seed for case in cases],
        sampling,
        pipe.vae_scale_factor,
        recorder,
    )
    images = decode(pipe.vae, latents)
    finite = finite_rows(images).tolist()
    pixels = to_uint8(images)
    seconds = (time.perf_counter() - began) / len(cases)
    return [
        Drawn(case, image, is_finite, seconds, trace)
        for case, image, is_finite, trace in zip(cases, pixels, finite, recorder.traces(), strict=True)
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
    encoded = _encoded(renderer, case.negative, sampling.clip_skip)
    return zeros_like(encoded) if not case.negative and sampling.unconditional == "zeros" else encoded


def _encoded(renderer: Renderer, text: str, clip_skip: int) -> Encoded:
    """A text's embedding, computed once for as long as the text encoders stay what they are."""
    if (text, clip_skip) not in renderer.encoded:
        renderer.encoded[text, clip_skip] = encode(renderer.pipe, text, clip_skip)
    return renderer.encoded[text, clip_skip]
