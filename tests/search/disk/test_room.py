"""Room: the best trials' pictures in full, and a cap that is kept."""

import io
import os
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gridsearch.base.errors import RunFailed
from gridsearch.experiment.tables import Images
from gridsearch.render.pictures.infotext import embedded_text, read_parameters, reduced_from
from gridsearch.render.pictures.webp import ENCODERS
from gridsearch.results import store
from gridsearch.search.disk import quota as room
from gridsearch.search.disk.estimate import SLACK, SMALL, bytes_of, report_bytes
from gridsearch.search.disk.quota import Ended, ended, keep_room
from tests.helpers.stored import stored_run

WIDTH, HEIGHT, CASES = 640, 40, 2
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)  # the worst there is
FULL = {name: encode(PIXELS, "a\nSteps: 1, Seed: 2, Size: 640x40") for name, encode in ENCODERS.items()}
COMING = CASES * (max(map(len, FULL.values())) + 1_000 + report_bytes(0, 2) - report_bytes(0, 1))


def put(folder: Path, name: str, content: bytes) -> str:
    (folder / name).parent.mkdir(exist_ok=True, parents=True)
    (folder / name).write_bytes(content)
    return name


def draw(folder: Path, number: int, survived=1.0, defect=0.0, written_as="png", whole=True) -> Ended:
    """A trial as it lies there once it has ended."""
    names = [f"t{number:04}_p{case}" for case in range(CASES)]
    pictures = tuple(put(folder, f"images/{name}.{written_as}", FULL[written_as]) for name in names)
    traces = tuple(
        put(folder, f"traces/{name}.{end}", b"x" * 500) for name in names for end in ("png", "json")
    )
    return Ended(number, whole, survived, defect, pictures, traces)


def write_report(folder: Path) -> None:
    """The largest that may be, as sparse files, beside the one before: the moment when most is there."""
    pictures = sum(name.startswith("images/") for name in bytes_of(folder))
    for name in ("report.html", ".report.html.part"):
        size = report_bytes(0, pictures) if name == "report.html" else SLACK
        with (folder / name).open("wb") as file:
            file.truncate(size)


def total(folder: Path) -> int:
    return sum(bytes_of(folder).values())


def in_full(folder: Path, trial: Ended) -> bool:
    sides = {max(Image.open(folder / name).size) for name in trial.pictures}
    assert sides in ({WIDTH}, {SMALL})
    return sides == {WIDTH}


# -- the best are in full


@pytest.mark.parametrize("seed", range(4))
def test_the_best_are_in_full_whatever_the_order_in_which_they_came(tmp_path, seed):
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(9):
        survived, defect = rng.choice([0.0, 0.5, 1.0]), rng.choice([0.1, 0.2, 3.0])
        trials.append(
            draw(tmp_path, number, survived, defect, rng.choice(["png", "webp"]), rng.random() < 0.8)
        )
        keep_room(tmp_path, trials, Images(full=3), COMING)
        best = sorted(trials, key=lambda t: (not t.whole, -t.survived, t.defect, t.number))[:3]
        assert {t.number for t in trials if in_full(tmp_path, t)} == {t.number for t in best}


@pytest.mark.parametrize("written_as", ENCODERS)
def test_a_reduced_picture_has_its_name_its_text_and_says_what_it_was(tmp_path, written_as):
    trials = [draw(tmp_path, 0), draw(tmp_path, 1, 0.5, 0.0, written_as)]
    keep_room(tmp_path, trials, Images(full=1), 0)
    file = tmp_path / trials[1].pictures[0]
    with Image.open(file) as image:
        assert (image.format.lower(), image.size) == (written_as, (SMALL, 16))
        wanted = Image.fromarray(PIXELS).resize((SMALL, 16), Image.Resampling.LANCZOS)
        assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(wanted))
    said = read_parameters(embedded_text(file))
    assert (said.prompt, said.settings["Seed"], said.settings["Reduced from"]) == ("a", "2", "640x40")
    assert reduced_from(file) == (640, 40)
    assert reduced_from(tmp_path / trials[0].pictures[0]) is None


def test_a_picture_that_is_small_as_it_was_drawn_stays_as_it_is(tmp_path):
    name = put(tmp_path, "images/x.png", ENCODERS["png"](PIXELS[:, :SMALL], "a"))
    before = (tmp_path / name).read_bytes()
    keep_room(tmp_path, [draw(tmp_path, 0), Ended(1, True, 0.0, 9.0, (name,), ())], Images(full=1), 0)
    assert (tmp_path / name).read_bytes() == before


def test_what_is_reduced_already_is_not_opened_again(tmp_path, monkeypatch):
    trials = [draw(tmp_path, number, written_as=end) for number, end in enumerate(("png", "png", "webp"))]
    keep_room(tmp_path, trials, Images(full=1), 0)
    monkeypatch.setattr(room, "read_image", lambda path: pytest.fail(f"{path} was decoded"))
    keep_room(tmp_path, trials, Images(full=1), 0)


