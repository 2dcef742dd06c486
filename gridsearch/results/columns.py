"""The columns of trials.csv and images.csv, and what else is stored with an image, each described once.

From these tables follow the CSV files, the check of a study from elsewhere, the tables in results/README.md,
and the names that no plug-in scorer may have. A new column is a line here; its value is given by its name
where it is known, in `gridsearch.search.trial` for an image and in `gridsearch.results.results` for a trial.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field

from gridsearch.score.metrics import METRIC_COLUMNS, METRICS

Text = Annotated[str, Field(max_length=100_000)]
Integer = Annotated[int, Field(ge=-(2**63), lt=2**64)]
Count = Annotated[int, Field(ge=0)]
ZeroToOne = Annotated[float, Field(ge=0, le=1)]
Measurement = Annotated[float, Field(ge=-1e12, le=1e12)] | None
Distance = Annotated[float, Field(ge=0, le=1e6)]


@dataclass(frozen=True)
class Column:
    """A column of a table, or a value that is stored with an image and is in no table.

    Attributes:
        type: of its values where they are stored, as pydantic checks them.
        meaning: one line of Markdown.
        unit: empty where it has none.
        required: whether every stored row has it; earlier versions may not have kept the others.
    """

    name: str
    type: Any
    meaning: str
    unit: str = ""
    required: bool = False


def names(
    columns: Iterable[Column], parameters: Iterable[str] = (), scorers: Iterable[str] = ()
) -> list[str]:
    """Return the names of the columns in a run, whose parameters and scorers have columns of their own."""
    many = {_PARAMETERS.name: parameters, _SCORERS.name: scorers}
    found = [name for column in columns for name in many.get(column.name, (column.name,))]
    return list(dict.fromkeys(found))


def number_names(columns: Iterable[Column], scorers: Iterable[str] = ()) -> list[str]:
    """Return the names of the columns that hold numbers with a fraction; a missing one is NaN in a table."""
    numbers = (ZeroToOne, Measurement, Distance)
    return names((column for column in columns if column.type in numbers), scorers=scorers)


_TRIAL = Column("trial", Integer, "the trial's number in the study")
_PARAMETERS = Column(
    "<parameter>",
    Any,
    "one column per searched parameter: `<step>.ratio`, `render.cfg`, ...; a ratio that is searched alone is "
    "simply `ratio`. 0 is the first model, 1 the second",
)
_DEFECT = Column(
    "defect",
    Distance,
    "distance from the healthy band: below 4 where the verdict is `ok`, from 5 to 10 where it is not",
    "spreads of healthy images, pressed",
    required=True,
)
_METRICS = tuple(
    Column(name, Measurement, METRICS[name].meaning, METRICS[name].unit) for name in METRIC_COLUMNS
)
CONTENT = "content"  # a column like a scorer's, where the parents judge
FEATURES = "features"
# Columns like a scorer's, where a backbone is given: of an image, and of a trial's images together.
LIKENESS = ("like_its_reference", "like_its_prompt", "like_all")
SET_DISTANCE = "set_distance"
# Columns like a scorer's, where a person's taste is known: the second is what the defect would be without it.
TASTE, WITHOUT_TASTE = TASTES = ("taste", "defect_without_taste")
_SCORERS = Column(
    "<scorer>",
    Measurement,
    "one column per plug-in scorer, named after it; `content`, where the parents judge; where a backbone "
    f"is given, {', '.join(f'`{name}`' for name in LIKENESS)}, and of a trial `{SET_DISTANCE}`; and where a "
    f"taste is asked for, `{TASTE}` (log-odds that you prefer it to its reference) and `{WITHOUT_TASTE}`",
)
_WEIGHTS = Column("weights", Text | None, "ten hex digits that tell its merged weights from any others")

# An image's row. All of it is stored, the values of scorers under "scorers".
IMAGE_ROW = (
    Column("prompt_id", Text, "the prompt: `p1`, `p2`, ... where the experiment gives no id", required=True),
    Column("prompt", Text, "the prompt's text", required=True),
    Column("seed", Integer, "the seed of its noise", required=True),
    Column(
        "prediction_type",
        Text | None,
        "the mode it was drawn in: `epsilon`, `v_prediction`, `sample` or `flow`",
    ),
    Column(
        "verdict",
        Text,
        "`ok`, `blank`, `ghost` (pale or smeared), `burnt` (clipped, posterised), `noise`, `black`, `nan`",
        required=True,
    ),
    _DEFECT,
    *_METRICS,
    _SCORERS,
    Column(
        "dial", Measurement, "signed distance from under-cooked (below 0) to over-cooked (above 0)", "spreads"
    ),
    Column("reason", Text | None, "why the verdict is not `ok`, in words"),
    Column("seconds", Measurement, "render time, a batch's shared evenly", "seconds"),
    Column("unet_calls", Integer | None, "how often the UNet was called"),
    Column(
        "unet_calls_saved",
        Integer | None,
        "how many calls early abort saved; 0 where it was drawn to its end",
    ),
    Column(
        "stopped",
        Text | None,
        "what early abort took it for: `blank`, `noise` or `nan`; empty where it was drawn to its end. Its "
        "picture is what was predicted then, and its `verdict`, which is about the picture, may differ",
    ),
    Column("stopped_because", Text | None, "why early abort stopped it, in words"),
    Column("file", Text, "where the image is, relative to the folder", required=True),
    Column("film", Text | None, "where its film strip is, relative to the folder; empty where none was kept"),
    Column("digest", Text | None, "sixteen hex digits of its pixels: equal where the pictures are"),
    _WEIGHTS,
)
_ROLE = Column(
    "role",
    Text,
    "`search`; `held_out`: an image of a held-out prompt; `repeat`: of the best trial, rendered once more",
)
_MODEL = Column("model", Text, "the model that a reference shows")
IMAGES = (_TRIAL, _PARAMETERS, *IMAGE_ROW)
CHECKED_IMAGES = (_ROLE, _TRIAL, _PARAMETERS, *IMAGE_ROW)
REFERENCES = (_MODEL, *IMAGE_ROW)
IMAGES_CSV = (_TRIAL, _ROLE, _PARAMETERS, *IMAGE_ROW)

_ONLY_STORED = (
    _MODEL,
    Column("finite", bool, "whether all values were finite before they became 8 bits"),
    Column("scorers", dict[str, Measurement], "the values of plug-in scorers, and the content"),
    Column(FEATURES, Text, "the features that a backbone makes of it, in half precision, as base64"),
    Column("unscored", dict[str, Text], "why a plug-in scorer has no value"),
    Column("trajectory", dict[str, list[float | bool | None]], "the denoising trace of a reference"),
    *(Column(name, Measurement, METRICS[name].meaning) for name in METRICS if name not in METRIC_COLUMNS),
)
STORED = (*(column for column in IMAGE_ROW if column is not _SCORERS), *_ONLY_STORED)

AVERAGED = (_DEFECT, *_METRICS, _SCORERS)  # the columns of images of which a trial's row has the means

# A trial's row.
TRIALS = (
    _TRIAL,
    Column(
        "state",
        Text,
        "`COMPLETE`; `PRUNED`: stopped before its last case, since it could not win; `FAIL`: it has a reason "
        "and no score; `RUNNING` or `WAITING` in an unfinished run",
    ),
    _PARAMETERS,
    replace(_DEFECT, meaning="mean of its images' defects: 0 is inside the healthy band, larger is worse"),
    Column(
        "survived",
        ZeroToOne,
        "share of its images whose verdict is `ok`. Trials rank by this first, then by `defect`",
        "0 to 1",
    ),
    Column("images", Integer, "how many images it has"),
    *(
        replace(column, meaning=f"mean `{column.name}` of its images, those without a value left out")
        for column in (*_METRICS, _SCORERS)
    ),
    Column("seconds_merge", Measurement, "how long merging took", "seconds"),
    Column("seconds_render", Measurement, "how long rendering took", "seconds"),
    Column("seconds_score", Measurement, "how long scoring took", "seconds"),
    Column("started", Text | None, "when it started, in local time"),
    Column("finished", Text | None, "when it ended, in local time"),
    Column("reason", Text | None, "why it failed or was stopped"),
    Column("partial", bool, "whether it was stopped, so that its figures are those of some of its images"),
    _WEIGHTS,
)
TRIALS_CSV = (
    *TRIALS,
    Column(
        "held_out_survived",
        ZeroToOne,
        "`survived` on held-out prompts; empty where it was not checked",
        "0 to 1",
    ),
    replace(_DEFECT, name="held_out_defect", meaning="`defect` on held-out prompts"),
    Column("held_out_images", Integer, "how many images it has of held-out prompts"),
)

# No scorer's name: a column's, what else a stored row holds, a lone ratio, and what the analysis adds.
RESERVED = {column.name for column in (*IMAGES_CSV, *TRIALS_CSV, *_ONLY_STORED)} | {
    "ratio",
    "at",
    "loss",
    CONTENT,
    *LIKENESS,
    SET_DISTANCE,
    *TASTES,
}
