"""The merge steps collapsed: for every key one weighted sum of sources.

A linear step of linear steps is linear: a chain of them collapses to one coefficient per source and key,
applied in one pass and rounded once. A non-linear step becomes a `Node`, a source of its own, whose inputs
are such sums again. So does what a step takes from an earlier one, where more than `MOST_FUSED` models made
it: it is computed in float32, and where nothing in it is searched it is computed once.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.checkpoint.family import Family
from gridsearch.checkpoint.ldm.keys import is_text, is_vae, selects
from gridsearch.experiment.any_of import MergeStep
from gridsearch.experiment.methods import ADAPTER
from gridsearch.experiment.parameters import all_searched
from gridsearch.experiment.recipe import MERGED, Components, Recipe
from gridsearch.experiment.values import is_searched

MOST_WEIGHT = 1e12  # of a source; half precision ends at 65,504
MOST_FUSED = 4  # sources of an input; a float32 tensor takes as long to read as two of half precision
SUM = "sum"  # the method of a node that is a weighted sum
INPUTS = "inputs"


@dataclass(frozen=True)
class Node:
    """A non-linear step at one key: its method, the sums it takes and its numbers.

    That of `adapter` is the change, at strength one, of an adapter whose change depends on the weight; its
    input is the weight, and its number the adapter's name.

    Attributes:
        varies: the keys of the step that are searched, and `INPUTS` where an earlier step has some.
    """

    method: str
    inputs: tuple["Terms", ...]
    numbers: tuple[tuple[str, Any], ...]
    varies: frozenset[str] = field(default=frozenset(), compare=False, repr=False)


# A weighted sum: sources (a model's or an adapter's name, or a node) with their coefficients, zeros left out.
# It can be compared and hashed: equal terms give equal weights.
Terms = tuple[tuple[str | Node, float], ...]


def terms_of(
    recipe: Recipe,
    keys: Iterable[str],
    touched: Mapping[str, Collection[str]] | None = None,
    dependent: Mapping[str, Collection[str]] | None = None,
    varies: Mapping[str, frozenset[str]] | None = None,
) -> dict[str, Terms]:
    """Return the terms of each key: the share of every source in a merge with nothing left to search.

    `touched` has the file keys that each adapter changes; it has no part in others. `dependent` has those of
    them whose change depends on the weight that the step changes. A ratio of exactly 0 or 1 names one source
    only, and the other's values (a NaN, say) stay out. `varies` is that of the recipe before its values were
    chosen (see `varying`).
    """
    known: dict[tuple, Terms] = {}  # the same for all keys with the same ratios and adapters
    touched, dependent = touched or {}, dependent or {}
    steps = [(step, step.numbers().get("ratio")) for step in recipe.merge]
    found: dict[str, Terms] = {}
    for key in keys:
        if (lent := lent_by(recipe, key)) is not None:
            found[key] = ((lent, 1.0),)
            continue
        ratios = tuple(_key_ratio(step, ratio, key, recipe.its_family) for step, ratio in steps)
        active = tuple(name for name, touches in touched.items() if key in touches)
        bent = tuple(name for name, depends in dependent.items() if key in depends)
        if (ratios, active, bent) not in known:
            known[ratios, active, bent] = _collapsed(recipe, ratios, active, bent, varies or {})
        found[key] = known[ratios, active, bent]
    return found


def lent_by(recipe: Recipe, key: str) -> str | None:
    """Return the model or file that a key's component is copied from; None where it is merged."""
    return next(iter(lenders(recipe, key)), None)


def lenders(recipe: Recipe, key: str) -> tuple[str, ...]:
    """Return the sources that a key's component may be copied from; empty where it is merged.

    There may be several where the first model is one of a list.
    """
    if is_vae(key):
        sources = recipe.vae_sources()
    else:
        sources = (recipe.components.text_encoders if is_text(key) else MERGED,)
    return () if MERGED in sources else sources


def _blocks(step: MergeStep) -> Mapping[str, Any] | None:
    """Return a step's ratios per block, where it has them."""
    ratio = step.numbers().get("ratio")
    return ratio if isinstance(ratio, Mapping) else None


def ratio_at(step: str, blocks: Mapping[str, Any], key: str, family: Family) -> Any:
    """Return the ratio for one key, that of the last entry that means it; a BadInput where none does."""
    meant = [value for selector, value in blocks.items() if selects(selector, key, family)]
    if not meant:
        fix = "Put default = 0.5, say, before the others: it applies to all other keys."
        raise BadInput(f"No ratio of step {step!r} applies to {key}.", fix=fix)
    return meant[-1]


def _key_ratio(step: MergeStep, ratio: Any, key: str, family: Family) -> float | None:
    """Return a step's ratio for one key, where it has one."""
    if isinstance(ratio, Mapping):
        ratio = ratio_at(step.name, ratio, key, family)
    return None if ratio is None else step.ratio_at(key, ratio)


def require_covered(recipe: Recipe, keys: Iterable[str]) -> None:
    """Raise BadInput unless the ratios per block say something for every key that is merged, and only that.

    An entry that means nothing, or that is searched and overruled everywhere, would be a search of nothing.
    """
    merged = [key for key in keys if lent_by(recipe, key) is None]
    for step in recipe.merge:
        if (ratio := _blocks(step)) is None:
            continue
        meant: set[str] = set()
        holds: set[str] = set()
        for key in merged:
            own = [selector for selector in ratio if selects(selector, key, recipe.its_family)]
            meant.update(own)
            holds.add(own[-1] if own else ratio_at(step.name, ratio, key, recipe.its_family))
        for selector, value in ratio.items():
            if selector not in (holds if is_searched(value) else meant):
                raise BadInput(
                    f"The ratio {selector!r} of step {step.name!r} changes nothing.",
                    why="later entries override it everywhere"
                    if selector in meant
                    else "it selects no merged weight; [components] lists what is not merged",
                    fix="Leave it out, or write it after the others.",
                )


