"""A pool of models: each read once, duplicates and broken ones told, distances as they are."""

import hashlib
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from gridsearch.app.cli import app
from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.ldm.keys import component_of
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.merge.pool import reading
from gridsearch.merge.pool import survey as survey_module
from gridsearch.merge.pool.pool import survey_pool
from gridsearch.merge.pool.relations import positions
from gridsearch.merge.pool.sketch import BUCKETS, new_signs, sketch, standard_error
from gridsearch.report.pool_map import Pin, write_map
from tests.helpers.schemas import require_valid
from tests.helpers.small_run import Quiet
from tests.merge.pool.made import KEYS, tuned, weights

A = weights(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Fifty models: changes of one, two duplicates, one with a NaN, one far away, one with a huge tensor."""
    here = tmp_path_factory.mktemp("pool")
    models = {f"m{i:02}": tuned(A, i) for i in range(1, 46)}
    models |= {"other-vae": models["m02"] | {KEYS["vae"]: A[KEYS["vae"]]}, "renamed": models["m01"]}
    models["broken"] = {**tuned(A, 46), KEYS["M00"]: tuned(A, 46)[KEYS["M00"]].clone()}
    models["broken"][KEYS["M00"]][3, :2] = torch.tensor([torch.nan, torch.inf])
    models["far"] = tuned(A, 47, spread=2.0)
    models["huge"] = {**tuned(A, 48), KEYS["te1"]: 20 * tuned(A, 48)[KEYS["te1"]]}
    for name, tensors in models.items():
        place = here / ("below" if name == "m03" else "") / f"{name}.safetensors"
        place.parent.mkdir(exist_ok=True)
        save_file(tensors, place, metadata={"title": "another"} if name == "renamed" else None)
    save_file(A, here.parent / "base.safetensors")
    return here


@pytest.fixture(scope="module")
def pool(folder):
    return survey_pool(folder, folder.parent / "base.safetensors", Quiet())


def test_fifty_models_tell_their_duplicates_and_what_is_broken(pool, folder):
    assert len(pool.models) == 51
    told = {name: " ".join(said) for name, said in pool.remarks.items() if said}
    assert told.pop("renamed") == "the same weights as m01"
    assert told.pop("other-vae") == "the UNet of m02, with another VAE"
    assert told.pop("broken") == f"2 values are NaN or infinite, 2 of them in {KEYS['M00']}"
    assert told.pop("far").startswith("far from the others")
    assert told.pop("huge").startswith(f"1 tensors of an odd size, {KEYS['te1']} 20")
    assert told == {}
    for model in pool.models:
        assert model.sha256 == hashlib.sha256(model.file.path.read_bytes()).hexdigest()
    assert "below/m03" in [model.name for model in pool.models]


def test_what_is_known_of_a_file_is_not_hashed_again(pool, folder, monkeypatch):
    path = folder / "m07.safetensors"
    known = next(model for model in pool.models if model.name == "m07")
    monkeypatch.setattr(survey_module, "cached_sha256", lambda _path, **_: known.sha256)
    monkeypatch.setattr(reading, "_feed", None)
    again = survey_module.survey("m07", known.file, new_signs(), lambda _: None)
    assert again.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [one.digest for one in again.parts.values()] == [one.digest for one in known.parts.values()]


def flat(tensors, part):
    return torch.cat([t.double().flatten() for key, t in tensors.items() if component_of(key, SDXL) == part])


def test_distances_and_cosines_are_those_of_the_weights(pool):
    """Of 51 models by sketches, within five standard errors; the base is among them."""
    own = pool.relations["unet"]
    assert not own.exact
    base, one, other = (flat(tensors, "unet") for tensors in (A, tuned(A, 4), tuned(A, 5)))
    i, j = own.names.index("m04"), own.names.index("m05")
    share = math.sqrt(1 / (2 * BUCKETS))  # of a distance: half of that of a square
    assert own.change()[i] == pytest.approx(float((one - base).norm() / base.norm()), rel=5 * share)
    assert own.distance()[i, j] == pytest.approx(float((one - other).norm() / base.norm()), rel=5 * share)
    cosine = float(torch.cosine_similarity(one - base, other - base, dim=0))
    assert own.cosine()[i, j] == pytest.approx(cosine, abs=5 * standard_error())
    assert own.distance()[own.names.index("m01"), own.names.index("renamed")] == 0


@pytest.mark.parametrize("base", [None, "base.safetensors"])
def test_three_models_are_compared_exactly(folder, tmp_path, base):
    for i in (4, 5, 6):
        (tmp_path / f"m{i}.safetensors").symlink_to(folder / f"m0{i}.safetensors")
    pool = survey_pool(tmp_path, base and folder.parent / base, Quiet())
    own = pool.relations["unet"]
    assert own.exact
    assert pool.notes() == []
    models = {f"m{i}": flat(tuned(A, i), "unet") for i in (4, 5, 6)}
    norm = (
        flat(A, "unet").norm() if base else np.sqrt(np.mean([float(m.norm()) ** 2 for m in models.values()]))
    )
    for i, one in models.items():
        for j, other in models.items():
            at = own.names.index(i), own.names.index(j)
            assert own.distance()[at] == pytest.approx(float((one - other).norm() / norm), rel=1e-4, abs=1e-6)
            if base:
                changes = one - flat(A, "unet"), other - flat(A, "unet")
                cosine = float(torch.cosine_similarity(*changes, dim=0))
                assert own.cosine()[at] == pytest.approx(cosine, abs=1e-5)


def made(kind: str, generator) -> torch.Tensor:
    one = torch.randn(300, 400, generator=generator)
    if kind == "rank one":
        return torch.outer(one[:, 0], one[0])
    return one * (torch.rand(300, 400, generator=generator) < 0.01) if kind == "sparse" else one


@pytest.mark.parametrize("kind", ["dense", "rank one", "sparse"])
def test_a_sketch_estimates_products_with_the_error_that_is_told(kind):
    generator, errors = torch.Generator().manual_seed(5), []
    for seed in range(12):
        signs, (a, b) = new_signs(seed), (made(kind, generator), made(kind, generator))
        (one, squares, _), (other, others, _) = sketch("key", a, signs), sketch("key", b, signs)
        errors.append((one @ other - float((a.double() * b).sum())) / math.sqrt(squares * others))
        difference = sketch("key", a - b, signs)[0]
        assert np.allclose(difference, one - other, atol=1e-3)
    assert abs(np.mean(errors)) < 4 * standard_error() / math.sqrt(len(errors))
    assert 0.4 * standard_error() < np.std(errors) < 1.8 * standard_error()


def test_a_map_of_points_in_a_plane_is_those_points():
    points = np.random.default_rng(0).normal(size=(9, 2))
    points[1] = points[0]
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    found, missed = positions(distance)
    assert np.linalg.norm(found[:, None] - found, axis=-1) == pytest.approx(distance, abs=1e-6)
    assert missed < 1e-6


def test_names_are_numbers_where_they_would_cover_one_another(tmp_path):
    pins = [
        Pin((f"a model with a long name {i}",), "epsilon", (i % 7 * 0.01, i // 7 * 0.01)) for i in range(30)
    ]
    write_map(tmp_path / "few.png", pins[:3], "three", ["about"])
    write_map(tmp_path / "many.png", [*pins, Pin(("x",), "v_prediction", (5.0, 5.0))], "many", ["about"])
    right = [
        np.asarray(Image.open(tmp_path / name).convert("L"))[120:1200, 1400:]
        for name in ("few.png", "many.png")
    ]
    assert (right[1] < 128).sum() > 5 * (right[0] < 128).sum() + 1000  # the list of names


def test_the_command_writes_a_table_its_pairs_and_a_map(folder, tmp_path):
    for i in (1, 2, 4, 5):
        (tmp_path / f"m{i}.safetensors").symlink_to(folder / f"m0{i}.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((folder / "m04.safetensors").read_bytes()[:-100])
    out = tmp_path / "out"
    out.mkdir()
    words = [
        "--base",
        folder.parent / "base.safetensors",
        "--csv",
        out / "p.csv",
        "--map",
        out / "p.png",
        "--json",
    ]
    done = CliRunner().invoke(app, ["inspect", "--pool", *map(str, [tmp_path, *words])])
    document = require_valid(json.loads(done.stdout), "pool")
    assert [model["model"] for model in document["models"]] == ["base (base)", "m1", "m2", "m4", "m5"]
    assert "truncated" in document["unread"]["cut.safetensors"]
    assert len((out / "p.csv").read_text().splitlines()) == 6
    assert len((out / "p-pairs.csv").read_text().splitlines()) == 1 + 10 * len(document["changes"])
    assert Image.open(out / "p.png").format == "PNG"


def test_what_is_no_pool_is_told(tmp_path):
    with pytest.raises(BadInput, match="no such folder"):
        survey_pool(tmp_path / "none", None, Quiet())
    with pytest.raises(BadInput, match="no model in this folder"):
        survey_pool(tmp_path, None, Quiet())
    for words in (["--pool", "x", "y.safetensors"], ["y.safetensors", "--map", "p.png"], []):
        assert isinstance(CliRunner().invoke(app, ["inspect", *words]).exception, BadInput)
