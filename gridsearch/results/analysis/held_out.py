"""Tests of the leaders on held-out prompts: whether the winner won by luck.

Two tests, each of a kind of evidence. Paired: another leader does better on the same held-out cases.
Unpaired: the winner does worse on the held-out prompts than on those that chose it.

Images of one prompt resemble one another, and prompts are few, so each test asks twice and believes the
weaker answer: over the cases by ranks (Wilcoxon's signed-rank test; the Mann-Whitney test where nothing is
paired), which needs no normal distribution, and over the prompts' means by t (Student's; Welch's where
nothing is paired), which with few clusters keeps its level as long as the means are roughly symmetric
(Ibragimov & Müller 2010 and 2016). The larger of the two p-values keeps the level if either does. Holm's
step-down accounts for the number of other leaders. A fall alone may mean that the other prompts are harder,
so it counts only where the leader that takes over is likely to be better on them. (Simulated without any
effect, with 2 to 10 leaders, 2 to 8 held-out prompts and prompts that prefer ratios of their own, at most 5%
of the winners are unmasked; mostly it is 1 to 4%.)
"""

import math

import numpy as np
import pandas as pd
import scipy

from gridsearch.results.analysis.answer import Confirmation, Figures, Unmasked
from gridsearch.results.analysis.ranking import POWER, by_case, holm, signed_rank_p

LEVEL = 0.05  # the share of honest winners that may be unmasked
NO_DIFFERENCE = 1e-12  # of a loss from 0 to 2: no difference
LEANS = 0.1  # the p-value at which a leader is likely to be better than a winner that fell


def confirmations(best: int, images: pd.DataFrame, held_out: pd.DataFrame) -> tuple[Confirmation, ...]:
    """Return both figures of every leader that was checked, `best` first, then by the held-out figures."""
    found = []
    for trial, rows in held_out.groupby("trial"):
        chosen = images[images["trial"] == trial]
        fell, visible = fell_p(chosen, rows), visible_fall(chosen, rows, LEVEL)
        figures = _figures(chosen), _figures(rows)
        found.append(Confirmation(int(trial), *figures, fell, visible if math.isfinite(visible) else None))
    rank = {trial: i for i, trial in enumerate(_ranking(held_out))}
    return tuple(sorted(found, key=lambda leader: (leader.trial != best, rank[leader.trial])))


def _figures(images: pd.DataFrame) -> Figures:
    return Figures(
        survived=float((images["verdict"] == "ok").mean()),
        defect=float(images["defect"].mean()),
        images=len(images),
        prompts=int(images["prompt_id"].nunique()),
    )


def _ranking(held_out: pd.DataFrame) -> list[int]:
    """Return the leaders by survived, then defect, on the cases that all of them have."""
    leaders = held_out["trial"].nunique()
    common = held_out.groupby(["prompt_id", "seed"])["trial"].transform("nunique") == leaders
    rows = held_out[common] if common.any() else held_out
    score = rows.assign(lost=rows["verdict"] != "ok").groupby("trial")[["lost", "defect"]].mean()
    return [int(trial) for trial in score.sort_values(["lost", "defect"]).index]


def unmask(winner: int, images: pd.DataFrame, held_out: pd.DataFrame) -> Unmasked | None:
    """Return the evidence that `winner` won by luck and another leader should be taken; None without any.

    Images are rows with trial, prompt_id, seed, verdict, defect, loss.
    """
    ranking = _ranking(held_out) if len(held_out) else []
    if winner not in ranking or ranking[0] == winner:
        return None
    losses = by_case(held_out, "loss")
    others = [trial for trial in ranking if trial != winner]
    paired = {trial: worse_p(losses[winner] - losses[trial]) for trial in others}
    adjusted = dict(zip(others, holm(list(paired.values())), strict=True))
    above = ranking[: ranking.index(winner)]
    for instead in above:  # its own evidence counts: another's would prove nothing of it
        if adjusted[instead] < LEVEL:
            why = "another leader does clearly better on them"
            return Unmasked(winner, instead, why, float(adjusted[instead]))
    chosen = images[images["trial"] == winner]
    fell = fell_p(chosen, held_out[held_out["trial"] == winner])
    if fell < LEVEL and paired[above[0]] < LEANS:
        return Unmasked(winner, above[0], "it does clearly worse on them", float(fell))
    return None


def worse_p(differences: pd.Series) -> float:
    """Return how probable it is that differences, by (prompt_id, seed), lie so far above zero by chance."""
    differences = differences.dropna()
    return max(signed_rank_p(differences, "greater"), _t_p(differences.groupby("prompt_id").mean()))


def fell_p(selection: pd.DataFrame, held_out: pd.DataFrame) -> float:
    """Return how probable it is that the losses of other prompts are so much larger by chance."""
    if held_out.empty or selection.empty:
        return 1.0
    by_case = scipy.stats.mannwhitneyu(held_out["loss"], selection["loss"], alternative="greater").pvalue
    means = [rows.groupby("prompt_id")["loss"].mean() for rows in (held_out, selection)]
    return max(float(by_case), _t_p(*means))


def visible_fall(selection: pd.DataFrame, held_out: pd.DataFrame, level: float) -> float:
    """Return how much larger the loss must be on other prompts for a test at this level to show it, by POWER.

    By Welch's test of the prompts' means, both kinds scattering alike; infinite where one prompt alone leaves
    nothing to tell.
    """
    means = [rows.groupby("prompt_id")["loss"].mean() for rows in (selection, held_out)]
    counts = np.array([len(one) for one in means])
    if counts.min() < 2:
        return math.inf
    error = math.sqrt(sum(one.var(ddof=1) * (len(one) - 1) for one in means) / (counts.sum() - 2))
    free = (1 / counts).sum() ** 2 / (1 / (counts**2 * (counts - 1))).sum()  # Welch & Satterthwaite
    reach = scipy.stats.t.ppf(1 - level, free) + scipy.stats.t.ppf(POWER, free)
    return float(reach * error * math.sqrt((1 / counts).sum()))


def _t_p(a: pd.Series, b: pd.Series | None = None) -> float:
    """Return the one-sided p-value of the mean of `a` being above zero, or above that of `b` (Welch).

    1 where one prompt alone leaves nothing to tell, 0 where means that differ do not vary at all.
    """
    parts = [a] if b is None else [a, b]
    if min(map(len, parts)) < 2:
        return 1.0
    if sum(part.var(ddof=1) / len(part) for part in parts) < NO_DIFFERENCE:
        return float(a.mean() - (0.0 if b is None else b.mean()) <= NO_DIFFERENCE)
    stats = [(part.mean(), part.std(ddof=1), len(part)) for part in parts]
    constant = (0.0, 0.0, 2)  # against it Welch's test is the test of one sample
    first, second = [*stats, constant][:2]
    test = scipy.stats.ttest_ind_from_stats(*first, *second, equal_var=False, alternative="greater")
    return float(test.pvalue)
