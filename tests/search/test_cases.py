"""Which prompts are held out, and in which order the others' cases are drawn."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsearch.base.errors import BadInput
from gridsearch.experiment.prompts import Prompt, cases_of
from gridsearch.experiment.tables import Search
from gridsearch.search.cases import drawing_order, held_out_prompts


def prompts(*seeds: int, held_out=()) -> list[Prompt]:
    """p1, p2, ... with so many seeds each."""
    return [
        Prompt(id=f"p{i}", text=f"text {i}", seeds=tuple(range(count)), held_out=i in held_out)
        for i, count in enumerate(seeds, start=1)
    ]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(0, 99))
def test_every_case_once_and_every_prompt_before_any_again(seeds, seed):
    these = prompts(*seeds)
    order = drawing_order(these, seed, shuffled=True)
    assert sorted(case.id for case in order) == sorted(case.id for case in cases_of(these))
    drawn = Counter()
    for case in order:
        drawn[case.prompt_id] += 1
        waiting = [drawn[p.id] for p in these if drawn[p.id] < len(p.seeds)]
        assert drawn[case.prompt_id] <= min(waiting, default=99) + 1


def test_the_order_follows_from_the_seed_and_is_as_written_where_it_is_not_shuffled():
    these = prompts(2, 2, 2, 2)
    assert drawing_order(these, 5, True) == drawing_order(these, 5, True)
    assert len({tuple(drawing_order(these, seed, True)) for seed in range(10)}) > 5
    assert tuple(drawing_order(these, 5, False)) == cases_of(these)


def test_new_cases_come_after_those_that_were_drawn():
    before = [case.id for case in drawing_order(prompts(1, 1, 1), 0, True)]
    after = [case.id for case in drawing_order(prompts(2, 1, 1, 1), 0, True, before)]
    assert after[:3] == before
    assert sorted(after[3:]) == ["p1_s1", "p4_s0"]


def test_of_eight_prompts_window_holds_two_out_and_a_grid_none():
    eight = prompts(*[1] * 8)
    assert len(held_out_prompts(eight, Search(sampler="window"))) == 2
    assert held_out_prompts(eight, Search(sampler="grid")) == []
    assert held_out_prompts(prompts(1, 1, 1), Search(sampler="window")) == []


def test_prompts_that_say_so_are_held_out_and_no_others():
    assert held_out_prompts(prompts(*[1] * 9, held_out=(2, 5)), Search(sampler="window")) == ["p2", "p5"]


def test_a_prompt_that_had_a_say_is_never_held_out_later():
    search = Search(sampler="window", held_out=2)
    first = held_out_prompts(prompts(*[1] * 8), search)
    drawn = [case.id for case in cases_of(prompts(*[1] * 8)) if case.prompt_id not in first]
    more = held_out_prompts(prompts(*[1] * 10), Search(sampler="window", held_out=5), first, drawn)
    assert more == [*first, "p9", "p10"]


def test_one_prompt_must_be_left():
    with pytest.raises(BadInput, match="none is left for the search"):
        held_out_prompts(prompts(1, 1), Search(held_out=2))
