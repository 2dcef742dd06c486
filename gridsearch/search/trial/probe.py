"""The probe of a search: every merge is asked for the references before anything is drawn of it."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from PIL import Image

from gridsearch.base.errors import RunFailed
from gridsearch.render.cases import case_of, prompt_of
from gridsearch.render.denoise.guidance.branches import branches
from gridsearch.render.probe import answers, ask, make_probe
from gridsearch.results.analysis.probe import summed_up
from gridsearch.score.measure import read_image
from gridsearch.score.verdict import OK
from gridsearch.search.samplers.expectation import PROBED_AT, REFERENCES_ASKED
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import Setup, merge_over, merge_parent


def probe_merges(
    setup: Setup, rows: Sequence[Mapping], order: Sequence[str], parameter: str, ratios: Sequence[float]
) -> dict[str, Any]:
    """Return what the merges at these ratios answer, as facts keep it. The live weights are the last merge's.

    The answer of a reference's own model, with the same guidance, is what theirs is compared with: guidance
    leads away from the reference itself.

    Args:
        rows: the references; of those that are sound the first few are taken, in the order of the cases.
        order: ids of cases.
        parameter: the name of the ratio.

    Raises:
        RunFailed: no reference is sound.
    """
    batch, cases = setup.experiment.render.batch, {case.id: case for case in setup.cases}
    asked, found, calls = [], [], 0
    for name, chosen in chosen_references(setup, rows, order).items():
        sampling = merge_parent(setup, name)  # whose VAE encodes its own pictures
        pictures = [_small(read_image(setup.out / row["file"]), setup) for row in chosen]
        probe = make_probe(setup.renderer, pictures, [cases[case_of(row)] for row in chosen])
        asked.append((probe, answers(setup.renderer, probe, sampling, PROBED_AT, batch)))
        calls += len(chosen) * len(PROBED_AT) * len(branches(sampling))
    if not asked:
        raise RunFailed("No reference is sound, so there is nothing to ask for.")
    for ratio in ratios:
        recipe = setup.experiment.at({parameter: ratio})
        merge_over(setup, setup.weights.terms(recipe), recipe)
        sampling = sampling_of(recipe.render, setup.parents.of(recipe))
        values = [ask(setup.renderer, probe, sampling, PROBED_AT, batch, own) for probe, own in asked]
        found.append(summed_up(np.concatenate(values)))
        calls += sum(one[..., 0].size for one in values) * len(branches(sampling))
    error, spread = zip(*found, strict=True)
    references = sum(len(probe.cases) for probe, _ in asked)
    return {"ratios": [*ratios], "error": error, "spread": spread, "references": references, "calls": calls}


def _small(picture: np.ndarray, setup: Setup) -> np.ndarray:
    """Return a picture in the size of the first pass: a second one enlarges it."""
    size = (setup.experiment.render.width, setup.experiment.render.height)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def chosen_references(
    setup: Setup, rows: Sequence[Mapping], order: Sequence[str]
) -> dict[str, list[Mapping]]:
    """Return the references to ask for, as many of each model: sound ones, every prompt in turn."""
    models = setup.experiment.reference_models()
    each = max(1, REFERENCES_ASKED // len(models))
    found = {}
    for name in models:
        sound = {case_of(row): row for row in rows if row["model"] == name and row["verdict"] == OK.name}
        of_prompts: dict[str, list[Mapping]] = {}
        for case in order:
            if case in sound:
                of_prompts.setdefault(prompt_of(case), []).append(sound[case])
        in_turn = [row for rank in zip_longest(*of_prompts.values()) for row in rank if row is not None]
        found[name] = in_turn[:each]
    return {name: own for name, own in found.items() if own}
