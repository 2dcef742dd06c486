"""The table: every search on the same studies."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import optuna

from benchmarks.search.answers import Judged, judge, survival
from benchmarks.search.study import RATIOS, Found, Problem, problem, search

PROMPTS = 16
NARROW = 0.02
PROCESSES = 2

HEAD = """{studies} studies of {prompts} prompts each, one seed a prompt; renders in % of {all}, the
grid of steps of 0.01 (mean and most; random and tpe stop after as many as window took in the same study)

search      renders  most  edges  of all   best  taken  cover   width  narrow"""

FOOT = """
edges   both within 0.01 of where half of these same cases are sound without noise, % of studies
of all  both within 0.01 of where half of all prompts are, of which these are a sample
best    smoothed optimum within 0.02 of the least expected loss over all prompts
taken   surviving trial next to it, the same
cover   the 95% interval holds that optimum; width: its mean
narrow  in as many studies with a window 0.02 wide, a surviving ratio is found"""


def judged(name: str, prompts: int, seed: int, renders: int | None) -> Judged:
    """One study, searched and held against its truth; see `search` for `renders`."""
    of = problem(seed, prompts)
    return judge(of, _quietly(name, of, renders))


def narrow(name: str, prompts: int, seed: int, renders: int | None) -> tuple[int, bool]:
    """(renders, whether a ratio that survives is found) in a study whose window is narrow."""
    found = _quietly(name, problem(seed, prompts, width=NARROW), renders)
    return found.renders, survival(found)[0] is not None


def _quietly(name: str, of: Problem, renders: int | None) -> Found:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return search(name, of, renders)


def studies_of(
    study: Callable, name: str, count: int, prompts: int = PROMPTS, renders: Sequence[int] | None = None
) -> list:
    """Return what `study` says of so many seeds, in two processes; `renders` are each one's budget."""
    budgets = renders or [None] * count
    with ProcessPoolExecutor(PROCESSES) as pool:
        return list(pool.map(partial(study, name, prompts), range(count), budgets, chunksize=4))


def table(names: Sequence[str], studies: int) -> Iterator[str]:
    """The lines, each as soon as it is known."""
    everything = len(RATIOS) * PROMPTS
    yield HEAD.format(studies=studies, prompts=PROMPTS, all=everything)
    known: dict[str, tuple[list[Judged], list[tuple[int, bool]]]] = {}
    for name in (*(["window"] if set(names) - {"exhaustive"} else []), *names):
        if name in known:
            continue
        budgets = [None, None]
        if name not in ("exhaustive", "window"):
            wide, small = known["window"]
            budgets = [[one.renders for one in wide], [renders for renders, _ in small]]
        known[name] = (
            studies_of(judged, name, studies, renders=budgets[0]),
            studies_of(narrow, name, studies, renders=budgets[1]),
        )
        yield row(name, *known[name], everything)
    yield FOOT


def row(name: str, wide: Sequence[Judged], small: Sequence[tuple[int, bool]], everything: int) -> str:
    renders = [100 * one.renders / everything for one in wide]
    shares = [
        100 * np.mean([getattr(one, field) for one in wide])
        for field in ("edges", "edges_of_all", "best", "taken", "covered")
    ]
    width = np.mean([one.width for one in wide])
    found = 100 * np.mean([found for _, found in small])
    cells = " ".join(f"{share:6.1f}" for share in shares)
    return f"{name:<11} {np.mean(renders):7.1f} {max(renders):5.1f} {cells} {width:7.3f} {found:7.1f}"
