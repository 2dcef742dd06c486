"""Verdict, defect and dial of pictures that are broken on purpose."""

from dataclasses import asdict
from functools import cache
from math import hypot, isfinite, isnan
from re import fullmatch

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from benchmarks.calibrate.pictures import line_art
from gridsearch.score.band import POPULATION, band_of
from gridsearch.score.measure import measure
from gridsearch.score.metrics import UNDEFINED
from gridsearch.score.score import DEFECT_CAP, FAILED, OK_CAP, farther, score
from gridsearch.score.verdict import VERDICTS, usable_reference
from gridsearch.search.trial.outcome import Outcome
from tests.helpers.pictures import gained, grey, scene, to_bytes

pytestmark = pytest.mark.usefixtures("measured_once")

SIZES = (64, 512)


@cache
def band_at(size):
    return band_of([measure(scene(size, seed)) for seed in range(8)])


@cache
def pictures_at(size):
    return [scene(size, seed) for seed in range(20, 26)]


def noise(size):
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("with_references", [True, False])
@pytest.mark.parametrize(
    ("verdict", "breaking"),
    [
        ("blank", lambda p: np.full_like(p, 128)),
        ("blank", lambda p: np.full_like(p, 255)),
        ("black", np.zeros_like),
        ("noise", lambda p: noise(len(p))),
        ("ghost", lambda p: gained(p, 0.25)),
        ("burnt", lambda p: gained(p, 3)),
    ],
)
def test_a_picture_broken_on_purpose_is_called_so(size, with_references, verdict, breaking):
    band = band_at(size) if with_references else POPULATION
    for picture in pictures_at(size):
        broken = score(breaking(picture), band)
        assert broken.verdict == verdict
        assert broken.reason
        assert FAILED <= broken.defect < DEFECT_CAP


@pytest.mark.parametrize("size", SIZES)
def test_other_pictures_of_the_same_kind_are_ok(size):
    for picture in pictures_at(size):
        for band in (band_at(size), band_of([measure(picture)]), POPULATION):
            healthy = score(picture, band)
            assert (healthy.verdict, healthy.reason) == ("ok", "")
            assert healthy.defect < OK_CAP < FAILED
        assert score(picture, band_of([measure(picture)])).defect == 0


def test_a_moderate_burn_is_seen_against_references():
    for picture in pictures_at(64):
        assert score(gained(picture, 1.8), band_at(64)).verdict == "burnt"


def test_small_shards_in_another_light_than_the_reference_are_noise():
    """Those of a merge beyond its window: scraps on black, of which a fifth clips."""
    reference = measure(pictures_at(64)[0])
    for seed in range(3):
        field = gaussian_filter(np.random.default_rng(seed).standard_normal((64, 64, 3)), (1.5, 1.5, 0))
        scraps = to_bytes(30 * np.maximum(field / field.std() + 1.1, 0))
        found = score(scraps, band_of([reference], reference))
        assert (found.verdict, "quietest parts" in found.reason) == ("noise", True)
        assert score(scraps, band_of([measure(scraps)])).verdict == "ok"  # its reference has it too


def test_white_paper_is_no_burn():
    drawing = np.full((512, 512), 255.0)
    drawing[100:400, 60:360] = 60 + 40 * np.sin(np.add.outer(np.arange(300), np.arange(300)) / 20)
    for band in (POPULATION, band_at(512)):
        assert score(grey(drawing), band).verdict == "ok"


def in_fragments(picture):
    patches = picture.reshape(16, 32, 16, 32, 3).swapaxes(1, 2).reshape(256, 32, 32, 3)
    patches = np.random.default_rng(0).permutation(patches)
    return patches.reshape(16, 16, 32, 32, 3).swapaxes(1, 2).reshape(512, 512, 3)


def test_of_pictures_that_all_clip_the_whole_one_ranks_first_and_fragments_last():
    whole = [line_art(512, seed, paper=255.0) for seed in range(20, 24)]
    shattered = [in_fragments(picture) for picture in whole]
    hard = [gained(picture, 3) for picture in whole]
    assert all(measure(p).clipped > 0.3 for made in (whole, hard, shattered) for p in made)
    means = [np.mean([score(p, POPULATION).defect for p in made]) for made in (whole, hard, shattered)]
    assert means[0] < means[1] < means[2]


