"""The VAE of a merge: whether there is one, whether the models' fit it, and what is drawn with it.

Many models are shared without a VAE. One is needed of the file that gives the merge its VAE, and of no other.
"""

import json
from collections.abc import Mapping

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import Checkpoint
from gridsearch.checkpoint.ldm.keys import is_vae
from gridsearch.checkpoint.ldm.recognise import has_vae, merged_keys, own_keys, require_same_shapes
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.recipe import MERGED, VAE_FILE, Recipe


def require_same_vaes(
    recipe: Recipe, checkpoints: Mapping[str, Checkpoint], files: Mapping[str, Checkpoint]
) -> None:
    """Require the same shapes of all VAEs; `files` are the VAE's own ones, by name (see `Recipe.vae_files`).

    A BadInput also where the recipe names a VAE, or has it merged, and a model of those has none.
    """
    if recipe.components.vae is not None:
        require_vae(recipe, checkpoints)
    vaes = {name: checkpoint for name, checkpoint in checkpoints.items() if has_vae(checkpoint)}
    vaes |= {"the VAE's file" if name == VAE_FILE else name: file for name, file in files.items()}
    if vaes:
        first = next(iter(vaes.values()))
        require_same_shapes(vaes, list(filter(is_vae, merged_keys(own_keys(first)))))


def require_vae(recipe: Recipe, checkpoints: Mapping[str, Checkpoint]) -> None:
    """Require a VAE for the merge, without which nothing can be drawn."""
    if not (lacking := without_vae(recipe, checkpoints)):
        return
    having = [name for name, checkpoint in checkpoints.items() if has_vae(checkpoint)]
    model = f'vae = "{having[0]}", or a file: ' if having else ""
    named = recipe.components.vae
    why = (
        f"[components] vae = {json.dumps(named)}" if named else "it is the first model's unless one is named"
    )
    fix = f'Name one under [components]: {model}vae = "sdxl_vae.safetensors".'
    what = f"The merge has no VAE: {lacking[0]} has none."
    raise BadInput(what, where=checkpoints[lacking[0]].path, why=why, fix=fix)


def without_vae(recipe: Recipe, checkpoints: Mapping[str, Checkpoint]) -> tuple[str, ...]:
    """Return the models that should give the merge its VAE and have none."""
    sources = recipe.vae_sources()
    giving = [*sources, *(recipe.merged_models() if MERGED in sources else ())]
    return tuple(name for name in giving if name in checkpoints and not has_vae(checkpoints[name]))


def vae_notes(recipe: Recipe, checkpoints: Mapping[str, Checkpoint]) -> list[str]:
    """Return a note on a merge that is written without a VAE."""
    if not (lacking := without_vae(recipe, checkpoints)):
        return []
    having = next((name for name, checkpoint in checkpoints.items() if has_vae(checkpoint)), None)
    named = f'vae = "{having}"' if having else "vae"
    return [f"{lacking[0]} has no VAE, so the file has none either. [components] {named} puts one into it."]


def vae_of_reference(recipe: Recipe) -> str:
    """Return the model or file whose VAE draws the references of a model that has none: the merge's."""
    source = recipe.vae_source()
    return recipe.merged_models()[0] if source == MERGED else source


def reference_notes(experiment: Experiment, checkpoints: Mapping[str, Checkpoint]) -> list[str]:
    """Return a note on each reference that is drawn with another model's VAE."""
    lacking = [name for name in experiment.reference_models() if not has_vae(checkpoints[name])]
    source = vae_of_reference(experiment)
    return [f"{name} has no VAE: its references are drawn with that of {source}." for name in lacking]
