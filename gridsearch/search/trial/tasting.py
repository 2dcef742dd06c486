"""The taste in the rows of images: their worth to the person, and the defect with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median

from gridsearch.experiment.tables import Scoring
from gridsearch.render.cases import case_of
from gridsearch.results.columns import FEATURES, TASTE, WITHOUT_TASTE
from gridsearch.score.metrics import METRICS, Metrics
from gridsearch.score.score import farther, number
from gridsearch.score.scorers.plugins import ScorerLimit, beyond
from gridsearch.score.sets import unpacked
from gridsearch.score.taste import Taste, Traits, traits_of


@dataclass(frozen=True)
class Tasting:
    """A taste that knows something, and what a run's references are worth to the person.

    Attributes:
        weight: of a natural logarithm of the odds, where a spread of a metric counts 1.
        backbone: the key of what made the images' features.
        own: case id -> the worth of its reference.
        usual: the median worth of all references, for cases that have none.
    """

    taste: Taste
    weight: float
    backbone: str
    own: Mapping[str, float] = field(default_factory=dict)
    usual: float = 0.0


def tasting_of(scoring: Scoring, stored: Mapping | None, backbone: str) -> Tasting | None:
    """Return the taste that a study's facts hold, where it is asked for and knows something."""
    taste = Taste(**stored) if stored and scoring.taste else None
    return Tasting(taste, scoring.taste.weight, backbone) if taste and taste.knows and scoring.taste else None


def with_worths(tasting: Tasting, references: Iterable[Mapping]) -> Tasting:
    """Return the taste with the worth of these measured references.

    Sound or not, they are what the person might have had instead, and the same for all of a case's images.
    """
    drawn = [row for row in references if row.get("finite", True)]
    worths = [(case_of(row), tasting.taste.worth(row_traits(row, tasting.backbone))) for row in drawn]
    usual = median(worth for _, worth in worths) if worths else 0.0
    return replace(tasting, own=dict(reversed(worths)), usual=usual)


def tasted(row: Mapping, tasting: Tasting | None) -> dict:
    """Return a scored image's row by a taste, in the place of any that it was scored by before.

    The distance that a taste adds is ln(1 + exp(-x)), where x is the logarithm of the odds that the person
    prefers the image to the reference. It changes no verdict.
    """
    values = dict(row.get("scorers", {}))
    before = values.pop(WITHOUT_TASTE, None)
    values.pop(TASTE, None)
    own = {**row, "scorers": values, "defect": row["defect"] if before is None else before}
    if tasting is None or not row.get("finite", True):
        return own
    worth = tasting.taste.worth(row_traits(row, tasting.backbone))
    limit = ScorerLimit(tasting.own.get(case_of(row), tasting.usual), 1.0, "higher")
    more = tasting.weight * beyond(worth, limit, one_sided=False)
    added = {TASTE: worth - limit.value, WITHOUT_TASTE: own["defect"]}
    return own | {"scorers": values | added, "defect": farther(own["verdict"], own["defect"], more)}


def row_traits(row: Mapping, backbone: str) -> Traits:
    """Return the traits of an image that was measured."""
    metrics = Metrics(**{name: number(row.get(name)) for name in METRICS})
    return traits_of(metrics, unpacked(row[FEATURES]) if row.get(FEATURES) else None, backbone)
