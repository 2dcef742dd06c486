"""The probe of a search: every merge is asked for the references before anything is drawn of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from gridsearch.base.errors import RunFailed
from gridsearch.render.cases import Case, case_of, prompt_of
from gridsearch.render.denoise.guidance.branches import branches
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.probe import Probe, answers, ask, make_probe
from gridsearch.results.analysis.probe import summed_up
from gridsearch.score.measure import read_image
from gridsearch.score.verdict import OK
from gridsearch.search.samplers.expectation import PROBED_AT, REFERENCES_ASKED
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import Setup, merge_over, merge_parent

Asked = Sequence[tuple[Probe, Tensor]]  # of each model: references, its own answers (N, timesteps, C, h, w)


def probe_merges(
    setup: Setup, rows: Sequence[Mapping], order: Sequence[str], parameter: str, ratios: Sequence[float]
) -> dict[str, Any]:
    """Return what the merges at these ratios answer, as facts keep it. The live weights are the last merge's.

    Args:
        rows, order: of the references, as `references_asked` takes them.
        parameter: the name of the ratio.

    Raises:
        RunFailed: no reference is sound.
    """
    asked, found, calls = [], [], 0
    for name, chosen, pictures in references_asked(setup, rows, order):
        sampling = merge_parent(setup, name)  # whose VAE encodes its own pictures
        asked.append(ask_model(setup, sampling, chosen, pictures))
        calls += len(chosen) * len(PROBED_AT) * len(branches(sampling))
    for ratio in ratios:
        sampling = merge_at(setup, {parameter: ratio})
        values = ask_merge(setup, asked, sampling)
        found.append(summed_up(values))
        calls += values[..., 0].size * len(branches(sampling))
    error, spread = zip(*found, strict=True)
    return {"ratios": [*ratios], "error": error, "spread": spread, "references": len(values), "calls": calls}


def references_asked(
    setup: Setup, rows: Sequence[Mapping], order: Sequence[str]
) -> list[tuple[str, list[Case], list[np.ndarray]]]:
    """Return the models that are asked first, the cases they are asked for, and their pictures.

    Args:
        rows: the references; of those that are sound the first few are taken, in the order of the cases.
        order: ids of cases.

    Raises:
        RunFailed: no reference is sound.
    """
    found = []
    for name in setup.experiment.reference_models():
        sound = {case_of(row): row for row in rows if row["model"] == name and row["verdict"] == OK.name}
        if chosen := cases_asked(setup, [case for case in order if case in sound]):
            found.append((name, chosen, [read_image(setup.out / sound[case.id]["file"]) for case in chosen]))
    if not found:
        raise RunFailed("No reference is healthy, so there is nothing to probe with.")
    return found


def cases_asked(setup: Setup, order: Iterable[str]) -> list[Case]:
    """Return the cases that a model is asked for, of these ids: the first few, every prompt in turn."""
    cases, of_prompts = {case.id: case for case in setup.cases}, defaultdict(list)
    for case in order:
        of_prompts[prompt_of(case)].append(cases[case])
    in_turn = [case for rank in zip_longest(*of_prompts.values()) for case in rank if case is not None]
    return in_turn[: max(1, REFERENCES_ASKED // len(setup.experiment.reference_models()))]


def ask_model(
    setup: Setup, sampling: Sampling, cases: Sequence[Case], pictures: Iterable[np.ndarray]
) -> tuple[Probe, Tensor]:
    """Return references, uint8 (H, W, 3), as a probe, and the answers of their own model, which is live.

    With these, by the same guidance, those of merges are compared: guidance leads away from the reference.
    """
    size = (setup.experiment.render.width, setup.experiment.render.height)  # a second pass enlarges it
    small = [np.asarray(Image.fromarray(one).resize(size, Image.Resampling.LANCZOS)) for one in pictures]
    probe = make_probe(setup.renderer, small, cases)
    return probe, answers(setup.renderer, probe, sampling, PROBED_AT, setup.experiment.render.batch)


def merge_at(setup: Setup, place: Mapping[str, float]) -> Sampling:
    """Merge at these values of what is searched; returns the settings that the merge is drawn with."""
    recipe = setup.experiment.at(place)
    merge_over(setup, setup.weights.terms(recipe), recipe)
    return sampling_of(recipe.render, setup.parents.of(recipe))


def ask_merge(setup: Setup, asked: Asked, sampling: Sampling) -> np.ndarray:
    """Return relative error and spread of what the live weights find, (N, timesteps, 2) of all references."""
    batch = setup.experiment.render.batch
    return np.concatenate([ask(setup.renderer, *one, sampling, PROBED_AT, batch) for one in asked])
