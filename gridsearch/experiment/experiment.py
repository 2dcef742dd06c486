"""Reading an experiment: one TOML file in, one frozen, validated `Experiment` out.

A value that may be searched is written as a plain value (fixed), as `{ low, high, step }`, or as a list to
choose from. `Experiment.searched()` names the searched ones, `Experiment.at(parameters)` fixes them.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, PrivateAttr, Tag, model_validator

from gridsearch.base.errors import BadInput, nearest
from gridsearch.base.files import from_home
from gridsearch.checkpoint.ldm.keys import known_layers
from gridsearch.checkpoint.ldm.model import family_at
from gridsearch.checkpoint.prediction import MOST_SHIFT
from gridsearch.experiment.family import current_family
from gridsearch.experiment.from_recipe import with_recipe
from gridsearch.experiment.programs.names import known_sampler, known_schedule
from gridsearch.experiment.prompts import Prompt, read_prompts
from gridsearch.experiment.recipe import Components, Model, PredictionType, Recipe
from gridsearch.experiment.tables import Content, Images, Scoring, Search, TasteTable, ThresholdTable
from gridsearch.experiment.toml_file import read_toml
from gridsearch.experiment.validation import bad_key
from gridsearch.experiment.values import (
    LISTED,
    FilePath,
    Range,
    SearchableNumber,
    SearchableWhole,
    Share,
    Table,
    between,
    form,
    one_of,
)
from gridsearch.render.denoise.hires import UPSCALERS, enlarged_size, upscaler_key
from gridsearch.render.denoise.sampling import (
    MIDDLE,
    SAMPLERS,
    SCHEDULES,
    UNLIMITED,
    sampler_key,
    schedule_key,
)

_ModeChoices = Annotated[tuple[PredictionType, ...], *LISTED]
PredictionTypes = Annotated[Annotated[PredictionType, Tag("value")] | _ModeChoices, Discriminator(form)]
_Sampler = Annotated[str, one_of(SAMPLERS), BeforeValidator(sampler_key), BeforeValidator(known_sampler)]
_SamplerChoices = Annotated[tuple[_Sampler, ...], *LISTED]
Samplers = Annotated[Annotated[_Sampler, Tag("value")] | _SamplerChoices, Discriminator(form)]
_Schedule = Annotated[str, one_of(SCHEDULES), BeforeValidator(schedule_key), BeforeValidator(known_schedule)]
_ScheduleChoices = Annotated[tuple[_Schedule, ...], *LISTED]
Schedules = Annotated[Annotated[_Schedule, Tag("value")] | _ScheduleChoices, Discriminator(form)]
_Upscaler = Annotated[str, one_of(UPSCALERS), BeforeValidator(upscaler_key)]
_UpscalerChoices = Annotated[tuple[_Upscaler, ...], *LISTED]
Upscalers = Annotated[Annotated[_Upscaler, Tag("value")] | _UpscalerChoices, Discriminator(form)]
_Unconditional = Literal["zeros", "empty"]
_UnconditionalChoices = Annotated[tuple[_Unconditional, ...], *LISTED]
Unconditionals = Annotated[
    Annotated[_Unconditional, Tag("value")] | _UnconditionalChoices, Discriminator(form)
]


def _known_layers(layers: str) -> str:
    return known_layers(layers, current_family())


_Layers = Annotated[str, Field(max_length=200), AfterValidator(_known_layers)]
_LayerChoices = Annotated[tuple[_Layers, ...], *LISTED]
Layers = Annotated[Annotated[_Layers, Tag("value")] | _LayerChoices, Discriminator(form)]
WINDOWS_FIRST_LOOK = 11  # ratios that `window` begins with: both ends, and every tenth of the range
LARGEST_SCALE = 4  # times, by hires fix: the end of A1111's slider
USUAL_ABORT = 0.4  # share of the steps after which a hopeless image may be stopped


def _usual(name: str, **limits: Any) -> Any:
    """Return a field whose default is the family's."""
    return Field(default_factory=lambda: current_family().usual[name], **limits)


def _share(value: object) -> object:
    """Return the share of the steps that `early_abort = true` or `false` stands for."""
    return {True: USUAL_ABORT, False: 0.0}[value] if isinstance(value, bool) else value


def _unless_auto(value: object) -> object:
    if isinstance(value, str) and value.lower() != "auto":
        raise ValueError('give a number of images, or "auto" for as many as fit')
    return None if isinstance(value, str) else value


def _rng(value: object) -> object:
    """Return the key of a random source named as in A1111, where "NV" gives the numbers of "GPU"."""
    return {"nv": "gpu"}.get(value.lower(), value.lower()) if isinstance(value, str) else value


