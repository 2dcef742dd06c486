"""Text-image agreement by CLIP, on a tiny model of random weights that the tests save."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from gridsearch.base.errors import BadInput
from gridsearch.experiment.tables import ScorerTable as Wanted
from gridsearch.render.cases import Case
from gridsearch.score.scorers.clip import MEAN, STD, _embedding, clip_model, preprocessed
from gridsearch.score.scorers.clip_agreement import clip_agreement
from gridsearch.score.scorers.plugins import open_scorers, scorer_values
from tests.helpers.pictures import scene
from tests.helpers.tiny_clip import SIDE

CAT = Case("p1", "a red cat", "", 1)


@pytest.fixture
def copy(saved, tmp_path):
    """A folder of its own, to be damaged."""
    return shutil.copytree(saved, tmp_path / "clip")


def test_it_is_the_cosine_of_the_two_embeddings(saved):
    """The long way, with the image processor of transformers."""
    picture = scene(64, 3)[:48]
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    pixels = processor(picture, return_tensors="pt")["pixel_values"]
    model, tokenizer = CLIPModel.from_pretrained(saved).eval(), CLIPTokenizer.from_pretrained(saved)
    with torch.no_grad():
        found = model(
            input_ids=torch.tensor([tokenizer(CAT.text)["input_ids"]]),
            pixel_values=pixels,
        )
    text, image = found.text_embeds[0].double(), found.image_embeds[0].double()
    expected = float(text @ image / text.norm() / image.norm())
    assert clip_agreement(picture, CAT, folder=str(saved)) == pytest.approx(expected, abs=1e-6)
    assert -1 <= expected <= 1


def test_it_depends_on_the_picture_and_on_the_prompt(saved):
    values = {
        clip_agreement(scene(64, seed), Case("p", text, "", 1), folder=str(saved))
        for seed in (1, 2)
        for text in ("a cat", "a dog")
    }
    assert len(values) == 4


def test_a_prompt_is_cut_where_the_model_stops_reading(saved):
    picture = scene(64, 3)
    long, longer = (Case("p", "cat " * n, "", 1) for n in (200, 300))
    first, second = (clip_agreement(picture, case, folder=str(saved)) for case in (long, longer))
    assert first == second


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (700, 30, 3)])
def test_any_shape_of_picture_has_a_value(saved, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert -1 <= clip_agreement(picture, CAT, folder=str(saved)) <= 1


def test_pixels_are_the_middle_square_with_mean_0_and_deviation_1_by_channel():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 5:25] = 255
    normed = preprocessed(wide, 10, (0.5, 0.5, 0.5), (0.5, 0.25, 0.1))
    assert normed.shape == (3, 10, 10)
    assert [channel.unique().tolist() for channel in normed] == [[1], [2], [5]]


def test_the_folders_own_mean_and_deviation_are_used(copy):
    before = clip_agreement(scene(64, 3), CAT, folder=str(copy))
    (copy / "preprocessor_config.json").write_text('{"image_mean": [0.1, 0.5, 0.9], "image_std": [1, 2, 3]}')
    clip_model.cache_clear()
    _embedding.cache_clear()
    assert clip_agreement(scene(64, 3), CAT, folder=str(copy)) != before


def test_the_model_is_loaded_once_and_looks_at_a_picture_once(saved):
    clip_model.cache_clear()
    _embedding.cache_clear()
    for text in ("a cat", "a dog", "a cat"):
        clip_agreement(scene(64, 3), Case("p", text, "", 1), folder=str(saved))
    assert clip_model.cache_info().misses == 1
    assert (_embedding.cache_info().misses, _embedding.cache_info().hits) == (1, 2)


def test_pickscore_is_the_models_own_logit(saved):
    """transformers' logits_per_image are exp(logit scale) times the cosine, which is PickScore's formula."""
    picture = scene(64, 3)
    model, tokenizer = CLIPModel.from_pretrained(saved).eval(), CLIPTokenizer.from_pretrained(saved)
    pixels = preprocessed(picture, SIDE, MEAN, STD)[None]
    with torch.no_grad():
        found = model(**tokenizer(CAT.text, return_tensors="pt"), pixel_values=pixels)
    value = clip_agreement(picture, CAT, folder=str(saved), logits=True)
    assert value == pytest.approx(float(found.logits_per_image), rel=1e-5)


# -- what is said before anything is drawn


def remove(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def pickled(folder):
    weights = folder / "model.safetensors"
    weights.rename(folder / "pytorch_model.bin")


def shortened(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, "no such folder"),
        (remove("config.json"), "has no config.json"),
        (remove("model.safetensors"), "has no model.safetensors"),
        (pickled, "pytorch_model.bin is a pickle, which can run code"),
        (shortened, "not a complete safetensors file"),
        (remove("merges.txt"), "has no merges.txt"),
        (remove("vocab.json"), "has no tokenizer.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "has no table in it"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "bert"}'), "type 'bert'"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_drawn(copy, damage, said):
    damage(copy)
    with pytest.raises(BadInput, match=said) as caught:
        open_scorers([Wanted(name="clip_agreement", folder=str(copy))], ())
    assert str(copy) in str(caught.value)
    assert len(caught.value.lines) <= 4


def test_a_device_that_is_not_there_is_said(saved):
    with pytest.raises(BadInput, match="no device 'tpu'"):
        open_scorers([Wanted(name="clip_agreement", folder=str(saved), device="tpu")], ())
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="no CUDA device"):
            open_scorers([Wanted(name="clip_agreement", folder=str(saved), device="cuda")], ())


def test_weights_that_are_not_a_whole_model_give_no_value_instead_of_a_random_one(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    scorers = open_scorers([Wanted(name="clip_agreement", folder=str(copy))], ())
    values, unscored = scorer_values(scorers, scene(64, 3), CAT)
    assert np.isnan(values["clip_agreement"])
    assert "not those of a whole CLIP model" in unscored["clip_agreement"]


def test_a_pickle_beside_the_weights_is_not_opened(copy):
    (copy / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert -1 <= clip_agreement(scene(64, 3), CAT, folder=str(copy)) <= 1


@pytest.mark.parametrize("part", ["pytorch_model.bin", "../model.safetensors", "model.safetensors\n"])
def test_an_index_that_names_a_pickle_or_a_file_elsewhere_is_refused(copy, part):
    (copy / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"logit_scale": part}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadInput, match="not safe to read"):
        open_scorers([Wanted(name="clip_agreement", folder=str(copy))], ())


@pytest.mark.gpu
def test_a_gpu_says_the_same(saved):
    values = [clip_agreement(scene(64, 3), CAT, folder=str(saved), device=d) for d in ("cpu", "cuda")]
    assert values[0] == pytest.approx(values[1], abs=1e-4)
