"""Heads on CLIP's embedding, against the published networks written with torch.nn, and by hand."""

import pickle
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPModel

from gridsearch.base.errors import BadInput
from gridsearch.experiment.tables import ScorerTable as Wanted
from gridsearch.render.cases import Case
from gridsearch.score.scorers.clip import MEAN, STD, preprocessed
from gridsearch.score.scorers.clip_head import ACTIVATIONS, clip_head
from gridsearch.score.scorers.plugins import open_scorers, scorer_values
from tests.helpers.pictures import scene
from tests.helpers.tiny_clip import SIDE, WIDTH

CASE, PICTURE = Case("p1", "a cat", "", 1), scene(64, 3)


@pytest.fixture(scope="module")
def embedding(saved):
    """The picture's, by transformers alone."""
    model = CLIPModel.from_pretrained(saved).eval()
    with torch.no_grad():
        pooled = model.vision_model(preprocessed(PICTURE, SIDE, MEAN, STD)[None]).pooler_output
        return model.visual_projection(pooled)


@pytest.fixture
def value(saved, tmp_path):
    """The scorer's value by a head of these tensors."""

    def found(tensors, **options):
        file = tmp_path / "head.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
        (scorer,) = open_scorers(
            [Wanted(name="aesthetic", scorer="clip_head", folder=str(saved), head_file=str(file), **options)],
            (),
        )
        values, unscored = scorer_values([scorer], PICTURE, CASE)
        assert not unscored
        return values["aesthetic"]

    return found


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def test_a_linear_head_is_a_dot_product(value, embedding):
    """LAION's first predictors are one layer."""
    weight = torch.arange(WIDTH, dtype=torch.float32)
    expected = float(weight.double() @ unit(embedding[0]).double()) + 0.5
    assert value({"weight": weight[None], "bias": torch.tensor([0.5])}) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("activation", [None, nn.ReLU])
def test_laions_mlp_with_dropouts_and_with_or_without_activations(value, embedding, activation):
    """Linear 1024, 128, 64, 16, 1 of improved-aesthetic-predictor; the widths are a sixteenth."""
    torch.manual_seed(1)
    between = [nn.Dropout(0.2)] if activation is None else [activation(), nn.Dropout(0.2)]
    last = [] if activation is None else [activation()]
    layers = nn.Sequential(
        nn.Linear(WIDTH, 64), *between, nn.Linear(64, 8), *between, nn.Linear(8, 4), *between,
        nn.Linear(4, 2), *last, nn.Linear(2, 1),
    ).eval()  # fmt: skip
    tensors = {f"layers.{name}": tensor for name, tensor in layers.state_dict().items()}
    found = value(tensors, activation="relu" if activation else "none")
    assert found == pytest.approx(layers(unit(embedding)).item(), abs=1e-6)


def test_waifu_diffusions_with_a_sigmoid_at_the_end(value, embedding):
    torch.manual_seed(2)
    first, second, third = nn.Linear(WIDTH, 12), nn.Linear(12, 6), nn.Linear(6, 1)
    tensors = {
        f"fc{i}.{name}": tensor
        for i, layer in enumerate((first, second, third), 1)
        for name, tensor in layer.state_dict().items()
    }
    expected = third(second(first(unit(embedding)).relu()).relu()).sigmoid()
    assert value(tensors, activation="relu", output="sigmoid") == pytest.approx(expected.item(), abs=1e-6)


