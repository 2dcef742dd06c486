"""Remarks on the models of a pool: duplicates, values that are not finite, and what stands out, in words."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import numpy as np
import torch

from gridsearch.checkpoint.ldm.recognise import family_of
from gridsearch.merge.engine.sources import DTYPES
from gridsearch.merge.pool.relations import Relations
from gridsearch.merge.pool.survey import Surveyed

FAR_AWAY = 3.5  # a modified z-score beyond this is an outlier's (Iglewicz and Hoaglin 1993)
FEWEST = 5  # models, of which one may be told as an outlier
ODD_SIZE = 8.0  # times the usual root mean square of a tensor, or a part of it


def remarks(models: Sequence[Surveyed], main: Relations | None) -> dict[str, list[str]]:
    """Return what stands out of each model; `main` are the relations by which one is far from the others."""
    found: dict[str, list[str]] = {model.name: [] for model in models}
    for told in (_broken(models), _duplicates(models), _nearly_same(models, main), _far(main), _odd(models)):
        for name, text in told:
            found[name].append(text)
    return found


def _broken(models: Sequence[Surveyed]) -> Iterator[tuple[str, str]]:
    for model in models:
        if model.broken:
            key, count = next(iter(model.broken.items()))
            whole = sum(model.broken.values())
            yield model.name, f"{whole:,} values are NaN or infinite, {count:,} of them in {key}"


def _duplicates(models: Sequence[Surveyed]) -> Iterator[tuple[str, str]]:
    """Yield what a model shares with the first that has it: the file, all weights, or the UNet."""
    told: set[str] = set()
    for words, label in (
        ("the same file as", lambda model: model.sha256),
        ("the same weights as", lambda model: tuple(sorted((p, o.digest) for p, o in model.parts.items()))),
        ("the UNet of", lambda model: model.parts["unet"].digest if "unet" in model.parts else None),
    ):
        for first, *others in _groups(models, label):
            for other in others:
                if other.name not in told:
                    told.add(other.name)
                    yield other.name, f"{words} {first.name}{_beside(first, other)}"


def _groups(
    models: Sequence[Surveyed], label: Callable[[Surveyed], Hashable]
) -> Iterator[Sequence[Surveyed]]:
    found = defaultdict(list)
    for model in models:
        if (own := label(model)) is not None:
            found[own].append(model)
    yield from found.values()


def _beside(first: Surveyed, other: Surveyed) -> str:
    """Return which parts of two models differ, in words; empty where none does."""
    parts = dict.fromkeys([*first.parts, *other.parts])
    words = {one.selector: one.words for one in family_of(first.file).text_encoders}
    words |= {"unet": "UNet", "vae": "VAE"}
    differ = [
        words.get(part, part)
        for part in parts
        if getattr(first.parts.get(part), "digest", None) != getattr(other.parts.get(part), "digest", None)
    ]
    return f", with another {' and '.join(differ)}" if differ else ""


def _nearly_same(models: Sequence[Surveyed], main: Relations | None) -> Iterator[tuple[str, str]]:
    """Yield models that differ from an earlier one by no more than rounding to a coarser dtype."""
    by_name = {model.name: model.file.dtypes for model in models}
    if main is None:
        return
    distance = main.distance()
    for i, name in enumerate(main.names):
        for j, other in enumerate(main.names[:i]):
            kinds = {by_name[one][:1] for one in (name, other)}
            steps = max(torch.finfo(DTYPES[kind]).eps for (kind,) in kinds)
            if len(kinds) > 1 and distance[i, j] < steps / 2:
                yield name, f"{other} in another precision"
                break


def _far(main: Relations | None) -> Iterator[tuple[str, str]]:
    """Yield models whose median distance to the others lies far outside of what is usual."""
    for name, far, usual in outliers(main) if main else ():
        yield name, f"far from the others: {far:.1%} in the median, where {usual:.1%} is usual"


def outliers(main: Relations) -> list[tuple[str, float, float]]:
    """Return the models that are far from the others, their median distance, and the usual one."""
    if len(main.names) < FEWEST:
        return []
    distance = main.distance()
    np.fill_diagonal(distance, np.nan)
    own = np.nanmedian(distance, axis=1)
    usual = float(np.median(own))
    spread = float(np.median(np.abs(own - usual))) / 0.6745 or float(np.abs(own - usual).mean()) / 0.7979
    return [
        (name, float(far), usual)
        for name, far in zip(main.names, own, strict=True)
        if spread and (far - usual) / spread > FAR_AWAY
    ]


def _odd(models: Sequence[Surveyed]) -> Iterator[tuple[str, str]]:
    """Yield models of which a tensor's values are of quite another size than the same tensor's elsewhere."""
    sizes: Mapping[str, list[float]] = defaultdict(list)
    for model in models:
        for key, size in model.sizes.items():
            sizes[key].append(size)
    usual = {key: float(np.median(own)) for key, own in sizes.items() if len(own) >= FEWEST}
    for model in models:
        times = {key: size / usual[key] for key, size in model.sizes.items() if usual.get(key)}
        odd = [key for key, ratio in times.items() if not 1 / ODD_SIZE < ratio < ODD_SIZE]
        if odd and not model.broken:
            key = max(odd, key=lambda key: abs(np.log(max(times[key], 1e-30))))
            yield (
                model.name,
                f"{len(odd):,} tensors of an odd size, {key} {times[key]:.3g} times the usual one",
            )
