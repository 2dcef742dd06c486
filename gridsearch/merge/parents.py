"""The parents of a merge: whether their files fit, and their prediction types.

All of it is known from the files' headers, before a weight is read.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import VAE_COMPONENT
from gridsearch.checkpoint.header import Checkpoint, open_checkpoint
from gridsearch.checkpoint.identity import cached_sha256, identity_of, seem_equal, short_hash
from gridsearch.checkpoint.inspect import Hashing, layout_of, shown_metadata
from gridsearch.checkpoint.ldm.keys import is_vae
from gridsearch.checkpoint.ldm.model import open_model, open_part
from gridsearch.checkpoint.ldm.recognise import (
    family_of,
    merged_keys,
    own_keys,
    reading_latents,
    require_float_weights,
    require_same_shapes,
)
from gridsearch.checkpoint.mergeable import require_mergeable
from gridsearch.checkpoint.prediction import FLOW, Prediction, takes_zero_snr
from gridsearch.experiment.checks import require_flowing
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.recipe import MERGED, Recipe
from gridsearch.experiment.render_table import Render
from gridsearch.experiment.values import choices_of, usual_value
from gridsearch.merge.channels import require_text_alone, step_channels
from gridsearch.merge.dtypes import as_written
from gridsearch.merge.vae import require_same_vaes, require_vae


@dataclass(frozen=True)
class Parents:
    """The files of a merge, opened and compared, by their names in the recipe.

    Attributes:
        checkpoints: the models, those that are merged first and in order of first use.
        predictions: the prediction type of each model.
        merged: the models that are merged, or may be; others lend a component or are references only.
        adapters: the adapters' files.
        vaes: the VAE's own file, where it has one, or those to choose from, by their source in the recipe.
    """

    checkpoints: Mapping[str, Checkpoint]
    predictions: Mapping[str, Prediction]
    merged: tuple[str, ...]
    adapters: Mapping[str, Checkpoint]
    vaes: Mapping[str, Checkpoint]
    vae_names: Mapping[str, str]  # source -> name (see `Recipe.vae_files`)

    @property
    def merged_predictions(self) -> dict[str, Prediction]:
        """Return the prediction types of the models that are merged; others do not affect the merge's own."""
        return {name: self.predictions[name] for name in self.merged}

    @property
    def first(self) -> Checkpoint:
        """Return the checkpoint that gives a merge its keys and dtypes."""
        return next(iter(self.checkpoints.values()))

    @property
    def extras(self) -> dict[str, Checkpoint]:
        """Return the adapters, and the VAE's own files."""
        return {**self.adapters, **{self.vae_names[source]: file for source, file in self.vaes.items()}}

    @property
    def files(self) -> dict[str, Path]:
        """Return every file that is read, by the name of the model, of its part, or of what else it is."""
        found: dict[str, Path] = {}
        for name, checkpoint in {**self.checkpoints, **self.extras}.items():
            parts = {f"{name}.{part.label}": part.path for part in checkpoint.parts}
            found |= parts or {name: checkpoint.path}
        return found

    def of(self, recipe: Recipe) -> Self:
        """Return the parents of a trial, in which only the models are merged that its recipe has chosen."""
        return replace(self, merged=recipe.merged_models())


def mode_of_merge(render: Render, parents: Parents) -> tuple[str, bool]:
    """Return the prediction type of a merge's images, and whether they start at zero terminal SNR.

    Where the experiment does not say, the first model that is merged decides.
    """
    merged = list(parents.merged_predictions.values())
    prediction_type = usual_value(render.prediction_type) or merged[0].type
    trained_down = any(prediction.zero_terminal_snr for prediction in merged)
    return prediction_type, zero_snr_of(render, prediction_type, trained_down)


def zero_snr_of(render: Render, prediction_type: str, trained_down: bool) -> bool:
    """Return whether denoising starts at zero terminal SNR, as the experiment says or a model was trained."""
    wanted = render.zero_terminal_snr if render.zero_terminal_snr is not None else trained_down
    return wanted and takes_zero_snr(prediction_type)