def test_city_aesthetics_sees_the_embedding_as_it_is(value, embedding):
    """The network of CityClassifiers' model.py, at an eighth of its width."""
    torch.manual_seed(3)
    leaky = nn.LeakyReLU(0.1)
    up = nn.Linear(WIDTH, 16)
    long = nn.Sequential(nn.Linear(16, 16), leaky, nn.Linear(16, 16), leaky, nn.Linear(16, 16))
    down = nn.Sequential(
        nn.Linear(16, 8), nn.Linear(8, 6), nn.Dropout(0.1), nn.LeakyReLU(), nn.Linear(6, 4), nn.Linear(4, 1)
    ).eval()
    parts = {"up.0": up, "up.1.long": long, "down": down}
    tensors = {f"{at}.{name}": t for at, part in parts.items() for name, t in part.state_dict().items()}
    risen = up(embedding)
    expected = (down(torch.relu(long(risen) + risen)).tanh() + 1) / 2
    assert value(tensors) == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_lies_between_and_at_the_end_is_as_said(value, embedding, name):
    first, second = torch.linspace(-2, 2, 3 * WIDTH).reshape(3, WIDTH), torch.tensor([[1.0, -2.0, 0.5]])
    does = {
        "none": lambda x: x,
        "relu": lambda x: np.maximum(x, 0),
        "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
        "gelu": lambda x: torch.nn.GELU()(torch.from_numpy(x)).numpy(),
        "silu": lambda x: x / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    }[name]
    inner = first.double().numpy() @ embedding[0].double().numpy()
    expected = float(does(second.double().numpy() @ does(inner))[0])
    tensors = {"a.0.weight": first, "a.10.weight": second}
    assert value(tensors, activation=name, output=name, normalised=False) == pytest.approx(expected, abs=1e-5)


# -- what is said before anything is drawn


def chain(*widths, name="layers.{}"):
    return {f"{name.format(i)}.weight": torch.zeros(b, a) for i, (a, b) in enumerate(pairwise(widths))}


@pytest.mark.parametrize(
    ("tensors", "options", "said"),
    [
        (chain(WIDTH, 3, 1), {}, "2 layers, and its file does not say what lies between them"),
        (chain(WIDTH, 3, 1), {"activation": "swish"}, "no activation 'swish'"),
        (chain(WIDTH, 1), {"output": "softmax"}, "no output 'softmax'"),
        (chain(768, 1), {}, "takes 768 numbers, but the model gives 24"),
        (chain(WIDTH, 3) | chain(1, 4, 1, name="x.{}"), {}, r"x.0 takes 1 numbers, but layers.0 gives 3"),
        (chain(WIDTH, 5), {}, "gives 5 numbers, not one"),
        (chain(WIDTH, 1) | {"norm.running_mean": torch.zeros(3)}, {}, "norm is not a linear layer"),
        (chain(WIDTH, 1) | {"layers.0.scale": torch.zeros(3)}, {}, "belongs to no linear layer"),
        ({"weight": torch.zeros(1, WIDTH), "bias": torch.zeros(2)}, {}, "not a linear layer"),
    ],
)
def test_a_head_that_cannot_work_is_refused(value, tensors, options, said):
    with pytest.raises(BadInput, match=said) as caught:
        value(tensors, **options)
    assert len(caught.value.lines) <= 4


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt"])
def test_a_pickle_is_not_opened_and_how_to_convert_it_is_said(saved, tmp_path, suffix):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    file = tmp_path / f"head{suffix}"
    file.write_bytes(pickle.dumps(Bomb()))
    wanted = Wanted(name="clip_head", folder=str(saved), head_file=str(file))
    with pytest.raises(BadInput, match="pickles, which can run code") as caught:
        open_scorers([wanted], ())
    assert "weights_only=True" in str(caught.value)
    shutil.copy(file, tmp_path / "renamed.safetensors")
    with pytest.raises(BadInput, match="not a complete safetensors file"):
        open_scorers([wanted.model_copy(update={"head_file": str(tmp_path / "renamed.safetensors")})], ())
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_not_finite_give_no_value(saved, tmp_path):
    file = tmp_path / "head.safetensors"
    save_file({"weight": torch.full((1, WIDTH), torch.nan)}, file)
    with pytest.raises(BadInput, match="not finite"):
        clip_head(PICTURE, CASE, folder=str(saved), head_file=str(file))
