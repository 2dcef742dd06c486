"""A thousand workers on one study, simulated second by second on costs that were measured.

    python -m benchmarks.workers.simulation

Who leads looks, proposes so many trials that `depth` of them wait, and sleeps as `lead` does. Workers draw,
end, and look for the next as `work` does. The costs are those that `benchmarks.workers.look` prints.
"""

import heapq
import math
import random
from dataclasses import dataclass

from gridsearch.experiment.tables import SEARCH_SAMPLERS
from gridsearch.results.shared.queue import USUAL_PACE, pause_for
from gridsearch.search.workers.dispatch import PROPOSING, depth
from gridsearch.search.workers.look import BUSY, LATEST, SOONEST
from gridsearch.search.workers.worker import SOONEST as FIRST_PAUSE

DRAWING = 80.0  # seconds of a trial: 16 images of 5 s each, SDXL on a GPU
SPREAD = 0.2  # of it, as GPUs differ and trials stop early
HOURS = 1.0
PER_TRIAL = 14  # transactions of a worker for a trial of three rungs, its beats apart
PER_LOOK = 2  # of an idle worker
PER_PROPOSAL = 3  # of who leads


@dataclass(frozen=True)
class Costs:
    """Seconds.

    Attributes:
        look: of a look and what precedes its proposals, with nobody under way.
        look_each: of it, for each trial that is.
        proposal: of one.
        first: how much longer the first proposal takes after a trial's end.
        trial: of a worker's calls for one trial.
    """

    look: float
    proposal: float
    look_each: float = 0.00019
    first: float = 0.0
    trial: float = 0.1


# By sampler and how many numbers it searches, with 10,000 trials ended, on a machine with a load of 5 to 8.
COSTS = {
    ("random", 1): Costs(look=0.06, proposal=0.028),
    ("tpe", 1): Costs(look=0.07, proposal=0.037),
    ("cmaes", 1): Costs(look=0.06, proposal=0.036, first=0.06),
    ("gp", 1): Costs(look=0.06, proposal=0.049, first=0.36),
    ("random", 20): Costs(look=0.1, look_each=0.00023, proposal=0.026),
    ("tpe", 20): Costs(look=0.12, look_each=0.00023, proposal=0.054),
    ("cmaes", 20): Costs(look=0.19, look_each=0.00023, proposal=0.041, first=0.06),
    ("gp", 20): Costs(look=0.1, look_each=0.00023, proposal=0.061, first=0.48),
}


@dataclass(frozen=True)
class Found:
    """The outcome of a simulated run.

    Attributes:
        rate: trials a second.
        idle: the share of the workers' time in which they had nothing to draw.
        transactions: a second.
        busy: the share of its time that who leads is at work.
    """

    rate: float
    idle: float
    transactions: float
    busy: float


def simulated(workers: int, sampler: str, costs: Costs, seed: int = 0) -> Found:
    """An hour of so many workers, once all have begun."""
    chance = random.Random(seed)
    end, warm = 3600 * HOURS + 600, 600.0
    waiting = running = ended = proposed = looks = 0
    news = False  # whether a trial has ended since the last proposal
    idle_time = lead_busy = 0.0
    events: list[tuple[float, int, str, int]] = []  # time, tie-breaker, kind, worker
    since = [0.0] * workers  # from when a worker is idle
    pause = [FIRST_PAUSE] * workers
    tie = 0
    idle = set(range(workers))

    def at(time: float, kind: str, worker: int = -1) -> None:
        nonlocal tie
        tie += 1
        heapq.heappush(events, (time, tie, kind, worker))

    for worker in range(workers):
        at(chance.uniform(0, pause_for(workers)), "look", worker)
    at(0.0, "lead")
    while events and events[0][0] < end:
        now, _, kind, worker = heapq.heappop(events)
        counted = now > warm
        if kind == "lead":
            wanted = depth(running, workers - running, SEARCH_SAMPLERS[sampler].learns) - waiting
            wanted = min(max(wanted, 0), math.ceil((PROPOSING - costs.first) / costs.proposal))
            took = costs.look + costs.look_each * running
            busy = took + costs.proposal * wanted + costs.first * (news and wanted > 0)
            news = news and wanted == 0
            at(now + busy, "queued", wanted)
            at(now + busy + min(LATEST, max(SOONEST, BUSY * took)), "lead")
            lead_busy += busy * counted
            proposed += wanted * counted
        elif kind == "queued":
            waiting += worker
        elif kind == "look":
            looks += counted
            if waiting:
                waiting, running = waiting - 1, running + 1
                idle.discard(worker)
                idle_time += (now - max(since[worker], warm)) * counted
                draws = DRAWING * chance.uniform(1 - SPREAD, 1 + SPREAD) + costs.trial
                at(now + draws, "end", worker)
            else:
                at(now + pause[worker], "look", worker)
                pause[worker] = min(pause_for(workers), 1.5 * pause[worker])
        else:
            running, ended, news = running - 1, ended + counted, True
            since[worker], pause[worker] = now, FIRST_PAUSE
            idle.add(worker)
            at(now, "look", worker)
    seconds = end - warm
    idle_time += sum(end - max(since[worker], warm) for worker in idle)
    beats = workers / USUAL_PACE
    transactions = (ended * PER_TRIAL + looks * PER_LOOK + proposed * PER_PROPOSAL) / seconds + beats
    return Found(ended / seconds, idle_time / (workers * seconds), transactions, lead_busy / seconds)


def main() -> None:
    print("sampler  numbers  workers   trials/s   idle   transactions/s   who leads is busy")
    for (sampler, numbers), costs in COSTS.items():
        for workers in (8, 64, 250, 1000):
            found = simulated(workers, sampler, costs)
            line = f"{found.rate:11.2f}{found.idle:7.1%}{found.transactions:17.0f}{found.busy:20.0%}"
            print(f"{sampler:7}{numbers:9}{workers:9}{line}")


if __name__ == "__main__":
    main()
