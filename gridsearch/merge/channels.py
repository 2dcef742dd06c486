"""The input channels of a merge's UNet, of which an inpainting model's reads more than others do.

Its first convolution reads the 4 channels of a latent, as everybody's does, and behind those a mask and the
latent of the masked image. Such a model can be merged with ordinary ones where it comes first in a step, as
in AUTOMATIC1111's web UI (modules/extras.py): the first 4 channels are merged, the others stay as they are.
"""

from collections.abc import Iterable, Mapping

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import FIRST_CONV, LATENT_CHANNELS
from gridsearch.checkpoint.header import Checkpoint
from gridsearch.checkpoint.ldm.recognise import input_channels
from gridsearch.experiment.any_of import MergeStep
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.engine.collapse import Terms, terms_of


def step_channels(recipe: Recipe, checkpoints: Mapping[str, Checkpoint]) -> dict[str, int]:
    """Return the channels of each model and step: a step's are those of its first model.

    A BadInput where another model of the step reads channels that the first one does not.
    """
    known = {name: input_channels(checkpoint) for name, checkpoint in checkpoints.items()}
    known |= dict.fromkeys(recipe.adapters, LATENT_CHANNELS)
    for step in recipe.merge:
        first, *others = step.candidates()
        if odd := next((name for name in first if known[name] != known[first[0]]), None):
            fix = "Let the list name models of one kind."
            what = f"{first[0]} and {odd} are alternatives but do not read the same number of channels."
            raise BadInput(what, where=f"step {step.name!r}", why=_said(known, first[0], odd), fix=fix)
        known[step.name] = known[first[0]]
        for name in (name for names in others for name in names):
            if known[name] not in (known[step.name], LATENT_CHANNELS):
                raise _out_of_order(step, first[0], name, known)
    return known


def _out_of_order(step: MergeStep, first: str, name: str, known: Mapping[str, int]) -> BadInput:
    inputs = [names[0] for names in step.candidates()]
    swapped = ", ".join(f'"{one}"' for one in [name, *(one for one in inputs if one != name)])
    fix = f"Write models = [{swapped}]"
    if step.method == "weighted_sum":
        fix += ", which turns the ratio round: 0 is the first model."
    elif step.method == "add_difference" and name == inputs[1]:
        fix += f": at ratio 1 {name} + ({first} - {inputs[2]}) is the same sum."
    else:
        fix += "."
    what = f"{name} reads more channels than {first}, so it has to come first in step {step.name!r}."
    return BadInput(what, where=f"step {step.name!r}", why=_said(known, first, name), fix=fix)


def _said(known: Mapping[str, int], *names: str) -> str:
    return ", ".join(f"{name} reads {known[name]} channels" for name in names)


def kept_terms(recipe: Recipe, channels: Mapping[str, int]) -> Terms | None:
    """Return the terms of the channels that only some of the models read; None where all read the same.

    A step with a model that does not read them leaves them as they are in its first one. `channels` are those
    of `step_channels`.
    """
    if channels[recipe.merge[-1].name] == LATENT_CHANNELS:
        return None
    kept: dict[str, str] = {}  # a step that changes nothing in these channels -> what it takes over
    steps: dict[str, MergeStep] = {}
    for step in recipe.merge:
        inputs = [kept.get(name, name) for (name,) in step.candidates()]
        if {channels[name] for name in inputs} != {channels[step.name]}:
            kept[step.name] = inputs[0]
        else:
            steps[step.name] = step.model_copy(update={"models": tuple(inputs)})
    result = kept.get(recipe.merge[-1].name, recipe.merge[-1].name)
    if result not in steps:
        return ((result, 1.0),)
    before = tuple(steps.values())[: list(steps).index(result) + 1]
    whole = recipe.model_copy(update={"merge": before})
    return terms_of(whole, [FIRST_CONV])[FIRST_CONV]  # adapters have no part in these channels


def require_text_alone(checkpoints: Mapping[str, Checkpoint], drawn: Iterable[str]) -> None:
    """Refuse to draw models that need an image and a mask beside the text."""
    for name in drawn:
        if (found := input_channels(checkpoints[name])) > LATENT_CHANNELS:
            what = f"{name} cannot be drawn from a text alone: it also reads an image and a mask."
            fix = "Merge it without a search: gridsearch merge EXPERIMENT.toml -o FILE [--ratio VALUE]"
            why = f"its UNet reads {found} channels instead of {LATENT_CHANNELS}"
            raise BadInput(what, where=checkpoints[name].path, why=why, fix=fix)


def require_latents_alone(recipe: Recipe, checkpoints: Mapping[str, Checkpoint]) -> None:
    """Refuse what sd-mecha has no layout for."""
    channels = {name: input_channels(checkpoints[name]) for name in recipe.merged_models()}
    if more := next((name for name, count in channels.items() if count > LATENT_CHANNELS), None):
        what = f"sd-mecha cannot merge {more}, whose UNet reads more than {LATENT_CHANNELS} channels."
        raise BadInput(what, where=checkpoints[more].path, fix="Merge it with gridsearch merge.")


def channel_notes(recipe: Recipe, checkpoints: Mapping[str, Checkpoint]) -> list[str]:
    """Return a note on channels that are kept out of the merge."""
    channels = step_channels(recipe, checkpoints)
    few = [name for name in recipe.merged_models() if channels[name] == LATENT_CHANNELS]
    more = [name for name in recipe.merged_models() if channels[name] > LATENT_CHANNELS]
    if not (few and more):
        return []
    kept = channels[more[0]] - LATENT_CHANNELS
    return [
        f"The merge reads {channels[more[0]]} channels, as {more[0]} does. The {kept} that {few[0]} does not "
        f"read are left as they are in {more[0]}."
    ]
