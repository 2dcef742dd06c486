"""A sampler is written down once, and what says something else about it is found."""

from pathlib import Path

import diffusers
import pytest

from gridsearch.render.denoise.sampling import AUTOMATIC, SAMPLERS, sampler_key

DOCS = Path(__file__).parents[3] / "docs" / "web-uis.md"


def documented() -> dict[str, list[str]]:
    """The rows of the table of samplers, by the sampler's key."""
    table = DOCS.read_text("utf-8").split("| sampler | A1111's name |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_the_page_on_rendering_has_a_row_for_each_and_says_what_is_so():
    rows = documented()
    assert list(rows) == list(SAMPLERS)
    for key, known in SAMPLERS.items():
        title, scheduler, calls, *_ = rows[key]
        name = known.scheduler.removesuffix("Scheduler")
        assert title == known.title
        assert scheduler.startswith((name, "the same"))
        assert ("use_karras_sigmas" in scheduler) == ("use_karras_sigmas" in known.options)
        assert calls == ("1" if known.order == 1 else f"{known.order}, last step 1")


@pytest.mark.parametrize("key", SAMPLERS)
def test_each_is_a_scheduler_of_diffusers_and_is_found_by_the_name_that_a1111_shows(key):
    assert issubclass(getattr(diffusers, SAMPLERS[key].scheduler), diffusers.SchedulerMixin)
    assert sampler_key(SAMPLERS[key].title.upper()) == key


def test_automatic_is_a_schedule_for_some():
    assert AUTOMATIC == {"DPM++ 2M": "Karras", "DPM++ SDE": "Karras", "DPM++ 2M SDE": "Exponential"}
