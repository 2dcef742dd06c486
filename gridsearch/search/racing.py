"""Racing: a trial reports its images one by one, and is stopped when it cannot win any more.

A step of a trial is a case, by its place in the study's order, and the value reported there is that image's
loss (`gridsearch.score.score`): 1 and more is a failed image.

A trial is looked at several times, and each look is a chance to be wrong. So the chance is set for all looks
together (`WRONG`) and spent on them as Lan & DeMets 1983 do: as much on the first as six images of one kind
need, and the rest in equal parts on the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np
import optuna
import scipy
from optuna.trial import FrozenTrial, TrialState

from gridsearch.experiment.tables import LOOK
from gridsearch.render.cases import case_of
from gridsearch.score.score import SURVIVES, image_losses

WRONG = 0.03  # the chance that a trial is ever stopped which just survives, or is as good as the best
FIRST_LOOK = 0.5**LOOK  # of that for the first look: six images that all failed, or are all worse
ROUNDING = 1e-12
LAST_STEP = 10**9  # where a pruned trial reports its value: beyond every case
# In failed images. What none of n shows may befall 3 in n of all (95%; Hanley & Lippman-Hand 1983): the best
# may fail three that the trial draws well, though it is a little worse on all the others.
RARE = 3.0
NEVER_BEST = 0.01  # by how much a pruned trial is at least worse than the best


def losses_by_step(rows: Sequence[Mapping], order: Sequence[str]) -> dict[int, float]:
    """Return each image's loss by its step: its case's place in the order."""
    losses = image_losses([row["verdict"] for row in rows], [row["defect"] for row in rows])
    place = {case: i for i, case in enumerate(order)}
    return {place[case_of(row)]: float(loss) for row, loss in zip(rows, losses, strict=True)}


def best_complete_trial(study: optuna.Study) -> FrozenTrial | None:
    """Return the best of the trials that were drawn whole; None where none is."""
    try:
        return study.best_trial
    except ValueError:
        return None


def levels(cases: int) -> dict[int, float]:
    """Return how much each look may add to the chance of being wrong; `WRONG` in all, or less.

    Keys are how many of a trial's images are drawn then; after its last there is no look.
    """
    at = range(LOOK, cases, LOOK)
    return {drawn: (WRONG - FIRST_LOOK) / (len(at) - 1) if drawn > LOOK else FIRST_LOOK for drawn in at}


@cache
def stopping_counts(cases: int) -> Mapping[int, int]:
    """Return the most sound images at which each look still stops the trial; -1 where nothing does.

    The most that keep the chance that a trial is stopped by then, of which half of the images are sound,
    within the levels so far. Exact where images are independent. The half is of the cases at hand, in an
    order drawn by lot, a case of every prompt in turn: an urn scatters less, so the true chance is smaller,
    also where seeds of one prompt are alike. Of all prompts it says nothing: where none of the few at hand is
    sound, none is in a whole trial.
    """
    most, stopped, allowed = {}, 0.0, 0.0
    going = np.ones(1)  # the chance of each number of sound images, in trials that nothing stopped so far
    for drawn, level in levels(cases).items():
        allowed += level
        going = np.convolve(going, scipy.stats.binom.pmf(np.arange(LOOK + 1), LOOK, SURVIVES))
        below = stopped + np.cumsum(going)
        most[drawn] = int(np.searchsorted(below, allowed + ROUNDING, side="right")) - 1
        stopped = float(below[most[drawn]]) if most[drawn] >= 0 else stopped
        going[: most[drawn] + 1] = 0.0
    return most


@dataclass(frozen=True)
class Racing:
    """The rule that stops trials which would not survive, or are clearly worse than the best.

    It decides after every six images, whatever the size of the batches that they come in. Would not survive:
    so few are sound (`stopping_counts`; none of the first six). Clearly worse: the Wilcoxon signed-rank test
    on the losses of the same images, a mean per prompt, since seeds of one prompt resemble one another (ranks
    of clusters: Rosner, Glynn & Lee 2006). Its level is that look's, over the number of whole trials: of so
    many the best is a lucky one, with which equals compare badly (Bonferroni). One that is a little worse on
    most prompts and draws the few that the best fails is as good: in all, the differences exceed `RARE`, too.
    Where the edges of what survives matter, as for `window`, a trial that may survive or not is drawn to its
    end, however bad it is.
    A glance is stopped where its first images all failed, or then fewer than half of six are sound. A trial
    at an edge is stopped once its images decide that it does not survive: whatever the missing ones are, or
    as six more failed than are sound. It is stopped, too, once they decide in this way that it does survive,
    and it is worse so far than the best; the plan asks for the rest if it may be as good after all.
    """

    prompts: Sequence[str]  # of each image of a whole trial, in the order in which they are drawn
    edges: bool = False  # whether they matter
    glance: int = 0  # of a trial that is only looked at, after so many images; 0: it is no glance
    at_edge: bool = False  # whether the trial is only to tell on which side of an edge it lies

    @property
    def cases(self) -> int:
        return len(self.prompts)

    @property
    def half(self) -> int:
        """The least number of sound images with which a whole trial survives."""
        return ceil(SURVIVES * self.cases)

    def next_look(self, drawn: int, sound: int) -> int:
        """Return how many images there are when the trial can next be decided."""
        for look in (self.glance, LOOK) if self.glance or self.at_edge else ():
            if drawn < min(look, self.cases):
                return min(look, self.cases)
        if not self.at_edge or self.side(drawn, sound):
            return self.cases
        failed = drawn - sound
        lead = LOOK - abs(sound - failed)
        return drawn + min(self.half - sound, self.cases - self.half + 1 - failed, lead)

    def reason(self, study: optuna.Study, trial: FrozenTrial) -> str | None:
        """Return why the trial should be stopped; None where it should not."""
        # what a stopped trial reports last is no case
        known = {step: loss for step, loss in trial.intermediate_values.items() if step < self.cases}
        best = best_complete_trial(study)
        whole = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        if best is None:
            return self.why(known, {}, whole)
        return self.why(known, best.intermediate_values, whole, f"trial {best.number}")

    def why(
        self, losses: Mapping[int, float], best: Mapping[int, float], whole: int, name: str = "the best"
    ) -> str | None:
        """Return why a trial of these losses should be stopped; None where it should not.

        Args:
            losses, best: by step; those of the best of the whole trials, none where there is none.
            whole: how many whole trials there are.
            name: the best one's.
        """
        drawn = len(losses) // LOOK * LOOK or min(len(losses), self.glance)
        first = dict(sorted(losses.items())[:drawn])
        sound = sum(loss < 1 for loss in first.values())
        if self.hopeless(drawn, sound):
            return f"{sound} of the first {drawn} images healthy"
        if self.at_edge and self.decided(losses, best):
            return f"{sum(loss < 1 for loss in losses.values())} of {len(losses)} images healthy, at an edge"
        most = stopping_counts(self.cases).get(drawn)
        if most is None or (self.edges and drawn - sound > most):  # it may survive, or not
            return None
        if not best or not self.worse(best, first, whole):
            return None
        return f"worse than {name} on the same {drawn} images"

    def decided(self, losses: Mapping[int, float], best: Mapping[int, float]) -> bool:
        """Return whether the trial does not survive, or survives and is worse so far than the best."""
        side = self.side(len(losses), sum(loss < 1 for loss in losses.values()))
        if side <= 0 or not losses.keys() <= best.keys():
            return side < 0
        return sum(self.differences(losses, best)) > 0

    def side(self, drawn: int, sound: int) -> int:
        """Return 1 for a trial at an edge that survives, -1 for one that does not, 0 where that is open.

        Of a trial of 16 of which just half are sound, the first six all fail in 0.3%, and seven of the first
        eight in 0.5%; with more images the same lead comes by luck more often.
        """
        failed = drawn - sound
        if failed > self.cases - self.half or failed - sound >= LOOK:
            return -1
        return int(sound >= self.half or sound - failed >= LOOK)

    def differences(self, losses: Mapping[int, float], best: Mapping[int, float]) -> list[float]:
        """Return by how much losses exceed the best's of the same images, by step: a mean per prompt."""
        apart: dict[str, list[float]] = {}
        for step, loss in losses.items():
            apart.setdefault(self.prompts[step], []).append(loss - best[step])
        return [sum(own) / len(own) for own in apart.values()]

    def hopeless(self, drawn: int, sound: int) -> bool:
        """Return whether so few of the first images are sound that the trial will hardly survive."""
        if self.glance and drawn <= LOOK:
            return sound < (SURVIVES * LOOK if drawn == LOOK else drawn >= self.glance)
        return sound <= stopping_counts(self.cases).get(drawn, -1)

    def worse(self, best: Mapping[int, float], first: Mapping[int, float], whole: int) -> bool:
        """Return whether these losses exceed those that the best of so many whole trials has, by step."""
        from gridsearch.results.analysis.ranking import signed_rank_p  # imports pandas, spared to a plan

        if not first.keys() <= best.keys():  # the best is of a version that had no races: nothing to pair
            return False
        differences = self.differences(first, best)
        level = levels(self.cases)[len(first)] / whole + ROUNDING
        # as Optuna's WilcoxonPruner, which stops none that is the better one on average
        return sum(differences) > RARE and signed_rank_p(differences, "greater") < level
