"""Checks across values: searches that are bound to fail, and those that change nothing."""

import itertools
import math
from collections.abc import Iterator

from gridsearch.base.errors import BadInput
from gridsearch.base.words import is_number
from gridsearch.checkpoint.ldm.presets import LACKED
from gridsearch.experiment.any_of import AnyOf, MergeStep
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.gradients import Expanded
from gridsearch.experiment.methods import Average, Weighted
from gridsearch.experiment.parameters import deciding_choices, model_place
from gridsearch.experiment.render_table import Render
from gridsearch.experiment.values import Range, choices_of, is_searched, least_and_most
from gridsearch.render.denoise.hires import SETTINGS
from gridsearch.render.denoise.sampling import (
    FLOW_SCHEDULES,
    FLOW_SPACINGS,
    OF_ANOTHER,
    OF_NEGATIVE,
    SAMPLERS,
    least_cfg,
)

MOST_SUMS = 10_000  # combinations of weights that are tried one by one


def require_dependent(experiment: Experiment) -> None:
    """Refuse a search in which some trials are bound to fail.

    Raises:
        BadInput: weights that are divided by their sum may sum to zero.
    """
    for step in itertools.chain(*_steps(experiment)):
        if not (isinstance(step, Weighted) and step.weights and step.only_proportions_count()):
            continue
        if _may_cancel(step.weights):
            why = "They are divided by their sum, so such a trial would fail."
            instead = ", or set normalize = false" if isinstance(step, Average) else ""
            fix = f"Give them ranges above zero{instead}."
            what = f"The weights of step {step.name!r} may sum to zero."
            raise BadInput(what, where=f"{step.name}.weights", why=why, fix=fix)


def _steps(experiment: Experiment) -> Iterator[list[MergeStep]]:
    """Yield each step; one whose method is searched as it is with each of its methods."""
    for i, step in enumerate(experiment.merge):
        methods = step.methods() if isinstance(step, AnyOf) else ()
        yield [experiment.at({f"{step.name}.method": one}).merge[i] for one in methods] or [step]


def _may_cancel(weights: tuple) -> bool:
    grids = [choices_of(weight) for weight in weights]
    endless = any(isinstance(weight, Range) and weight.step is None for weight in weights)
    if not endless and math.prod(map(len, grids)) <= MOST_SUMS:
        return any(math.isclose(sum(one), 0, abs_tol=1e-9) for one in itertools.product(*grids))
    ends = [least_and_most(weight) for weight in weights]
    return sum(low for low, _ in ends) <= 0 <= sum(high for _, high in ends)


def require_flowing(render: Render, why: str) -> None:
    """Refuse settings that rectified flow is not defined for; `why` says what is drawn so.

    Raises:
        BadInput: a sampler, a noise schedule or the spacing is one of those.
    """
    known = {
        "sampler": tuple(name for name, sampler in SAMPLERS.items() if sampler.flow),
        "schedule": FLOW_SCHEDULES,
        "timestep_spacing": FLOW_SPACINGS,
    }
    for name, defined in known.items():
        asked = getattr(render, name)
        if odd := [one for one in choices_of(asked) if one is not None and one not in defined]:
            what = f"The {name.replace('_', ' ')} {odd[0]} is not defined for rectified flow."
            fix = f"Take {', '.join(defined)}{'.' if name == 'sampler' else ', or leave it out.'}"
            raise BadInput(what, where=f"render.{name}", why=why, fix=fix)


def dependent_notes(experiment: Experiment) -> list[str]:
    """Return a sentence for each searched value that changes nothing, and each end that no step meets."""
    of_steps = [*map(_of_lacked, experiment.merge), *map(_of_methods, _steps(experiment))]
    of_render = [*_of_render(experiment.render), *_of_unconditional(experiment)]
    return [*_of_ranges(experiment), *_of_choices(experiment), *itertools.chain(*of_steps), *of_render]


def _of_ranges(experiment: Experiment) -> Iterator[str]:
    for name, value in experiment.searched().items():
        if isinstance(value, Range) and (last := value.values()[-1]) < value.high:
            yield (
                f"{name} goes from {value.low:g} in steps of {value.step:g} to {last:g}: the end of its "
                f"range, {value.high:g}, is never drawn."
            )


