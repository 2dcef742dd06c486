"""The sensitivity of a merge to each of its searched ratios, from two gradients of the UNet.

A ratio moves every weight W of its keys by dW, so it moves a loss by the sum of dL/dW times dW (the chain
rule, as AdaMerging has it: Yang et al. 2024, arXiv:2310.02575). The loss is how far off a probe finds the
merge (`search.trial.probe`); the other gradient is of its strength. All ratios share both, however many
they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.values import Range
from gridsearch.merge.engine.live import stale_keys
from gridsearch.render.cases import Case
from gridsearch.render.denoise.noised import levels_at, relative_error, relative_spread
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.draw import draw
from gridsearch.render.probe import Probe, found_by
from gridsearch.results import store
from gridsearch.results.analysis.probe import derivatives, expectation_of, summed_up
from gridsearch.search.samplers.expectation import PROBED_AT, SHARES, probe_calls, probed_along
from gridsearch.search.trial.probe import Asked, ask_merge, ask_model, cases_asked, merge_at, references_asked
from gridsearch.search.trial.setup import Setup, merge_parent

AROUND = 0.05  # of its range: how far a ratio is moved either way to see what it does to the weights
MOVED = 0.25  # the same where merges are drawn: less would hardly be seen in a few pictures
LOSS_SCALE = 1024.0  # so that gradients in half precision do not vanish (Micikevicius et al. 2018)


def probe_blocks(setup: Setup, asked: Asked) -> dict[str, Any]:
    """Return what merges answer in which all ratios are at one share of their ranges, as facts keep it.

    With it, under `slopes`, is what each ratio does at the best of these shares.

    Raises:
        BadInput: fewer than two ratios are searched, or something else is.
        RunFailed: no merge answers with finite numbers, or the gradient is not finite.
    """
    ranges, place = searched_ratios(setup.experiment), partial(_place, setup.experiment)
    error, spread = zip(*(summed_up(answer(setup, asked, place(share))) for share in SHARES), strict=True)
    found = store.json_safe({"ratios": SHARES, "error": error, "spread": spread})
    expected = expectation_of(found)
    if expected is None:
        raise RunFailed("No merge answers with finite numbers.", fix='Set render.dtype = "bfloat16".')
    middle = place(_inside(expected.best, AROUND))
    by_answer = derivatives(answer(setup, asked, middle))
    off, strength = (slopes(setup, asked, middle, one) for one in by_answer)
    of_ratios = {
        name: {"off": off[name][0], "spread": strength[name][0], "change": off[name][1]} for name in ranges
    }
    references = sum(len(probe.cases) for probe, _ in asked)
    return found | {"slopes": of_ratios, "references": references, "calls": probe_calls(setup.experiment)}


def drawn_strengths(setup: Setup, share: float, cases: Sequence[Case]) -> dict[str, float]:
    """Return what each ratio does to the strength of drawn pictures, over its range: a drawn `spread`.

    That is the mean logarithm of the standard deviation of a picture's values, of two merges for each ratio:
    it alone is moved either way from where all are at one share of their ranges.
    """
    middle, batch = _place(setup.experiment, _inside(share, MOVED)), setup.experiment.render.batch

    def strength(place: Mapping[str, float]) -> float:
        drawn = draw(setup.renderer, cases, merge_at(setup, place), batch)
        return float(np.mean([np.log(max(float(one.pixels.std()), 1.0)) for one in drawn]))

    found = {}
    for name, along in searched_ratios(setup.experiment).items():
        step = MOVED * (along.high - along.low)
        low, high = (strength({**middle, name: middle[name] + way * step}) for way in (-1, 1))
        found[name] = (high - low) / (2 * MOVED)
    return found


def _place(experiment: Experiment, share: float) -> dict[str, float]:
    ranges = searched_ratios(experiment)
    return {name: along.low + share * (along.high - along.low) for name, along in ranges.items()}


def _inside(share: float, around: float) -> float:
    """Return the share, or the nearest with room to move so far either way."""
    return min(max(share, around), 1 - around)


def answer(setup: Setup, asked: Asked, place: Mapping[str, float]) -> np.ndarray:
    """Return relative error and spread (N, timesteps, 2) of the merge at these ratios."""
    return ask_merge(setup, asked, _plain(merge_at(setup, place)))


def searched_ratios(experiment: Experiment) -> dict[str, Range]:
    """Return the searched ratios and their ranges.

    Raises:
        BadInput: fewer than two are searched, or something else is.
    """
    if len(found := probed_along(experiment)) > 1:
        return found
    others = [
        name
        for name, values in experiment.searched().items()
        if "ratio" not in name.split(".") or not isinstance(values, Range)
    ]
    why = f"{others[0]} is searched too." if others else "Fewer than two ratios are searched."
    fix = "Search ratios of blocks and nothing else: ratio = { blocks = { low = 0.0, high = 1.0 } }."
    raise BadInput("There is no map of blocks to draw.", where="merge", why=why, fix=fix)


def ask_models(setup: Setup) -> Asked:
    """Return references of each model, drawn now, and its own answers."""
    found, cases = [], cases_asked(setup, [case.id for case in setup.cases])
    for name in setup.experiment.reference_models():
        drawn = draw(setup.renderer, cases, merge_parent(setup, name), setup.experiment.render.batch)
        found.append(_own_answers(setup, name, cases, [one.pixels for one in drawn]))
    return found


def ask_models_of(setup: Setup, rows: Sequence[Mapping], order: Sequence[str]) -> Asked:
    """Return the references that are drawn (see `probe.references_asked`), and their models' own answers."""
    return [_own_answers(setup, *one) for one in references_asked(setup, rows, order)]


