"""Units in another order: the same pictures, and found again to the last bit."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from gridsearch.checkpoint.ldm.layout import file_views
from gridsearch.checkpoint.ldm.units import NEURONS, QUERIES, VALUES, interchangeable
from gridsearch.merge.export.rebasin import rebase
from tests.helpers.small_run import Quiet
from tests.helpers.tiny_components import file_state_dict, random_components, write_configs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_configs(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def weights(folder):
    return file_state_dict(random_components(folder, torch.float32), torch.float16)


@pytest.fixture(scope="module")
def shuffled(folder, weights):
    """The same weights, with all units of every layer in another order."""
    found = {key: value.clone() for key, value in weights.items()}
    generator = torch.Generator().manual_seed(1)
    for units in interchangeable(folder):
        order = torch.randperm(units.count, generator=generator)
        for place in units.places:
            here = found[place.key].narrow(place.axis, place.start, units.count)
            here.copy_(here.index_select(place.axis, order))
    return found


def answers(folder, weights):
    """Return what both text encoders and the UNet make of fixed inputs, in float64."""
    models = random_components(folder, torch.float64, seed=9)
    for key, parts in file_views(models).items():
        for part in parts:
            part.view.copy_(weights[key][part.rows])
    generator = torch.Generator().manual_seed(2)
    tokens = torch.arange(77)[None]
    first = models["text_encoder"](tokens, output_hidden_states=True).hidden_states[-2]
    second = models["text_encoder_2"](tokens, output_hidden_states=True)
    latent = torch.randn(1, 4, 16, 16, generator=generator).double()
    added = {"text_embeds": second.text_embeds, "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]]).double()}
    text = torch.cat([first, second.hidden_states[-2]], -1)
    drawn = models["unet"](latent, 500, text, added_cond_kwargs=added).sample
    return text, second.text_embeds, drawn


def test_a_model_answers_the_same_with_its_units_in_any_order(folder, weights, shuffled):
    changed = [key for key in weights if not torch.equal(weights[key], shuffled[key])]
    assert len(changed) > 100
    for before, after in zip(answers(folder, weights), answers(folder, shuffled), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-9, atol=1e-9)


def test_a_tuned_model_is_put_in_the_order_of_its_base(tmp_path, folder, weights, shuffled):
    """The right order is known: that before the shuffle. Every bit of the tuned model comes back in it."""
    generator = torch.Generator().manual_seed(3)
    noise = {key: 0.01 * torch.randn(value.shape, generator=generator) for key, value in weights.items()}
    base = {key: (value.float() + noise[key]).half() for key, value in weights.items()}
    save_file(shuffled, tmp_path / "model.safetensors", {"ss_note": "kept"})
    save_file(base, tmp_path / "base.safetensors")
    out = tmp_path / "out.safetensors"
    found = rebase(tmp_path / "model.safetensors", tmp_path / "base.safetensors", out, folder, Quiet())

    written = load_file(out)
    assert all(torch.equal(written[key], weights[key]) for key in weights)
    assert set(found.moved) == {QUERIES, VALUES, NEURONS}
    units = sum(one.count for one in interchangeable(folder))
    assert 0.9 * units < sum(moved for moved, _ in found.moved.values()) < units
    before, after = found.distances
    touched = {place.key for one in interchangeable(folder) for place in one.places}
    assert after < 0.3 * before
    exact = sum(float((weights[key].double() - base[key].double()).square().sum()) for key in touched) ** 0.5
    assert after == pytest.approx(exact, rel=1e-3)


def test_models_in_the_same_order_are_left_alone(tmp_path, folder, weights):
    save_file(weights, tmp_path / "a.safetensors")
    save_file({key: 1.01 * value for key, value in weights.items()}, tmp_path / "b.safetensors")
    out = tmp_path / "out.safetensors"
    found = rebase(tmp_path / "a.safetensors", tmp_path / "b.safetensors", out, folder, Quiet())
    assert not out.exists()
    assert found.sha256 is None
    assert "in the same order" in found.lines()[0]