def _of_choices(experiment: Experiment) -> Iterator[str]:
    """Yield a note for each choice of a method or a VAE with which other searched values have no effect."""
    done = "a grid draws them once" if experiment.search.sampler == "grid" else "such trials draw the same"
    searched = experiment.searched()
    for name in deciding_choices(experiment.places()):
        for value in searched[name]:
            if vain := sorted(experiment.without_effect({name: value})):
                yield f"Where {name} is {value}, searching {', '.join(vain)} changes nothing: {done}."


def _of_unconditional(experiment: Experiment) -> Iterator[str]:
    render = experiment.render
    if is_searched(render.unconditional) and all(prompt.negative for prompt in experiment.prompt):
        yield (
            "Every prompt has a negative prompt, and render.unconditional only says what stands in the place "
            "of an empty one: searching it changes nothing."
        )


def _of_lacked(step: MergeStep) -> Iterator[str]:
    ratio = step.numbers().get("ratio")
    if isinstance(ratio, Expanded) and ratio.lacked:
        yield (
            f"{ratio.lacked} of the weights of step {step.name} are for blocks that SDXL does not have "
            f"({LACKED}), and are left out, as supermerger does."
        )


def _of_methods(steps: list[MergeStep]) -> Iterator[str]:
    """Yield the notes on a step with each of its methods, named where a note is not true of all."""
    methods: dict[str, list[str]] = {}  # of each note
    for step in steps:
        for note in _of_step(step):
            methods.setdefault(note, []).append(step.method)
    for note, those in methods.items():
        yield note if len(those) == len(steps) else f"With the method {' or '.join(those)}: {note}"


def _of_step(step: MergeStep) -> Iterator[str]:
    numbers = step.numbers()
    ratio = numbers.pop("ratio", None)
    if is_number(ratio) and ratio in step.alone_at:
        kept = step.alone_at[ratio]
        others = {model_place(i): names for i, names in enumerate(step.models) if i != kept} | numbers
        vain = ", ".join(f"{step.name}.{name}" for name, value in others.items() if is_searched(value))
        if vain:
            left = f"which leaves its {('first', 'second')[kept]} model unchanged"
            yield f"Step {step.name} has ratio {ratio:g}, {left}: searching {vain} changes nothing."
    k = numbers.get("k", 1)
    if 0 in (k if isinstance(k, tuple) else least_and_most(k)):
        yield (
            f"Where {step.name}.k is 0, nothing of the differences is kept, and no other searched value of "
            "that step has any effect."
        )
    if not isinstance(step, Weighted):
        yield from _same_model_twice(step)
    elif step.only_proportions_count() and step.weights and all(map(is_searched, step.weights)):
        yield (
            f"All weights of step {step.name} are searched, but only their proportions matter: give one of "
            "them a plain number."
        )


def _same_model_twice(step: MergeStep) -> Iterator[str]:
    """Yield a note for each two places of a step that may hold the same model."""
    places = step.candidates()
    for i, j in itertools.combinations(range(len(places)), 2):
        searched = isinstance(step.models[i], tuple) or isinstance(step.models[j], tuple)
        if searched and (both := sorted(set(places[i]) & set(places[j]))):
            yield (
                f"Step {step.name} may take {both[0]} as both {model_place(i)} and {model_place(j)}: such "
                "trials do not merge two models."
            )


def _of_render(render: Render) -> Iterator[str]:
    least, most = least_and_most(render.cfg)
    floor = least_cfg(render.sampler)
    for name in OF_NEGATIVE:
        if not is_searched(getattr(render, name)):
            continue
        if most <= floor:
            yield f"render.{name} has no effect at a cfg of {floor:g} or less, where there is no guidance."
        elif least <= floor and name != "unconditional":
            same = "so these trials give identical images"
            yield f"Where render.cfg is {floor:g} or less, render.{name} has no effect, {same}."
    for name, other in OF_ANOTHER.items():
        if is_searched(getattr(render, name)) and least_and_most(getattr(render, other)) == (0, 0):
            yield f"render.{name} has no effect, as render.{other} is 0: searching it changes nothing."
    given = [name for name in SETTINGS if name in render.model_fields_set]
    if given and render.hires_scale is None:
        yield f"render.{given[0]} has no effect without render.hires_scale: nothing is drawn a second time."
    if is_searched(render.cfg) and least < floor:
        off = f"All values of render.cfg up to {floor:g} turn guidance off and give the same images."
        yield f"{off} Start the range at {floor:g}."
