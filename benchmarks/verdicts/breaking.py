"""The series of damages, and which of what they make a person would call broken."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.verdicts.arrivals import ARRIVALS
from benchmarks.verdicts.chances import CHANCES
from benchmarks.verdicts.fates import FATES
from benchmarks.verdicts.harms import HARMS
from benchmarks.verdicts.ruins import RUINS
from benchmarks.verdicts.wrecks import WRECKS, Wreck
from gridsearch.score.metrics import Metrics

FITTED = WRECKS | RUINS | FATES
WRECKED = FITTED | ARRIVALS | HARMS | CHANCES
# A hard, garish, contrasty version of these is again a sound picture of the style.
HARD = (
    "flat vector",
    "line art",
    "line art on white",
    "pen on paper",
    "pencil",
    "pixel art",
    "text",
    "comic",
    "neon",
    "cartoon",
    "anime face",
    "silhouette",
    "glass",
    "engraving",
    "flames",
    "ink wash",
    "sketch",
    "mandala",
    "newsprint",
    "fractal",
    "harmonograph",
    "windows",
    "stained glass",
    "galaxy",
)
GREY = 8.0  # levels of saturation
FLAT = 0.6  # share of a clip art or a cartoon, which is hard and garish as it is
# In pieces they are the same again.
TEXTURES = ("veins", "waves", "glass", "pattern", "mist", "foliage", "gradient", "space", "relief",
            "smoke", "ribbons", "isometric", "stained glass")  # fmt: skip
# How far these must go before a person sees them beside no sound one.
LEAST = {"fine noise": 0.3, "coarse noise": 0.25, "undercooked": 0.4, "pale, crisp": 0.25, "blown out": 0.25,
         "s-curve": 0.3, "melted": 0.3}  # fmt: skip


@dataclass(frozen=True)
class Breaking:
    """Ways to break, in how many of them a picture is broken, and the number of their series of chances.

    Attributes:
        change: root mean square levels, below which a picture is left out: out of focus, what is soft stays
            as it was.
    """

    ways: Mapping[str, tuple[str, Wreck]]
    count: int
    series: int
    change: float = 0.0


BY_WRECKS, BY_RUINS, BY_FATES = Breaking(WRECKS, 4, 0), Breaking(RUINS, 3, 1), Breaking(FATES, 4, 2)
BY_FITTED, BY_ARRIVALS, BY_HARMS = (
    Breaking(FITTED, 2, 3),
    Breaking(ARRIVALS, 2, 4),
    Breaking(HARMS, 2, 6, 12.0),
)
BY_ONE_FITTED, BY_CHANCES = Breaking(FITTED, 1, 7), Breaking(CHANCES, 2, 8, 16.0)


def visible(style: str, kind: str, far: float, white: float) -> bool:
    """Return whether a person who does not know the picture would call it broken.

    Args:
        white: share of the sound picture that is flat white. A burn about the middle tone makes it grey,
            which is no burn that any model makes.
    """
    if WRECKED[kind][0] == "burnt" and style in HARD:
        return False
    if style in TEXTURES and kind in (
        "shards",
        "fragments",
        "smeared",
        "dealt",
        "torn",
        "swirled",
        "quilted",
    ):
        return False
    return far >= LEAST.get(kind, 0.0) and not (kind == "burnt" and white > 0.35)


def shows(style: str, kind: str, sound: Metrics, made: Metrics) -> bool:
    """Return the same of what was made: a burn clips, and most burnt grey pictures are ink drawings."""
    way = WRECKED[kind][0]
    if way == "burnt" and style.startswith("package") and sound.flat > FLAT:
        return False
    if kind == "overexposed":
        return made.white + made.clipped_picture > sound.white + sound.clipped_picture + 0.15
    if way == "burnt" and sound.saturation < GREY:
        return kind in ("burnt", "overcooked") and made.clipped_picture > 0.3
    if way == "burnt" and kind not in ("blown out", "bloomed"):
        more = made.clipped_picture > max(0.3 if kind in RUINS else 0.12, sound.clipped_picture + 0.08)
        return more and made.contrast > 40
    if kind == "smeared" and sound.white > 0.35:
        return False  # blots of ink
    return way != "shards" or made.contrast > 20