Positive = Annotated[SearchableNumber, between(0, 1000)]
Sigma = Annotated[SearchableNumber, between(0, UNLIMITED)]
Shift = Annotated[SearchableNumber, between(0.01, MOST_SHIFT)]
Weight = Annotated[SearchableNumber, between(0, 10)]
Pixels = Annotated[SearchableNumber, between(0, 16_384)]  # more cannot be told in half precision
Steps = Annotated[SearchableWhole, between(1, 1000)]  # SDXL was trained on a thousand
HiresSteps = Annotated[SearchableWhole, between(0, 1000)]
ClipSkip = Annotated[SearchableWhole, between(1, 1000)]  # the text encoders know how many layers there are


# -- the tables of the file, beside those of its recipe


class Render(Table):
    """The settings of all images; what is None follows from the models, the prediction type or the size."""

    prediction_type: PredictionTypes | None = None
    zero_terminal_snr: bool | None = None
    timestep_spacing: Literal["leading", "trailing", "linspace"] | None = None
    shift: Shift | None = None
    sampler: Samplers = "euler"
    schedule: Schedules | None = None
    steps: Steps = 28
    cfg: Positive = 5.0
    cfg_rescale: Share = 0.0
    cfg_sigma_low: Sigma = 0.0
    cfg_sigma_high: Sigma = UNLIMITED
    pag_scale: Positive = 0.0
    pag_layers: Layers = MIDDLE
    seg_scale: Positive = 0.0
    seg_sigma: Sigma = UNLIMITED
    query_blur: Sigma = 0.0
    sanf: bool = False
    freeu_b1: Weight = 1.0
    freeu_b2: Weight = 1.0
    freeu_s1: Weight = 1.0
    freeu_s2: Weight = 1.0
    freeu_version: Literal[1, 2] = 2
    mimic_scale: Positive = 0.0
    mimic_percentile: Share = 1.0
    mimic_phi: Share = 1.0
    mimic_per_channel: bool = True
    unconditional: Unconditionals = _usual("unconditional")
    clip_skip: ClipSkip = _usual("clip_skip")
    rng: Annotated[Literal["cpu", "gpu"], BeforeValidator(_rng)] = "cpu"
    width: int = _usual("width", gt=0, multiple_of=8)
    height: int = _usual("height", gt=0, multiple_of=8)
    hires_scale: Annotated[float, Field(ge=1, le=LARGEST_SCALE)] | None = None
    hires_steps: HiresSteps = 0
    hires_denoise: Share = 0.7
    hires_upscaler: Upscalers = "Latent"
    original_width: Pixels | None = None
    original_height: Pixels | None = None
    crop_left: Pixels | None = None
    crop_top: Pixels | None = None
    target_width: Pixels | None = None
    target_height: Pixels | None = None
    batch: Annotated[Annotated[int, Field(ge=1, strict=True)] | None, BeforeValidator(_unless_auto)] = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    vae_dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    compile: bool = False
    early_abort: Annotated[float, BeforeValidator(_share), Field(ge=0, le=0.9)] = USUAL_ABORT
    trace: bool = False
    config: FilePath | None = None
    vocabulary: FilePath | None = None

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the pictures, in px."""
        return enlarged_size(self.width, self.height, self.hires_scale)

    @model_validator(mode="after")
    def _samplers_take_the_schedule(self) -> Self:
        names = (self.sampler,) if isinstance(self.sampler, str) else self.sampler
        if self.schedule and (fixed := next((name for name in names if not SAMPLERS[name].free), None)):
            free = ", ".join(name for name, known in SAMPLERS.items() if known.free)
            raise ValueError(f"the sampler {fixed} takes no schedule; those that do are {free}")
        return self


class Experiment(Recipe):
    """The whole experiment file; paths in it are relative to its folder."""

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=100)
    render: Render = Field(default_factory=Render)
    images: Images = Images()
    prompt: tuple[Prompt, ...] = Field(min_length=1)
    score: Scoring = Scoring()
    search: Search = Search()
    _notes: tuple[str, ...] = PrivateAttr(())

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what was said while the file was read."""
        return self._notes

    @property
    def has_usual_sampler(self) -> bool:
        """Return whether the file names no sampler of the search."""
        return "sampler" not in self.search.model_fields_set

    @model_validator(mode="after")
    def _references_and_prompts_are_known(self) -> Self:
        if unknown := [name for name in self.score.references or () if name not in self.models]:
            close = nearest(unknown[0], self.models)
            raise ValueError(
                f"score.references names {unknown[0]!r}, which is not a model; the nearest name is {close!r}"
            )
        counts = Counter(prompt.id for prompt in self.prompt)
        if duplicate := next((name for name, count in counts.items() if count > 1), None):
            raise ValueError(f"two prompts have the id {duplicate!r}")
        return self

    @model_validator(mode="after")
    def _search_is_complete(self) -> Self:
        search = self.search
        is_grid, has_two_goals = search.sampler == "grid", len(search.kind.goals) > 1
        if is_grid and search.trials is not None:
            raise ValueError("a grid runs every value: leave search.trials out, or stop early with --trials")
        if not search.kind.ends_itself and search.trials is None:
            raise ValueError(f'the sampler "{search.sampler}" needs a number of trials: search.trials = 40')
        if has_two_goals and search.racing:
            raise ValueError(
                f"Optuna stops no trial of {search.sampler}, which has two goals: leave search.racing out"
            )
        if search.width is not None and (is_grid or has_two_goals):
            raise ValueError(
                f"search.width ends a search that goes on until the best is known, which {search.sampler} "
                "does not: leave it out"
            )
        for name, values in self.searched().items() if is_grid else ():
            if isinstance(values, Range) and values.step is None:
                written = f"{{ low = {values.low:g}, high = {values.high:g}, step = ... }}"
                raise ValueError(f"a grid needs a step for {name}: {written}")
        return self

    def reference_models(self) -> tuple[str, ...]:
        """Return the models whose own renders define healthy: by default, those that are merged.

        Of a list of models to choose from, only the first: ten epochs of one training would cost ten times
        the renders for one opinion, and the first is the least likely to be overtrained.
        """
        return self.score.references or self.typical_models()

    def used_models(self) -> tuple[str, ...]:
        """Return all models that are opened: those that a merge reads, then those only used as references."""
        return tuple(dict.fromkeys([*self.needed_models(), *self.reference_models()]))


