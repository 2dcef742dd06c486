"""Features by small backbones of random weights, which the tests save: their arithmetic, not their worth."""

import json

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from gridsearch.base.errors import BadInput
from gridsearch.score.scorers.backbone import check_backbone, picture_features
from tests.helpers.pictures import scene

SIZE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    """A folder as transformers keeps DINOv2, whose processor is that of BiT."""
    folder = tmp_path_factory.mktemp("dinov2")
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(**SIZE, image_size=42, patch_size=14)).save_pretrained(folder)
    said = {
        "size": {"shortest_edge": 48},
        "crop_size": {"height": 42, "width": 42},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder


def unit(features):
    features = features.double()
    return (features / features.norm()).numpy()


def test_dinov2s_are_its_class_token_of_the_middle_square(dino):
    picture = scene(64, 3)[:56]
    processor = BitImageProcessorPil(**json.loads((dino / "preprocessor_config.json").read_text()))
    pixels = processor(picture, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 42, 42)
    with torch.no_grad():
        expected = Dinov2Model.from_pretrained(dino).eval()(pixels).last_hidden_state[0, 0]
    found = picture_features(picture, str(dino))
    assert found == pytest.approx(unit(expected), abs=1e-5)
    assert np.linalg.norm(found) == pytest.approx(1)


def test_clips_are_its_embedding(tmp_path):
    config = CLIPConfig(
        text_config=SIZE | {"vocab_size": 99},
        vision_config=SIZE | {"image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    CLIPModel(config).save_pretrained(tmp_path)
    picture = scene(64, 3)[:48]
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    pixels = processor(picture, return_tensors="pt")["pixel_values"]
    model = CLIPModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = model.visual_projection(model.vision_model(pixels).pooler_output)[0]
    assert picture_features(picture, str(tmp_path)) == pytest.approx(unit(expected), abs=1e-5)


def test_another_model_or_none_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no such folder with a DINOv2 model or CLIP model"):
        check_backbone(str(tmp_path / "none"))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(BadInput, match="a pickle, which can run code"):
        check_backbone(str(tmp_path))
