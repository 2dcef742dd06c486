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
grid of steps of 0.01 (mean and most; random, tpe and gp stop after as many as window took in the same study)

search      renders  most  edges  of all   best  taken  cover   width  narrow"""

FOOT = """
edges   both within 0.01 of where half of these same cases are sound without noise, % of studies
of all  both within 0.01 of where half of all prompts are, of which these are a sample
best    smoothed optimum within 0.02 of the least expected loss over all prompts
taken   surviving trial next to it, the same
cover   the 95% interval holds that optimum; width: its mean
narrow  in as many studies with a window 0.02 wide, a surviving ratio is found"""


def judged(name: str, prompts: int, seed: int) -> Judged:
    """One study, searched and held against its truth."""
    of = problem(seed, prompts)
    return judge(of, searched(name, of))


def finds_narrow(name: str, prompts: int, seed: int) -> bool:
    """Whether a ratio that survives is found where the window is narrow."""
    window, _ = survival(searched(name, problem(seed, prompts, width=NARROW)))
    return window is not None


def searched(name: str, of: Problem) -> Found:
    """What a search finds; where it does not end by itself, with as many renders as `window` takes."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    renders = None if name in ("exhaustive", "window") else search("window", of).renders
    return search(name, of, renders)


def all_judged(study: Callable, name: str, studies: int, prompts: int = PROMPTS) -> list:
    """What `study` says of so many seeds, in two processes."""
    with ProcessPoolExecutor(PROCESSES) as pool:
        return list(pool.map(partial(study, name, prompts), range(studies), chunksize=4))


def table(names: Sequence[str], studies: int) -> Iterator[str]:
    """The lines, each as soon as it is known."""
    everything = len(RATIOS) * PROMPTS
    yield HEAD.format(studies=studies, prompts=PROMPTS, all=everything)
    for name in names:
        wide = all_judged(judged, name, studies)
        narrow = all_judged(finds_narrow, name, studies)
        yield row(name, wide, narrow, everything)
    yield FOOT


def row(name: str, wide: Sequence[Judged], narrow: Sequence[bool], everything: int) -> str:
    renders = [100 * one.renders / everything for one in wide]
    shares = [
        100 * np.mean([getattr(one, field) for one in wide])
        for field in ("edges", "edges_of_all", "best", "taken", "covered")
    ]
    width = np.mean([one.width for one in wide])
    found = 100 * np.mean(narrow)
    cells = " ".join(f"{share:6.1f}" for share in shares)
    return f"{name:<11} {np.mean(renders):7.1f} {max(renders):5.1f} {cells} {width:7.3f} {found:7.1f}"