def open_parents(recipe: Recipe) -> Parents:
    """Open and compare the files of a recipe, or of an experiment with its references.

    A BadInput where a file is missing, broken, no model that is known, or does not fit the others.
    """
    checkpoints = {name: open_model(recipe.models[name].place) for name in recipe.used_models()}
    predictions = {
        name: require_mergeable(checkpoint, recipe.models[name].prediction_type)
        for name, checkpoint in checkpoints.items()
    }
    _require_one_family(recipe, checkpoints)
    adapters = {name: open_checkpoint(recipe.adapters[name]) for name in recipe.merged_adapters()}
    vae_names = recipe.vae_files()
    vaes = {source: open_part(VAE_COMPONENT, Path(source)) for source in vae_names}
    for file in vaes.values():
        require_float_weights(file)
    first = next(iter(checkpoints.values()))
    keys = [key for key in merged_keys(own_keys(first)) if not is_vae(key)]
    require_same_shapes({name: reading_latents(one) for name, one in checkpoints.items()}, keys)
    step_channels(recipe, checkpoints)
    require_same_vaes(recipe, checkpoints, {vae_names[source]: vae for source, vae in vaes.items()})
    _require_alike(recipe, {name: checkpoints[name] for name in recipe.first_models()})
    return Parents(checkpoints, predictions, recipe.merged_models(), adapters, vaes, vae_names)


def _require_one_family(recipe: Recipe, checkpoints: Mapping[str, Checkpoint]) -> None:
    """Refuse a model of another family than the recipe's: their weights have nothing in common."""
    title = recipe.its_family.title
    for name, checkpoint in checkpoints.items():
        if (own := family_of(checkpoint)) is not recipe.its_family:
            what = f"{name} is an {own.title} model, and the merge is of {title} models."
            fix = f'Name models of one family. For {own.title} models: family = "{own.name}".'
            raise BadInput(what, where=checkpoint.path, fix=fix)


def _require_alike(recipe: Recipe, firsts: Mapping[str, Checkpoint]) -> None:
    """Refuse models that take the first place in turn and would give their merges other keys or dtypes."""
    lends_vae = recipe.components.vae is None or MERGED in recipe.vae_sources()
    dtypes: dict[str, dict[str, str]] = {}
    for name, checkpoint in firsts.items():
        infos = own_keys(checkpoint)
        dtypes[name] = {
            key: as_written(infos[key]).dtype for key in merged_keys(infos) if lends_vae or not is_vae(key)
        }
    (first, kept), *others = dtypes.items()
    for name, theirs in others:
        if odd := next((key for key in {**kept, **theirs} if kept.get(key) != theirs.get(key)), None):
            here, there = kept.get(odd, "missing"), theirs.get(odd, "missing")
            what = f"{first} and {name} are alternatives for the first model but differ in precision."
            why = f"{odd} is {here} in {first} and {there} in {name}"
            fix = "Put another model first (this reverses the ratio), or save them in one precision."
            raise BadInput(what, where=firsts[name].path, why=why, fix=fix)


def require_drawable(experiment: Experiment, parents: Parents) -> None:
    """Require of what is to be drawn a VAE, UNets that read no pictures, and one prediction type.

    That may be set by the experiment; it must be where those of the parents differ. Rectified flow must be
    defined for the settings.
    """
    require_text_alone(parents.checkpoints, [*parents.merged, *experiment.reference_models()])
    require_vae(experiment, parents.checkpoints)
    types = {prediction.type for prediction in parents.merged_predictions.values()}
    if experiment.render.prediction_type is None and len(types) > 1:
        said = [f"{name} predicts {p.type} ({p.source})" for name, p in parents.merged_predictions.items()]
        what = "The parents predict different things, so the experiment must set how to render their merges."
        words = sorted(f'"{one}"' for one in types)
        fix = f"Set render.prediction_type to {' or '.join(words)}, or a list of them to try each."
        raise BadInput(what, why=", ".join(said), fix=fix)
    if flows := _flows(experiment, parents):
        require_flowing(experiment.render, flows[0])


def _flows(experiment: Experiment, parents: Parents) -> list[str]:
    """Return what is drawn as rectified flow, and why, in words: merges, references."""
    merged = [prediction.type for prediction in parents.merged_predictions.values()]
    asked = choices_of(experiment.render.prediction_type or merged[0])
    found = ["the merges are drawn so"] if FLOW in asked else []
    named = [name for name in experiment.reference_models() if parents.predictions[name].type == FLOW]
    return found + [
        f"{name} is a reference and predicts it ({parents.predictions[name].source})" for name in named
    ]


