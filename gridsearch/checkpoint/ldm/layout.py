"""The map between the keys of a single-file checkpoint and the parameters of a diffusers pipeline.

A checkpoint file names its tensors as the original code did (`open_clip` for SDXL's second text
encoder); diffusers names, reshapes and splits some of them. `file_views` gives, for every
file key, views onto the live parameters *in the file's own shape*, so that writing into a view changes
the model that draws, and reading the views in order gives the file back. Both directions are exact.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from torch import Tensor, nn

from gridsearch.checkpoint.families import family_of_components
from gridsearch.checkpoint.family import Family
from gridsearch.checkpoint.ldm.names import VAE_ATTENTION, places


@dataclass(frozen=True)
class LiveRows:
    """Rows `rows` of a file tensor, as a view onto a live parameter (`view.shape == file[rows].shape`).

    `name` is that parameter as diffusers and transformers name it, its component in front; `transposed`
    says that the view is the parameter's transpose.
    """

    rows: slice
    view: Tensor
    name: str = ""
    transposed: bool = False


def file_views(components: Mapping[str, nn.Module]) -> dict[str, list[LiveRows]]:
    """Map every file key to views onto the parameters of a pipeline's models: `unet`, `text_encoder`, ...

    `components` are the pipeline's modules by diffusers' names (`pipe.components` will do). The parts that
    make up a key are in row order: one for all but the joined attention projections of the second text
    encoder, which have three.
    """
    found: dict[str, list[LiveRows]] = {}
    family = family_of_components(components)
    for component, part in family.pipeline_parts.items():
        found |= _views(component, part, components[component], family)
    return found


def _views(component: str, part: str, module: nn.Module, family: Family) -> dict[str, list[LiveRows]]:
    names = {name.removeprefix("text_model."): name for name, _ in module.named_parameters()}
    placed = places(part, names, family)
    found: dict[str, dict[int, LiveRows]] = defaultdict(dict)
    for stem, name in names.items():
        place, view = placed[stem], module.get_parameter(name).data
        if place.transposed:
            view = view.T
        if VAE_ATTENTION.fullmatch(place.key) and view.ndim == 2:
            view = view[:, :, None, None]
        found[place.key][place.row] = LiveRows(slice(None), view, f"{component}.{name}", place.transposed)
    return {key: _in_rows([own[row] for row in sorted(own)]) for key, own in found.items()}


def _in_rows(views: list[LiveRows]) -> list[LiveRows]:
    """Return the views with the rows of the file's tensor that each has, one after the other."""
    if len(views) == 1:
        return views
    ends = list(accumulate(view.view.shape[0] for view in views))
    return [
        replace(view, rows=slice(start, end))
        for view, (start, end) in zip(views, pairwise([0, *ends]), strict=True)
    ]


def last_norm(encoder: nn.Module) -> nn.Module:
    """Return the norm behind the last layer of a text encoder, wherever transformers keeps it."""
    return getattr(encoder, "text_model", encoder).get_submodule("final_layer_norm")


def file_shape(parts: list[LiveRows]) -> tuple[int, ...]:
    """Return the shape of the file tensor that the parts make up."""
    return (sum(part.view.shape[0] for part in parts), *parts[0].view.shape[1:])
