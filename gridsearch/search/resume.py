"""Continuing a study: what may have changed since, and its trials queued again where it gets more images.

Only the same run may be resumed. It may grow by prompts or seeds: each trial is then queued with its images.
"""

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.parameters import searched_values, substituted
from gridsearch.experiment.recipe import VAE_FILE
from gridsearch.experiment.render_table import Render
from gridsearch.experiment.tables import Scoring
from gridsearch.results import store
from gridsearch.results.shared.queue import lease_kept
from gridsearch.search.cases import held_out_cases, order_of
from gridsearch.search.checks import HELD_OUT, ROLE
from gridsearch.search.parameters import as_given, parameters_of
from gridsearch.search.racing import LAST_STEP

PROMPTS = "the prompts"
# parts whose values are short enough to be named
SHOWN = ("the sampler", "drawn on", "how pictures are drawn", "render.")


class DifferentRun(BadInput):
    """An experiment that is not that of a study; `changed` are the parts in which they differ."""

    def __init__(self, changed: Sequence[str], **said: Any):
        what, why = "This folder holds the results of a different experiment.", ", ".join(changed)
        super().__init__(what, why=f"changed since: {why}.", **said)
        self.changed = changed


def require_same_run(earlier: store.Facts, now: store.Facts, out: Path) -> None:
    """Refuse to mix images that cannot be compared: other models, prompts or settings are another run.

    Prompts and seeds may be added. What a grid searches may grow or shrink; what another sampler has learnt
    holds for its own ranges only.
    """
    changed = changed_parts(earlier, now)
    if not changed:
        return
    other = shlex.join(["gridsearch", "run", now.file, "--out", f"{out}-2"])
    fix = f"Run it in a folder of its own: {other}"
    if changed == ["[score]"]:
        again = shlex.join(["gridsearch", "score", str(out), "--experiment", now.file])
        fix = f"Score its images the same way, then continue: {again}"
    elif changed == [PROMPTS]:
        added = "Prompts and seeds may be added, after those that are there"
        fix = f"{added}; with others, run it in a folder of its own: {other}"
    raise DifferentRun(changed, where=out, fix=fix)


def changed_parts(earlier: store.Facts, now: store.Facts) -> list[str]:
    """Return the parts of a run that decide what an image is and are not as they were, short ones in full."""
    before, after = _comparable(earlier), _comparable(now)
    return [
        f"{part} ({before.get(part)} then, {after.get(part)} now)" if part.startswith(SHOWN) else part
        for part in dict.fromkeys([*before, *after])
        if before.get(part) != after.get(part)
        and not (part == PROMPTS and _only_added(before[part], after[part]))
    ]


def other_versions(before: store.Facts, now: store.Facts) -> dict[str, tuple[str, str]]:
    """Return the packages of another version now, by name, with both versions; builds (`+cpu`) are equal."""
    pairs = {name: (before.versions.get(name, "none"), version) for name, version in now.versions.items()}
    return {name: pair for name, pair in pairs.items() if pair[0].split("+")[0] != pair[1].split("+")[0]}


def versions_note(before: store.Facts, now: store.Facts) -> list[str]:
    """Return a note where a run goes on with packages of other versions than it began with."""
    others = other_versions(before, now).items()
    changed = "; ".join(f"{name} {then} then, {today} now" for name, (then, today) in others)
    since = "Packages have changed since this run's last start"
    return [f"{since} ({changed}): new images may differ slightly."] if changed else []


def _only_added(before: Sequence[dict], after: Sequence[dict]) -> bool:
    """Return whether every prompt is still there as it was, with its seeds and perhaps more."""
    now, usual, seedless = {prompt["id"]: prompt for prompt in after}, {"held_out": False}, {"seeds": ()}
    return all(
        prompt["id"] in now
        and set(prompt["seeds"]) <= set(now[prompt["id"]]["seeds"])
        and usual | prompt | seedless == usual | now[prompt["id"]] | seedless  # earlier ones held none out
        for prompt in before
    )


