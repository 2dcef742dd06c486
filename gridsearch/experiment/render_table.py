"""The `[render]` table of an experiment: the settings of all images, and which of them may be searched."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from gridsearch.checkpoint.ldm.keys import known_layers
from gridsearch.checkpoint.prediction import MOST_SHIFT
from gridsearch.experiment.family import current_family
from gridsearch.experiment.programs.names import known_sampler, known_schedule
from gridsearch.experiment.recipe import PredictionType
from gridsearch.experiment.values import (
    LISTED,
    FilePath,
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