# -- reading


def load_experiment(path: Path) -> Experiment:
    """Read and check an experiment file.

    Raises:
        BadInput: the file is missing, is not TOML, or a key, a value or a prompt file in it is wrong.
    """
    data, text = read_toml(path, "experiment file")
    return parse_experiment(data, base=path.resolve().parent, source=path, text=text)


def parse_experiment(data: Mapping[str, Any], base: Path, source: object, text: str = "") -> Experiment:
    """Validate the tables of an experiment and read its prompt files; relative paths start at `base`.

    Errors name the lines of the file's `text`, where it is given.

    Raises:
        BadInput: a key, a value or a prompt file is wrong.
    """
    notes: list[str] = []
    data = with_recipe(data, base, source, notes.append) if "recipe" in data else dict(data)
    data.setdefault("family", _family_of(data.get("models"), base))
    if isinstance(data.get("prompt"), list):
        numbered = enumerate(data["prompt"], start=1)
        data["prompt"] = [{"id": f"p{i}"} | p if isinstance(p, dict) else p for i, p in numbered]
    try:
        experiment = _with_sampler(data, base)
    except pydantic.ValidationError as error:
        raise bad_key(error, source, EXPERIMENT_TABLES, text) from None
    parts: dict[str, Any] = {"prompt": read_prompts(experiment.prompt, experiment, base, source)}
    if files := experiment.vae_files():
        sources = experiment.vae_sources()
        resolved = tuple(str(base / from_home(one)) if one in files else one for one in sources)
        vae = resolved if isinstance(experiment.components.vae, tuple) else resolved[0]
        parts["components"] = experiment.components.model_copy(update={"vae": vae})
    experiment = experiment.model_copy(update=parts)
    _require_scored_prompts(experiment, source)
    experiment._notes = tuple(notes)
    return experiment


def _require_scored_prompts(experiment: Experiment, source: object) -> None:
    """Refuse a scorer that names a prompt which is not there, once those in files are known."""
    ids = [prompt.id for prompt in experiment.prompt]
    for scorer in experiment.score.scorer:
        for prompt in (*(scorer.prompts or ()), *scorer.prompt_weights):
            if prompt not in ids:
                what = f"The scorer {scorer.name} names the prompt {prompt!r}, which is not there."
                raise BadInput(what, where=source, fix=f"The nearest id is {nearest(prompt, ids)!r}.")


def _family_of(models: Any, base: Path) -> str:
    """Return the family of the first model, before anything is known to be valid."""
    first = next(iter(models.values()), None) if isinstance(models, dict) else None
    parts = first if isinstance(first, dict) else {"path": first}
    named = {str(part): file for part, file in parts.items() if isinstance(file, str | Path)}
    try:
        places = {part: base / from_home(file) for part, file in named.items()}
    except BadInput:
        places = {}
    return family_at(places.get("path") or places).name


def _with_sampler(data: dict[str, Any], base: Path) -> Experiment:
    """Validate tables; where they name no sampler, a single range is searched by `window`.

    Unless its first look would take all of its values.
    """
    search = data.get("search", {})
    if isinstance(search, dict) and "sampler" not in search:
        tables = data | {"search": search | {"sampler": "window"}}
        found = Experiment.model_validate(tables, context=base)
        match [*found.searched().values()]:
            case [Range() as only] if only.step is None or len(only.values()) > WINDOWS_FIRST_LOOK:
                found.search.model_fields_set.discard("sampler")
                return found
    return Experiment.model_validate(data, context=base)


EXPERIMENT_TABLES: dict[str, type[Table]] = {
    "": Experiment,
    "models": Model,
    "components": Components,
    "render": Render,
    "images": Images,
    "prompt": Prompt,
    "score": Scoring,
    "score.thresholds": ThresholdTable,
    "score.content": Content,
    "score.taste": TasteTable,
    "search": Search,
}