def warnings_about(experiment: Experiment, parents: Parents) -> list[str]:
    """Return warnings about an experiment that may run, but perhaps not as intended."""
    found = [*experiment.notes]
    types = {prediction.type for prediction in parents.merged_predictions.values()}
    if len(types) > 1:
        said = " and ".join(sorted(types))
        why = "only part of the ratios can draw well, and the search finds which"
        found.append(f"The parents predict different things ({said}): {why}.")
    if experiment.render.shift is not None and not _flows(experiment, parents):
        found.append("render.shift has no effect: only rectified flow is shifted.")
    if experiment.render.zero_terminal_snr is None and (odd := _deciding_list(experiment, parents)):
        found.append(
            f"Of {', '.join(odd)} only some were trained with zero terminal SNR, so trials are drawn in two "
            "ways. Set render.zero_terminal_snr to draw all alike."
        )
    for name, prediction in parents.predictions.items():
        if prediction.conflicts:
            said = " and ".join(prediction.conflicts)
            found.append(f"{name} is taken as {prediction.type} ({prediction.source}), but {said}.")
    found += [note for checkpoint in parents.checkpoints.values() for note in checkpoint.notes]
    found += [
        f"{one} and {other} hold the same bytes: merging them changes nothing."
        for one, other in same_models(parents.checkpoints)
    ]
    unused = [f"model {name}" for name in experiment.models if name not in parents.checkpoints]
    unused += [f"adapter {name}" for name in experiment.adapters if name not in parents.adapters]
    found += [f"The {one} is used by no merge step." for one in unused]
    if len(experiment.prompt) == 1:
        found.append("One prompt only: the best ratio will be a guess. With 8 it is an estimate, better 16.")
    return found


def same_models(checkpoints: Mapping[str, Checkpoint]) -> list[tuple[str, str]]:
    """Return the pairs of names whose files are one file or, as far as samples tell, copies of it."""
    alone = {name: found.path for name, found in checkpoints.items() if not found.parts}
    return [pair for pair in itertools.combinations(alone, 2) if seem_equal(*(alone[name] for name in pair))]


def _deciding_list(experiment: Experiment, parents: Parents) -> tuple[str, ...]:
    """Return the models of a list whose choice decides about zero terminal SNR; empty where there is none."""
    places = [names for step in experiment.merge for names in step.candidates()]
    trained = {name for name, p in parents.merged_predictions.items() if p.zero_terminal_snr}
    if any(trained >= set(names) for names in places):
        return ()  # whatever is chosen, one that was trained so is merged
    return next((names for names in places if trained & set(names)), ())


def identify(parents: Parents, hashing: Hashing) -> dict[str, dict]:
    """Describe each parent: SHA-256, layout, metadata, prediction type and where that was read.

    Of a model in several files, each of them too.
    """
    found: dict[str, dict] = {}
    for name, checkpoint in parents.checkpoints.items():
        sha256, parts = identity_of(checkpoint, hashing(name, checkpoint.bytes))
        prediction = parents.predictions[name]
        found[name] = {
            "path": str(checkpoint.path),
            "sha256": sha256,
            "short_hash": short_hash(sha256),
            "bytes": checkpoint.bytes,
            "layout": layout_of(checkpoint),
            "dtype": ", ".join(checkpoint.dtypes),
            "prediction_type": prediction.type,
            "prediction_type_source": prediction.source,
            "prediction_type_conflicts": list(prediction.conflicts),
            "zero_terminal_snr": prediction.zero_terminal_snr,
            **({"shift": prediction.shift} if prediction.shift else {}),
            "metadata": shown_metadata(checkpoint.metadata),
        }
        if parts:
            found[name]["files"] = [
                {"part": p.label, "path": str(p.path), "sha256": parts[p.label], "bytes": p.bytes}
                for p in checkpoint.parts
            ]
    return found


def identify_extras(parents: Parents, hashing: Hashing) -> dict[str, dict]:
    """Describe the adapters, and the VAE's own files."""
    return {
        name: {
            "path": str(file.path),
            "sha256": cached_sha256(file.path, hashing(name, file.bytes)),
            "bytes": file.bytes,
        }
        for name, file in parents.extras.items()
    }