def test_pictures_that_are_shared_with_one_of_the_best_stay(tmp_path):
    """A trial with the parameters of an earlier one is told that one's images."""
    first = draw(tmp_path, 0)
    copy = Ended(1, True, 1.0, 0.0, first.pictures, first.traces)
    keep_room(tmp_path, [first, copy], Images(full=1, most=total(tmp_path) + SLACK + report_bytes(0, 2)), 0)
    assert in_full(tmp_path, first)
    assert all((tmp_path / name).is_file() for name in first.traces)


def test_names_that_lead_out_of_the_folder_and_files_that_are_no_pictures_are_left_alone(tmp_path):
    folder = tmp_path / "run"
    outside = put(tmp_path, "outside.png", FULL["png"])
    put(folder, "images/text.png", b"no picture")
    put(folder, "images/half.png", FULL["png"][:5000])
    names = (
        f"../{outside}",
        str(tmp_path / outside),
        "images/text.png",
        "images/half.png",
        "images/gone.png",
    )
    before = bytes_of(tmp_path)
    keep_room(folder, [draw(folder, 0), Ended(1, True, 0.0, 9.0, names, ())], Images(full=1), 0)
    after = bytes_of(tmp_path)
    assert {name: after[name] for name in before} == before


def test_a_kill_while_pictures_are_reduced_leaves_whole_ones(tmp_path, monkeypatch):
    trials = [draw(tmp_path, number) for number in range(4)]
    replace, calls = os.replace, count()

    def killed(*args):
        if next(calls) == 3:
            raise KeyboardInterrupt
        replace(*args)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        keep_room(tmp_path, trials, Images(full=1), 0)
    files = sorted((tmp_path / "images").iterdir())
    assert len(files) == 4 * CASES
    sides = [max(Image.open(io.BytesIO(file.read_bytes())).convert("RGB").size) for file in files]
    assert sorted(sides) == [SMALL] * 3 + [WIDTH] * 5
    monkeypatch.setattr(os, "replace", replace)
    keep_room(tmp_path, trials, Images(full=1), 0)
    assert [in_full(tmp_path, trial) for trial in trials] == [True, False, False, False]


# -- the cap


@pytest.mark.parametrize("seed", range(3))
def test_at_no_moment_is_the_folder_larger_than_its_cap_and_the_best_is_in_full(tmp_path, seed):
    """Room for three trials in full among ten; then for no further one, and nothing is drawn."""
    rng = np.random.default_rng(seed)
    small = len(ENCODERS["png"](rng.integers(0, 256, (16, SMALL, 3), np.uint8), "x" * 100))
    most = SLACK + report_bytes(0, 10 * CASES) + 10 * CASES * small + 3 * COMING
    trials: list[Ended] = []

    def night() -> None:
        for number in range(40):
            keep_room(tmp_path, trials, Images(most=most), COMING)
            trials.append(draw(tmp_path, number, rng.choice([0.5, 1.0]), rng.random()))
            write_report(tmp_path)
            assert total(tmp_path) <= most
            (tmp_path / ".report.html.part").unlink()

    with pytest.raises(RunFailed, match=r"The cap of .* leaves no room for another trial") as full:
        night()
    assert 10 <= len(trials) < 20
    assert f"{total(tmp_path) / 1e6:.1f} MB are used" in full.value.why
    best = min(trials, key=lambda trial: trial.rank)
    assert [trial for trial in trials if in_full(tmp_path, trial)] == [best]


def test_thumbnails_go_first_then_traces_then_pictures_of_the_worst(tmp_path):
    trials = [draw(tmp_path, number, defect=number) for number in range(3)]
    put(tmp_path, ".thumbnails/x.webp", bytes(report_bytes(0, 3 * CASES) + 1_000))
    needed = total(tmp_path) + SLACK

    def left() -> tuple[bool, int, list[bool]]:
        traces = sum(name.startswith("traces/") for name in bytes_of(tmp_path))
        return (tmp_path / ".thumbnails").is_dir(), traces, [in_full(tmp_path, one) for one in trials]

    for less, wanted in (
        (0, (True, 12, [True, True, True])),
        (500, (False, 12, [True, True, True])),
        (1_500, (False, 8, [True, True, True])),
        (4_500, (False, 4, [True, True, True])),
        (5_500, (False, 4, [True, True, False])),
        (200_000, (False, 4, [True, False, False])),
    ):
        keep_room(tmp_path, trials, Images(most=needed - less), 0)
        assert left() == wanted
    with pytest.raises(RunFailed):
        keep_room(tmp_path, trials, Images(most=needed - 400_000), 0)
    assert left() == (False, 4, [True, False, False])


def test_without_a_table_nothing_is_touched(tmp_path):
    trials = [draw(tmp_path, number) for number in range(3)]
    before = bytes_of(tmp_path)
    keep_room(tmp_path, trials, Images(), 10**15)
    assert bytes_of(tmp_path) == before


# -- of a study


def test_trials_of_a_study_are_ranked_by_their_rows(tmp_path):
    folder = stored_run(tmp_path / "run")
    trials = ended(store.read_study(folder).trials)
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert [trial.survived for trial in trials] == [1, 0, 0, 1, 0]
    assert trials[0].pictures[0] == "images/t0000_p1_11.png"
    assert trials[0].traces[0] == "traces/t0000_p1_11.png"
    assert "traces/t0000_p1_11.json" in trials[0].traces
