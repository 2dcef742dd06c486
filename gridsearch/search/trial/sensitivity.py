"""The sensitivity of a merge to each of its searched ratios, from one backward pass through the UNet.

A ratio moves every weight W of its keys by dW, so it moves a loss by the sum of dL/dW times dW (the chain
rule, as AdaMerging has it: Yang et al. 2024, arXiv:2310.02575). The loss is how far off the merge finds the
references again under noise (`render.probe`). All ratios share the one gradient, however many they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.values import Range
from gridsearch.merge.engine.live import stale_keys
from gridsearch.render.denoise.noised import levels_at, relative_error, relative_spread
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.draw import draw
from gridsearch.render.probe import Probe, ask, found_by, make_probe
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import Setup, merge_over, merge_parent

ASKED_REFERENCES = 8
ASKED_TIMESTEPS = range(
    100, 700, 100
)  # of noise, at which a reference's model is asked for its own references
JUST_FOUND = 0.08  # of the variance: there it just finds them again, and the merges are asked
LINE_PLACES = 11  # shares of all ranges at which the merges are asked which of them is best
AROUND = 0.05  # of its range: how far a ratio is moved either way to see what it does to the weights
LOSS_SCALE = 1024.0  # so that gradients in half precision do not vanish (Micikevicius et al. 2018)
MATTERS = 0.8  # the share of all that the ratios do, which the ones worth searching do together

Measure = Callable[[Tensor, Tensor], Tensor]  # of clean latents that are found, and the true ones: (N,)

Probes = Sequence[tuple[Probe, int]]  # references of each model, and a timestep of noise


@dataclass(frozen=True)
class Sensitivity:
    """The effect of a searched ratio, for a step over its whole range, as far as a straight line tells."""

    name: str
    error: float  # of the relative error; below 0 where more of the ratio is better
    spread: float  # of the relative spread; below 0 where it makes pictures paler
    change: float  # the length of its change of the UNet's weights


@dataclass(frozen=True)
class SensitivityMap:
    """The sensitivities of a merge in which all searched ratios are at one share of their ranges."""

    share: float
    error: float
    spread: float
    ratios: tuple[Sensitivity, ...]

    def rows(self) -> list[dict]:
        """Return a row for each ratio, as a table has them."""
        return [vars(one) for one in self.ratios]

    def worth_searching(self) -> list[str]:
        """Return the ratios that do most to the error, the largest first, together `MATTERS` of it all."""
        order = sorted(self.ratios, key=lambda one: -abs(one.error))
        sums = np.cumsum([abs(one.error) for one in order])
        return [one.name for one in order[: int(np.searchsorted(sums, MATTERS * sums[-1])) + 1]]


def sensitivity_map(setup: Setup) -> SensitivityMap:
    """Return the sensitivities at the best of the merges in which all ratios are equal shares.

    Raises:
        BadInput: fewer than two ratios are searched, or something else is.
        RunFailed: the gradient is not finite.
    """
    ranges = searched_ratios(setup.experiment)
    probes = _probes(setup)

    def place(share: float) -> dict[str, float]:
        return {name: along.low + share * (along.high - along.low) for name, along in ranges.items()}

    shares = np.linspace(0, 1, LINE_PLACES)
    found = [answer(setup, probes, place(float(share))) for share in shares]
    best = int(np.argmin([error for error, _ in found]))
    middle = place(float(np.clip(shares[best], AROUND, 1 - AROUND)))  # room to move either way
    by_error = slopes(setup, probes, middle, ranges, relative_error)
    by_spread = slopes(setup, probes, middle, ranges, relative_spread)
    ratios = tuple(
        Sensitivity(name, by_error[name][0], by_spread[name][0], by_error[name][1]) for name in ranges
    )
    return SensitivityMap(float(shares[best]), *found[best], ratios)


def answer(setup: Setup, probes: Probes, place: Mapping[str, float]) -> tuple[float, float]:
    """Return the mean relative error and spread of the merge at these ratios."""
    sampling, batch = _merged_at(setup, place), setup.experiment.render.batch
    answers = [ask(setup.renderer, probe, sampling, [timestep], batch) for probe, timestep in probes]
    error, spread = np.concatenate(answers).mean((0, 1))
    return float(error), float(spread)


def searched_ratios(experiment: Experiment) -> dict[str, Range]:
    """Return the searched ratios and their ranges.

    Raises:
        BadInput: fewer than two are searched, or something else is.
    """
    searched = experiment.searched()
    found = {
        name: values
        for name, values in searched.items()
        if isinstance(values, Range) and "ratio" in name.split(".")
    }
    others = [name for name in searched if name not in found]
    if others or len(found) < 2:
        why = f"{others[0]} is searched too." if others else "Fewer than two ratios are searched."
        fix = "Search ratios of blocks and nothing else: ratio = { blocks = { low = 0.0, high = 1.0 } }."
        raise BadInput("There is no map of blocks to make.", where="merge", why=why, fix=fix)
    return found


def _probes(setup: Setup) -> list[tuple[Probe, int]]:
    """Return references of each model, drawn now, and the timestep at which it just finds its own again.

    With more noise that is a guess: on the toy its error is least far from the ratio that draws best.
    """
    models, found = setup.experiment.reference_models(), []
    for name in models:
        sampling = merge_parent(setup, name)
        cases = setup.cases[: max(1, ASKED_REFERENCES // len(models))]
        pictures = [
            one.pixels for one in draw(setup.renderer, cases, sampling, setup.experiment.render.batch)
        ]
        setup.renderer.encoded.clear()  # what is encoded while drawing can be no part of a gradient
        probe = make_probe(setup.renderer, pictures, cases)
        own = ask(setup.renderer, probe, sampling, ASKED_TIMESTEPS, setup.experiment.render.batch)[
            ..., 0
        ].mean(0)
        rising = np.log(np.maximum.accumulate(np.maximum(own, 1e-9)))
        found.append((probe, round(float(np.interp(np.log(JUST_FOUND), rising, ASKED_TIMESTEPS)))))
    return found


def _merged_at(setup: Setup, place: Mapping[str, float]) -> Sampling:
    """Merge at these ratios; returns the settings of its pictures, without guidance by attention or FreeU.

    Their layers are changed back before activations are computed again.
    """
    recipe = setup.experiment.at(place)
    merge_over(setup, setup.weights.terms(recipe), recipe)
    sampling = sampling_of(recipe.render, setup.parents.of(recipe))
    plain = replace(sampling, pag_scale=0.0, seg_scale=0.0, query_blur=0.0, sanf=False)
    return replace(plain, freeu_b1=1.0, freeu_b2=1.0, freeu_s1=1.0, freeu_s2=1.0)


def slopes(
    setup: Setup,
    probes: Probes,
    place: Mapping[str, float],
    ranges: Mapping[str, Range],
    measure: Measure,
) -> dict[str, tuple[float, float]]:
    """Return what each ratio does to a measure of the merge at `place`, and how much to the UNet's weights.

    Text encoders have no part in it.
    """
    sampling = _merged_at(setup, place)
    gradient, found = gradient_of(setup, probes, sampling, measure), {}
    for name, along in ranges.items():
        step = AROUND * (along.high - along.low)
        first, last = ({**place, name: place[name] + way * step} for way in (-1, 1))
        _merged_at(setup, first)
        terms = setup.weights.terms(setup.experiment.at(last))
        pieces = [piece for key in stale_keys(setup.live, terms) for piece in setup.live.parts[key]]
        pieces = [piece for piece in pieces if piece.name in gradient]
        before = [piece.view.detach().to("cpu", torch.float32, copy=True) for piece in pieces]
        _merged_at(setup, last)
        slope = square = 0.0
        for piece, old in zip(pieces, before, strict=True):
            moved = (piece.view.detach().cpu().float() - old) / (2 * AROUND)
            moved = moved.t() if piece.transposed else moved
            slope += float(torch.dot(gradient[piece.name].flatten(), moved.flatten()))
            square += float(moved.double().square().sum())
        found[name] = slope, square**0.5
        _merged_at(setup, place)
    return found


def gradient_of(setup: Setup, probes: Probes, sampling: Sampling, measure: Measure) -> dict[str, Tensor]:
    """Return the gradient of the mean of a measure by the UNet's weights, by name, float32 on the CPU.

    It takes a reference at a time, and computes activations again on the way back (Chen et al. 2016,
    arXiv:1604.06174): beside the UNet, memory holds its gradient and the activations of a block.

    Raises:
        RunFailed: it is not finite.
    """
    unet = setup.renderer.pipe.unet
    names, weights = zip(*unet.named_parameters(), strict=True)
    sums = [torch.zeros(one.shape, dtype=torch.float32) for one in weights]
    levels = levels_at(setup.renderer.scheduler_config, sampling, [timestep for _, timestep in probes])
    parts = [
        (probe.part(slice(i, i + 1)), level)
        for (probe, _), level in zip(probes, levels, strict=True)
        for i in range(len(probe.cases))
    ]
    try:
        unet.requires_grad_(True)
        unet.enable_gradient_checkpointing()
        for part, level in parts:
            value = measure(found_by(setup.renderer, part, level, sampling), part.latents).mean()
            own = torch.autograd.grad(value * LOSS_SCALE / len(parts), weights, allow_unused=True)
            for total, one in zip(sums, own, strict=True):
                if one is not None:
                    total += one.cpu().float()
    finally:
        unet.requires_grad_(False)
        unet.disable_gradient_checkpointing()
    if not all(bool(one.isfinite().all()) for one in sums):
        raise RunFailed("The gradient of the merge is not finite.", fix='Set render.dtype = "bfloat16".')
    return {f"unet.{name}": one / LOSS_SCALE for name, one in zip(names, sums, strict=True)}