def _own_answers(
    setup: Setup, name: str, cases: Sequence[Case], pictures: Sequence[np.ndarray]
) -> tuple[Probe, Tensor]:
    sampling = merge_parent(setup, name)
    setup.renderer.encoded.clear()  # what is encoded while drawing can be no part of a gradient
    return ask_model(setup, _plain(sampling), cases, pictures)


def _plain(sampling: Sampling) -> Sampling:
    """Return settings without guidance by attention or FreeU.

    Their layers are changed back before activations are computed again.
    """
    plain = replace(sampling, pag_scale=0.0, seg_scale=0.0, query_blur=0.0, sanf=False)
    return replace(plain, freeu_b1=1.0, freeu_b2=1.0, freeu_s1=1.0, freeu_s2=1.0)


def slopes(
    setup: Setup, asked: Asked, place: Mapping[str, float], by_answer: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Return what each ratio does to a loss of the merge at `place`, and how much to the UNet's weights.

    Text encoders have no part in it.

    Args:
        by_answer: the derivatives of the loss by each answer, (N, timesteps, 2).
    """
    sampling = _plain(merge_at(setup, place))
    gradient, found = gradient_of(setup, asked, sampling, by_answer), {}
    for name, along in searched_ratios(setup.experiment).items():
        step = AROUND * (along.high - along.low)
        first, last = ({**place, name: place[name] + way * step} for way in (-1, 1))
        merge_at(setup, first)
        terms = setup.weights.terms(setup.experiment.at(last))
        pieces = [piece for key in stale_keys(setup.live, terms) for piece in setup.live.parts[key]]
        pieces = [piece for piece in pieces if piece.name in gradient]
        before = [piece.view.detach().to("cpu", torch.float32, copy=True) for piece in pieces]
        merge_at(setup, last)
        slope = square = 0.0
        for piece, old in zip(pieces, before, strict=True):
            moved = (piece.view.detach().cpu().float() - old) / (2 * AROUND)
            moved = moved.t() if piece.transposed else moved
            slope += float(torch.dot(gradient[piece.name].flatten(), moved.flatten()))
            square += float(moved.double().square().sum())
        found[name] = slope, square**0.5
        merge_at(setup, place)
    return found


def gradient_of(setup: Setup, asked: Asked, sampling: Sampling, by_answer: np.ndarray) -> dict[str, Tensor]:
    """Return the gradient of a loss (see `slopes`) by the UNet's weights, by name, float32 on the CPU.

    It takes a reference at a time, and computes activations again on the way back (Chen et al. 2016,
    arXiv:1604.06174): beside the UNet, memory holds its gradient and the activations of a block.

    Raises:
        RunFailed: it is not finite.
    """
    unet = setup.renderer.pipe.unet
    names, weights = zip(*unet.named_parameters(), strict=True)
    sums = [torch.zeros(one.shape, dtype=torch.float32) for one in weights]
    levels = levels_at(setup.renderer.scheduler_config, sampling, PROBED_AT)
    parts = [(probe.part(slice(i, i + 1)), own[i]) for probe, own in asked for i in range(len(probe.cases))]
    try:
        unet.requires_grad_(True)
        unet.enable_gradient_checkpointing()
        for (part, own), ways in zip(parts, by_answer.tolist(), strict=True):
            for level, truth, way in zip(levels, own, ways, strict=True):
                found = found_by(setup.renderer, part, level, sampling), truth[None]
                loss = way[0] * relative_error(*found) + way[1] * relative_spread(*found)
                gradient = torch.autograd.grad(loss * LOSS_SCALE, weights, allow_unused=True)
                for total, one in zip(sums, gradient, strict=True):
                    if one is not None:
                        total += one.cpu().float()
    finally:
        unet.requires_grad_(False)
        unet.disable_gradient_checkpointing()
    if not all(bool(one.isfinite().all()) for one in sums):
        raise RunFailed("The gradient of the merge is not finite.", fix='Set render.dtype = "bfloat16".')
    return {f"unet.{name}": one / LOSS_SCALE for name, one in zip(names, sums, strict=True)}
