"""The curve of an earlier study as what a new one expects: of the same models, or of one that both have.

It stands in the place of a probe's answers, and what is drawn bears it out or contradicts it like those.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.parameters import ParameterPlace, searched_places
from gridsearch.experiment.values import Range
from gridsearch.results import store
from gridsearch.results.analysis.probe import (
    AGREES_FROM,
    PROBE,
    differences,
    drawn_losses,
    expectation_of,
    expected_text,
)
from gridsearch.search.resume import changed_parts

# They are looked at here, or decide no image.
APART = ("model ", "the merge steps", "the sampler", "the searched values")
SYMMETRIC = ("weighted_sum", "slerp")  # methods: two models in the other order are the other end of a ratio


def earlier_curve(folder: Path, facts: store.Facts) -> dict[str, Any]:
    """Return what the study in `folder` drew, along the number that a run with these facts searches.

    Models are known by their content. Of two models in the other order the curve is turned round.

    Raises:
        BadInput: it has none of these models in its place, searched another number, or drew too little.
    """
    from gridsearch.results.results import load_results  # pandas, which other plans are spared

    results = load_results(folder)
    before, (place, along) = results.facts, _one_number(facts)
    if _kind(_one_number(before)[0]) != _kind(place):
        what = "The earlier study searched something else."
        why = f"it searched {_searched_text(before)}, and this one {_searched_text(facts)}"
        raise BadInput(what, where=folder, why=why, fix="Name one that searched the same number alone.")
    shared, turned = _shared(before, facts, folder)
    drawn = [(round(1 - at, 10) if turned else at, loss) for at, loss in drawn_losses(results)]
    drawn = sorted(one for one in drawn if along.low <= one[0] <= along.high)
    if len(drawn) < AGREES_FROM:
        what = f"The earlier study drew {len(drawn)} of the values from {along.low:g} to {along.high:g}."
        raise BadInput(what, where=folder, why=f"{AGREES_FROM} are needed", fix="Leave it out.")
    ratios, losses = zip(*drawn, strict=True)
    differs = [part for part in changed_parts(before, facts) if not part.startswith(APART)]
    if _methods(before) != _methods(facts):
        differs.append(f"the methods ({', '.join(_methods(before))} then, {', '.join(_methods(facts))} now)")
    return {"study": str(folder), "ratios": ratios, "losses": losses, "shared": shared, "differs": differs}


def _shared(before: store.Facts, now: store.Facts, folder: Path) -> tuple[list[str], bool]:
    """Return the names of the models that both have, and whether they stand at the other end of the ratio."""
    theirs, ours, place = _models(before), _models(now), _one_number(now)[0]
    hashes = [*theirs.values()]
    shared = [name for name, sha256 in ours.items() if sha256 in hashes]
    moved = [[*ours].index(name) != hashes.index(ours[name]) for name in shared]
    if not shared or (place[0] == "merge" and any(moved)):
        pair = place[0] == "merge" and len(ours) == len(theirs) == 2
        if not (shared and pair and all(moved) and _methods(now)[place[1]] in SYMMETRIC):
            what = "The earlier study has none of these models in its place."
            why = f"it merged {', '.join(theirs)}, and this one {', '.join(ours)}; files are known by content"
            raise BadInput(what, where=folder, why=why, fix="Leave it out.")
    return shared, place[0] == "merge" and any(moved)


def _one_number(facts: store.Facts) -> tuple[ParameterPlace, Range]:
    """Return the place and the range of what is searched; an empty place where that is not one number."""
    experiment = Experiment.model_validate(facts.experiment)
    values, places = [*experiment.searched().values()], [*searched_places(facts.experiment).values()]
    one = len(values) == 1 and isinstance(values[0], Range)
    return (places[0], values[0]) if one else ((), Range(low=0.0, high=1.0))


def _kind(place: ParameterPlace) -> ParameterPlace:
    """Return the place without the number of its step."""
    return (place[0], *place[2:]) if place and place[0] == "merge" else place


def _models(facts: store.Facts) -> Mapping[str, str]:
    """Return the hashes of the models that the searched step merges, or of all."""
    place, known = _one_number(facts)[0], {name: file["sha256"] for name, file in facts.models.items()}
    if not place or place[0] != "merge":
        return known
    return {name: known.get(name, f"step {name}") for name in facts.experiment["merge"][place[1]]["models"]}


def _methods(facts: store.Facts) -> list[str]:
    return [str(step["method"]) for step in facts.experiment["merge"]]


def _searched_text(facts: store.Facts) -> str:
    return " and ".join(searched_places(facts.experiment)) or "nothing"


def expectation_notes(facts: store.Facts) -> list[str]:
    """Return what an earlier study has a run expect, and what was otherwise there, as a note."""
    expected = expectation_of(facts.probe)
    if expected is None or expected.source == PROBE:
        return []
    return [f"Expected from {expected.source}: {expected_text(expected)}{differences(expected)}."]
