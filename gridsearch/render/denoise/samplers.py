"""The samplers by name: how an experiment spells them, and what A1111 shows for each."""

from dataclasses import dataclass

from gridsearch.base.errors import nearest


@dataclass(frozen=True)
class SamplerName:
    """A sampler as A1111 writes it into an image: since 1.9 the noise schedule apart from the sampler.

    Attributes:
        schedule: None for whatever the UI chooses by itself.
        order: calls of the UNet a step; one less in the last.
        steady: whether what is predicted early comes true; samplers that put back much noise recover late.
    """

    sampler: str
    schedule: str | None = None
    order: int = 1
    steady: bool = True

    @property
    def title(self) -> str:
        """The name in one, as A1111's menus had it before 1.9: `DPM++ 2M Karras`."""
        return " ".join(filter(None, (self.sampler, self.schedule)))

    def calls(self, steps: int) -> int:
        """How often the UNet is called for so many steps."""
        return self.order * (steps - 1) + 1


SAMPLERS = {
    "euler": SamplerName("Euler"),
    "euler_a": SamplerName("Euler a"),
    "heun": SamplerName("Heun", order=2),
    "dpmpp_2m": SamplerName("DPM++ 2M"),
    "dpmpp_2m_karras": SamplerName("DPM++ 2M", "Karras"),
    "dpmpp_2m_sde": SamplerName("DPM++ 2M SDE"),
    "dpmpp_2m_sde_karras": SamplerName("DPM++ 2M SDE", "Karras"),
    "dpmpp_sde": SamplerName("DPM++ SDE", order=2, steady=False),
    "dpmpp_sde_karras": SamplerName("DPM++ SDE", "Karras", order=2, steady=False),
    "ddim": SamplerName("DDIM"),
    "unipc": SamplerName("UniPC"),
    "lcm": SamplerName("LCM", steady=False),
}

# The schedule that A1111's "Automatic" means, where it is not "Uniform" (1.9 and later).
AUTOMATIC = {"DPM++ 2M": "Karras", "DPM++ SDE": "Karras", "DPM++ 2M SDE": "Exponential"}


def sampler_key(name: object) -> object:
    """The key of a sampler, which may be named as A1111 shows it, in any case.

    Raises:
        ValueError: no sampler is called so.
    """
    if not isinstance(name, str) or name in SAMPLERS:
        return name
    titles = {known.title.lower(): key for key, known in SAMPLERS.items()}
    asked = " ".join(name.lower().split())
    if asked not in titles:
        close = SAMPLERS[titles[nearest(asked, titles)]].title
        raise ValueError(f"no sampler is called so; the nearest is {close!r}")
    return titles[asked]