def test_a_render_that_is_not_finite_is_nan_whatever_its_pixels():
    for band in (band_at(64), POPULATION):
        broken = score(pictures_at(64)[0], band, finite=False)
        assert (broken.verdict, broken.defect) == ("nan", DEFECT_CAP)
        assert isnan(broken.dial)
        assert all(isnan(value) for value in asdict(broken.metrics).values())


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (2, 2, 3), (7, 5, 3), (64, 64, 3), (1200, 900, 3)])
@pytest.mark.parametrize("band", [band_at(64), POPULATION], ids=["references", "population"])
def test_any_bytes_get_a_verdict_and_a_finite_capped_defect(shape, band):
    rng = np.random.default_rng(1)
    for picture in (rng.integers(0, 256, shape, dtype=np.uint8), np.full(shape, 77, dtype=np.uint8)):
        scored = score(picture, band)
        assert scored.verdict in VERDICTS
        assert 0 <= scored.defect < DEFECT_CAP
        assert isfinite(scored.dial)


@pytest.mark.parametrize("size", SIZES)
def test_the_dial_rises_with_the_gain(size):
    for picture in pictures_at(size):
        gains = (0.05, 0.2, 0.5, 0.8, 1, 1.2, 1.5, 2, 3)
        dials = [score(gained(picture, gain), band_at(size)).dial for gain in gains]
        assert dials == sorted(dials)
        assert dials[0] < -1 < 1 < dials[-1]


@pytest.mark.parametrize("size", SIZES)
def test_the_mean_defect_is_least_at_the_references_own_gain(size):
    gains = (0.3, 0.5, 0.75, 1, 1.25, 1.5, 2)
    means = [np.mean([score(gained(p, g), band_at(size)).defect for p in pictures_at(size)]) for g in gains]
    best = gains.index(1)
    assert means[: best + 1] == sorted(means[: best + 1], reverse=True)
    assert means[best:] == sorted(means[best:])


def test_a_broken_parent_does_not_define_healthy():
    picture = pictures_at(512)[0]
    assert usable_reference(measure(picture))
    for broken in (gained(picture, 0.1), gained(picture, 3), noise(64), np.zeros_like(picture)):
        assert not usable_reference(measure(broken))
    assert not usable_reference(UNDEFINED)


@pytest.mark.parametrize(
    ("breaking", "reason"),
    [
        (lambda p: gained(p, 3), r"\d+% of the channel values are clipped, WHO 0%"),
        (lambda p: gained(p, 0.25), r"it has a contrast of 1\d levels, WHO [45]\d"),
        (lambda p: gained(p, 0.02), r"it has a contrast of only \d.\d levels, WHO [45]\d"),
        (lambda p: noise(len(p)), r".* grain of \d+ levels, WHO 0.*"),
        (np.zeros_like, r"its mean luma is 0.0 of 255"),
    ],
)
def test_the_reason_is_a_sentence_with_the_value_and_what_it_is_held_against(breaking, reason):
    picture = pictures_at(512)[1]
    own = measure(picture)
    bands = {
        "its reference has": band_of([own], own),
        "the references have about": band_at(512),
        "healthy pictures have about": POPULATION,
    }
    for who, band in bands.items():
        # A population has 2% clipped, as white paper and black ink have.
        expected = reason.replace("WHO 0%", f"{who} [02]%").replace("WHO", who)
        assert fullmatch(expected, score(breaking(picture), band).reason)


@pytest.mark.parametrize("breaking", [lambda p: gained(p, 0.25), lambda p: gained(p, 3), np.zeros_like])
def test_a_collapse_on_one_prompt_of_sixteen_cannot_be_averaged_away(breaking):
    pictures = [scene(128, seed) for seed in range(40, 56)]
    bands = [band_of([measure(picture)], measure(picture)) for picture in pictures]

    def outcome(renders):
        scores = [score(render, band) for render, band in zip(renders, bands, strict=True)]
        return Outcome([{"verdict": s.verdict, "defect": s.defect} for s in scores], {}, len(scores))

    collapsed = outcome([breaking(pictures[0]), *pictures[1:]])
    paler = outcome([gained(picture, 0.6) for picture in pictures])
    assert collapsed.survived == 15 / 16 < paler.survived == 1
    assert collapsed.defect < paler.defect  # the mean alone would take the collapsed one
    assert paler.value < collapsed.value


@pytest.mark.parametrize(("gain", "verdict"), [(1.0, "ok"), (0.02, "blank")])
def test_a_distance_that_is_added_afterwards_counts_as_among_the_others(gain, verdict):
    picture = gained(scene(128, 20), gain)
    first, both = score(picture, POPULATION, beyond=1.5), score(picture, POPULATION, beyond=hypot(1.5, 2.0))
    assert first.verdict == verdict
    assert farther(verdict, first.defect, 2.0) == pytest.approx(both.defect, rel=1e-12)
    assert farther(verdict, first.defect, 0.0) == pytest.approx(first.defect, rel=1e-12)
    assert farther("nan", DEFECT_CAP, 2.0) == DEFECT_CAP
