"""The cases of a run: how many, in which order the search draws them, and which are kept apart from it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.prompts import Prompt, cases_of
from gridsearch.experiment.tables import Search
from gridsearch.render.cases import Case
from gridsearch.results import store
from gridsearch.search.samplers.by_name import expected_glances, expected_trials


@dataclass(frozen=True)
class Counts:
    """The size of the run that an experiment asks for."""

    trials: int  # at most
    glances: int  # further trials, of which an image each is drawn, at most
    fewest: int  # trials that a search which ends by itself will probably take at least
    cases: int  # of a trial
    held_out: int  # cases that only confirm what was found
    references: int
    checks: int  # images at most of the leaders on held-out prompts, and of the best again

    @property
    def images(self) -> int:
        """All of them, at most."""
        return self.trials * self.cases + self.glances + self.references + self.checks


def counted(experiment: Experiment) -> Counts:
    """Count an experiment's trials and images.

    Raises:
        BadInput: no prompt is left to search with.
    """
    fewest, trials = expected_trials(experiment)
    apart = held_out_prompts(experiment.prompt, experiment.search)
    every = cases_of(experiment.prompt)
    held_out = sum(case.prompt_id in apart for case in every)
    cases = len(every) - held_out
    references = len(every) * len(experiment.reference_models())
    checks = min(experiment.search.confirm, trials) * held_out + cases
    return Counts(trials, expected_glances(experiment), fewest, cases, held_out, references, checks)


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
        what = "All prompts are held out, so none is left for the search."
        raise BadInput(what, where="search.held_out", fix="Hold out fewer, or write more prompts.")
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

    New ones come after those that were drawn `earlier`, shuffled by the seed or as they are written.
    """
    cases = {case.id: case for case in cases_of(prompts)}
    order = [cases.pop(one) for one in earlier if one in cases]
    if not shuffled:
        return [*order, *cases.values()]
    luck = random.Random(seed)
    left: dict[str, list[Case]] = {}
    for case in luck.sample([*cases.values()], len(cases)):
        left.setdefault(case.prompt_id, []).append(case)
    while left:  # a round: one of every prompt that has any left, in an order of its own
        order += [left[prompt].pop() for prompt in luck.sample(list(left), len(left))]
        left = {prompt: rest for prompt, rest in left.items() if rest}
    return order


def order_of(facts: store.Facts) -> list[str]:
    """Return the ids of a run's cases, as they are drawn; of an earlier version's, as they are written."""
    return facts.order or [case.id for case in _cases_in(facts)]


def held_out_cases(facts: store.Facts) -> list[str]:
    """Return the ids of the cases that a run keeps apart."""
    return [case.id for case in _cases_in(facts) if case.prompt_id in facts.held_out]


def _cases_in(facts: store.Facts) -> tuple[Case, ...]:
    return cases_of(Experiment.model_validate(facts.experiment).prompt)