def _collapsed(
    recipe: Recipe,
    ratios: tuple[float | None, ...],
    adapters: Collection[str],
    bent: Collection[str],
    varies: Mapping[str, frozenset[str]],
) -> Terms:
    known: dict[str, Terms] = {name: ((name, 1.0),) for name in [*recipe.models, *adapters]}
    for step, ratio in zip(recipe.merge, ratios, strict=True):
        names = [name for (name,) in step.candidates()]
        inputs = [known.get(name, ()) for name in names]  # an adapter elsewhere adds nothing
        own = varies.get(step.name, frozenset())
        if step.method == ADAPTER and names[1] in bent:
            inputs[1] = ((Node(ADAPTER, (inputs[0],), (("adapter", names[1]),), own & {INPUTS}), 1.0),)
        numbers = step.numbers() | ({} if ratio is None else {"ratio": ratio})
        fused = [_fused(one, varies.get(name)) for one, name in zip(inputs, names, strict=True)]
        known[step.name] = _result(step, inputs, fused, numbers, own)
        if not known[step.name]:
            what = f"Step {step.name!r} gives every model a coefficient of zero."
            raise RunFailed(what, why="all its coefficients are zero", fix="Give a model some weight.")
        if any(abs(weight) > MOST_WEIGHT for _, weight in known[step.name]):
            what = f"The coefficients after step {step.name!r} exceed {MOST_WEIGHT:g}."
            raise RunFailed(what, fix="Give smaller ratios.")
    return known[recipe.merge[-1].name]


def _fused(terms: Terms, varies: frozenset[str] | None) -> Terms:
    """Return an input of a step: one of many sources as one."""
    if sources_fused(terms) <= MOST_FUSED:
        return terms
    return ((Node(SUM, (terms,), (), varies or frozenset()), 1.0),)


def sources_fused(terms: Terms) -> int:
    """Return the number of sources of a sum, with those of the steps in it; an adapter's change is one."""
    nodes = [
        source for source, _ in terms if isinstance(source, Node) and source.method not in (SUM, ADAPTER)
    ]
    within = (own for node in nodes for own in node.inputs)
    return len(terms) - len(nodes) + sum(map(sources_fused, within))


def varying(recipe: Recipe) -> dict[str, frozenset[str]]:
    """Return the keys of each step that are searched, and `INPUTS` where an earlier step has some."""
    found: dict[str, frozenset[str]] = {}
    places = [place for _, place in all_searched(recipe.model_dump(include={"merge"}))]
    for i, step in enumerate(recipe.merge):
        own = {str(place[2]) for place in places if place[1] == i}
        earlier = any(found.get(name) for names in step.candidates() for name in names)
        found[step.name] = frozenset(own | ({INPUTS} if earlier else set()))
    return found


def _result(
    step: MergeStep,
    inputs: list[Terms],
    fused: list[Terms],
    numbers: Mapping[str, Any],
    varies: frozenset[str],
) -> Terms:
    """Return what a step makes of its inputs; its ratio is that of one block."""
    ratio = numbers.get("ratio", 0.0)
    if "ratio" in numbers and ratio in step.alone_at:
        return inputs[step.alone_at[ratio]]
    if not step.is_linear():
        return ((Node(step.method, tuple(fused), tuple(numbers.items()), varies), 1.0),)
    mix: dict[str | Node, float] = {}
    for terms, share in zip(fused, step.coefficients(ratio), strict=True):
        for source, weight in terms:
            mix[source] = mix.get(source, 0.0) + share * weight
    return tuple((source, weight) for source, weight in mix.items() if weight != 0)


def sources_in(terms: Terms) -> set[str]:
    """Return the models and adapters that a sum is made of, those inside its nodes too."""
    found: set[str] = set()
    for source, _ in terms:
        found |= {source} if isinstance(source, str) else set().union(*map(sources_in, source.inputs))
    return found


# -- in words


def recipe_text(recipe: Recipe, terms: Mapping[str, Terms]) -> str:
    """Return a merge in one line: `0.35 base + 0.65 burnt`, or its steps where it is no such sum."""
    lent = {name for name in (recipe.components.text_encoders, recipe.vae_source()) if name != MERGED}
    distinct = set(terms.values()) - {((name, 1.0),) for name in lent}
    if len(distinct) == 1:
        (one,) = distinct
        if all(isinstance(source, str) for source, _ in one):
            return " + ".join(f"{weight:.6g} {source}" for source, weight in one)
    return "; ".join(_step_text(step) for step in recipe.merge)


def lent_text(recipe: Recipe) -> list[str]:
    """Return the components that are not taken from the default: `text_encoders of base`."""
    usual = Components()
    return [f"{name} of {source}" for name, source in recipe.components if source != getattr(usual, name)]


def _step_text(step: MergeStep) -> str:
    settings = step.model_dump(exclude={"name", "method", "models"}, exclude_none=True)
    numbers = ", ".join(f"{name} {_number_text(value)}" for name, value in settings.items())
    return f"{step.name} = {step.method}({step.inputs_text()}{numbers and f'; {numbers}'})"


def _number_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{block}={number:g}" for block, number in value.items())
    values = value if isinstance(value, (list, tuple)) else (value,)
    return " ".join(one if isinstance(one, str) else f"{one:g}" for one in values)
