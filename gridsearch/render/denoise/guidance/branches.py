"""The predictions that a step needs for each image, in the order of the rows of a batch."""

from collections.abc import Callable

from gridsearch.render.denoise.sampling import Sampling

WITHOUT, WITH, PERTURBED, SMOOTHED = "without", "with", "perturbed", "smoothed"
# Branch -> whether the settings ask for it. All but the first are of the prompt.
BRANCHES: dict[str, Callable[[Sampling], bool]] = {
    WITHOUT: lambda sampling: sampling.is_guided,
    WITH: lambda sampling: True,
    PERTURBED: lambda sampling: sampling.pag_scale > 0,
    SMOOTHED: lambda sampling: sampling.seg_scale > 0 and sampling.seg_sigma > 0,
}


def branches(sampling: Sampling) -> tuple[str, ...]:
    """Return the branches of an image, as its texts and sizes are ordered too."""
    return tuple(name for name, is_asked in BRANCHES.items() if is_asked(sampling))


def branches_at(sampling: Sampling, level: float) -> tuple[str, ...]:
    """Return those that are predicted at a noise level sigma / alpha: the last of them, or all.

    Outside a limited interval of noise levels, nothing is predicted without the prompt (Kynkäänniemi et al.
    2024, "Applying Guidance in a Limited Interval Improves Sample and Distribution Quality").
    """
    inside = sampling.cfg_sigma_low < level <= sampling.cfg_sigma_high
    return tuple(name for name in branches(sampling) if inside or name != WITHOUT)
