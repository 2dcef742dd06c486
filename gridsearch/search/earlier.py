"""The curve of an earlier study as what a new one expects: of the same models, or of one that both have.

It stands in the place of a probe's answers, and what is drawn bears it out or contradicts it like those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class StudyCurve:
    """The number that a study searched, and what decides whether its curve serves another.

    Attributes:
        place: where the searched number stands, without its step; empty unless one number is searched.
        along: the range of that number.
        models: the hashes of the models that the searched step merges, or of all, by name.
        methods: of all steps.
        symmetric: whether two models in the other order are the other end of the number.
        text: what is searched, for people.
    """

    place: ParameterPlace
    along: Range
    models: Mapping[str, str]
    methods: Sequence[str]
    symmetric: bool
    text: str

    @property
    def merges(self) -> bool:
        return bool(self.place) and self.place[0] == "merge"


def earlier_curve(folder: Path, facts: store.Facts) -> dict[str, Any]:
    """Return what the study in `folder` drew, along the number that a run with these facts searches.

    Models are known by their content. Of two models in the other order the curve is turned round.

    Raises:
        BadInput: it has none of these models in its place, searched another number, or drew too little.
    """
    from gridsearch.results.results import load_results  # pandas, which other plans are spared

    results = load_results(folder)
    before, now = _curve(results.facts), _curve(facts)
    if before.place != now.place:
        what = "The earlier study searched something else."
        why = f"it searched {before.text}, and this one {now.text}"
        raise BadInput(what, where=folder, why=why, fix="Name one that searched the same number alone.")
    shared, turned = _shared(before, now, folder)
    along = now.along
    drawn = [(round(1 - at, 10) if turned else at, loss) for at, loss in drawn_losses(results)]
    drawn = sorted(one for one in drawn if along.low <= one[0] <= along.high)
    if len(drawn) < AGREES_FROM:
        what = f"The earlier study drew {len(drawn)} of the values from {along.low:g} to {along.high:g}."
        raise BadInput(what, where=folder, why=f"{AGREES_FROM} are needed", fix="Leave it out.")
    ratios, losses = zip(*drawn, strict=True)
    differs = [part for part in changed_parts(results.facts, facts) if not part.startswith(APART)]
    if before.methods != now.methods:
        differs.append(f"the methods ({', '.join(before.methods)} then, {', '.join(now.methods)} now)")
    return {"study": str(folder), "ratios": ratios, "losses": losses, "shared": shared, "differs": differs}


def _shared(before: StudyCurve, now: StudyCurve, folder: Path) -> tuple[list[str], bool]:
    """Return the names of the models that both have, and whether the number runs the other way."""
    theirs, ours = [*before.models.values()], [*now.models.values()]
    shared = [name for name, sha256 in now.models.items() if sha256 in theirs]
    moved = [ours.index(now.models[name]) != theirs.index(now.models[name]) for name in shared]
    if not shared or (now.merges and any(moved)):
        pair = now.merges and len(ours) == len(theirs) == 2
        if not (shared and pair and all(moved) and now.symmetric):
            what = "The earlier study has none of these models in its place."
            why = f"it merged {', '.join(before.models)}, and this one {', '.join(now.models)}; "
            raise BadInput(what, where=folder, why=why + "files are known by content", fix="Leave it out.")
    return shared, now.merges and any(moved)


def _curve(facts: store.Facts) -> StudyCurve:
    experiment = Experiment.model_validate(facts.experiment)
    places, values = searched_places(facts.experiment), [*experiment.searched().values()]
    known = {name: file["sha256"] for name, file in facts.models.items()}
    methods = [str(step["method"]) for step in facts.experiment["merge"]]
    place, along, symmetric = next(iter(places.values()), ()), Range(low=0.0, high=1.0), False
    if len(values) != 1 or not isinstance(values[0], Range):
        place = ()
    else:
        along = values[0]
        if place[0] == "merge":
            step = facts.experiment["merge"][place[1]]
            known = {name: known.get(name, f"step {name}") for name in step["models"]}
            symmetric, place = step["method"] in SYMMETRIC, (place[0], *place[2:])
    return StudyCurve(place, along, known, methods, symmetric, " and ".join(places) or "nothing")


def expectation_notes(facts: store.Facts) -> list[str]:
    """Return what an earlier study has a run expect, and what was otherwise there, as a note."""
    expected = expectation_of(facts.probe)
    if expected is None or expected.source == PROBE:
        return []
    return [f"Expected from {expected.source}: {expected_text(expected)}{differences(expected)}."]
