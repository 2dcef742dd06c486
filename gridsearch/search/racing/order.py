"""The order of the cases that the search draws, and the prompts that are kept apart from it."""

import random
from collections.abc import Sequence

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.prompts import Prompt, cases_of
from gridsearch.experiment.tables import Search
from gridsearch.render.cases import Case


def held_out_prompts(
    prompts: Sequence[Prompt], search: Search, earlier: Sequence[str] = (), drawn: Sequence[str] = ()
) -> list[str]:
    """Return the ids of the prompts that only confirm what the search has found.

    Those that say so themselves; where none does, some that are drawn by lot from the search's seed.

    Args:
        earlier: those that were held out before prompts were added; they stay so.
        drawn: ids of the cases that had a say already: their prompts cannot be held out any more.

    Raises:
        BadInput: none is left to search with.
    """
    ids = [prompt.id for prompt in prompts]
    chosen = [prompt.id for prompt in prompts if prompt.held_out or prompt.id in earlier]
    wanted = search.prompts_held_out(len(prompts))
    if wanted > len(chosen) and not any(prompt.held_out for prompt in prompts):
        used = {case.prompt_id for case in cases_of(prompts) if case.id in drawn}
        free = [one for one in ids if one not in chosen and one not in used]
        chosen += random.Random(search.seed).sample(free, min(wanted - len(chosen), len(free)))
    if len(chosen) >= len(prompts):
        raise BadInput(
            "All prompts are held out, so none is left for the search.",
            where="search.held_out",
            fix="Hold out fewer, or write more prompts.",
        )
    return [one for one in ids if one in chosen]


def held_out_notes(experiment: Experiment, held_out: Sequence[str]) -> list[str]:
    """Return a note where fewer prompts are held out than were asked for."""
    wanted = experiment.search.prompts_held_out(len(experiment.prompt))
    if len(held_out) >= wanted or any(prompt.held_out for prompt in experiment.prompt):
        return []
    return [f"{len(held_out)} prompts are held out and not {wanted}: the others have had a say already."]


def drawing_order(
    prompts: Sequence[Prompt], seed: int, shuffled: bool, earlier: Sequence[str] = ()
) -> list[Case]:
    """Return the cases of the search, all prompts in turn: each once before any again.

    Args:
        prompts: those that are not held out.
        shuffled: by the seed; otherwise as they are written.
        earlier: ids of the cases in the order in which they were drawn so far; new ones come after them.
    """
    cases = {case.id: case for case in cases_of(prompts)}
    old = [cases.pop(one) for one in earlier if one in cases]
    return old + (_balanced(list(cases.values()), random.Random(seed)) if shuffled else [*cases.values()])


def _balanced(cases: list[Case], luck: random.Random) -> list[Case]:
    """Return rounds of cases, each with one of every prompt that has any left, in an order of its own."""
    left: dict[str, list[Case]] = {}
    for case in luck.sample(cases, len(cases)):
        left.setdefault(case.prompt_id, []).append(case)
    found = []
    while left:
        found += [left[prompt].pop() for prompt in luck.sample(list(left), len(left))]
        left = {prompt: rest for prompt, rest in left.items() if rest}
    return found