def _comparable(facts: store.Facts) -> dict:
    """Return the parts of a run that decide what an image is, beside the searched values."""
    searched = searched_values(facts.experiment)
    # searched numbers may change; a searched choice of words may not
    numbers = {
        name: "searched"
        for name, value in searched.items()
        if not (isinstance(value, list) and isinstance(value[0], str))
    }
    experiment = substituted(facts.experiment, numbers)
    # see `drawing`; a batch and a compiled model are the last digit
    free = ("batch", "compile", "trace", "config", "vocabulary", "device", "dtype")
    recipe = Experiment.model_validate(facts.experiment)
    render = Render().model_dump(mode="json") | experiment["render"]
    return {
        **{
            f"model {name}": [
                model.get(key) for key in ("short_hash", "prediction_type", "zero_terminal_snr", "shift")
            ]
            for name, model in facts.models.items()
        },
        **{f"the file of {name}": extra["sha256"] for name, extra in facts.extras.items()},
        # as text: of a table of blocks a later entry overrules an earlier one
        "the merge steps": json.dumps(experiment["merge"]),
        # a VAE's own file is known by its content, and in a choice by its name too
        "the components": [
            recipe.components.text_encoders,
            *({VAE_FILE: "a file"}.get(name, name) for name in recipe.vae_names()),
        ],
        PROMPTS: experiment["prompt"],
        "[score]": Scoring.model_validate(experiment["score"]).model_dump(),  # earlier ones said less
        # earlier ones said less
        **{f"render.{key}": value for key, value in render.items() if key not in free},
        "the sampler": experiment["search"]["sampler"],
        "the searched values": None if experiment["search"]["sampler"] == "grid" else searched,
        "how pictures are drawn": facts.drawing.get("version", 1),
        "the precision of 8-bit models": facts.drawing.get("widened", []),  # earlier runs kept their 8 bits
        "drawn on": facts.drawing["on"],
        "the component configs": facts.drawing["components"],
    }


def has_grown(earlier: store.Facts, now: store.Facts) -> bool:
    """Return whether there are cases that the run did not have."""
    more = len(now.order) > len(order_of(earlier))
    return more or len(held_out_cases(now)) > len(held_out_cases(earlier))


def grown(
    stored: store.Stored, facts: store.Facts
) -> tuple[store.Facts, list[FrozenTrial], list[FrozenTrial]]:
    """Return the study to go on with: facts, trials and checks.

    A whole trial is queued under its own number, and draws only its new cases. One that was stopped stays so.
    """
    trials = list(_queued(stored.trials, len(facts.order) / len(order_of(stored.facts))))
    more = len(held_out_cases(facts)) > len(held_out_cases(stored.facts))
    checks = [
        _waiting(check) if more and check.user_attrs.get(ROLE) == HELD_OUT else check
        for check in stored.checks
    ]
    known = stored.facts
    return replace(facts, references=known.references, probe=facts.probe or known.probe), trials, checks


def _queued(trials: Sequence[FrozenTrial], scale: float) -> Iterable[FrozenTrial]:
    """Yield the trials again; the value of a stopped one, the number of images lost, grows by `scale`."""
    seen = []
    for trial in trials:
        if trial.state == TrialState.COMPLETE or trial.state in store.UNFINISHED:
            # one that was a copy of another is so again, and not drawn itself
            parameters = parameters_of(trial)
            yield _waiting(trial, images=parameters not in seen)
            seen.append(parameters)
        elif trial.state == TrialState.PRUNED:
            assert trial.value is not None  # the last report of a trial that was stopped
            yield valued(trial, trial.value * scale)
        else:
            yield trial


def _waiting(trial: FrozenTrial, images: bool = True) -> FrozenTrial:
    attrs = store.with_images(trial, store.images_of(trial) if images else [])
    attrs.pop(store.SUMMARY, None)
    if trial.state == TrialState.COMPLETE:
        attrs[store.WAS_COMPLETE] = True
    kept = {"fixed_params": as_given(trial)} | lease_kept(trial)
    return create_trial(state=TrialState.WAITING, user_attrs=attrs, system_attrs=kept)


def valued(trial: FrozenTrial, value: float) -> FrozenTrial:
    """Return a trial that was stopped with another value, which is its last report."""
    reports = trial.intermediate_values | {LAST_STEP: value}
    return store.copied(trial, values=[value], intermediate_values=reports)
