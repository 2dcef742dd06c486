"""Published recipes, merged on small models of the same names: sd-mecha or a plain loop is the oracle.

The recipes are https://github.com/6DammK9/nai-anime-pure-negative-prompt's. Those from before version 0.1.0
are brought to that version here, where flags that changed their meaning are written the other way round.
"""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gridsearch.checkpoint.family import UNET, VAE
from gridsearch.checkpoint.sdxl.family import CLIP_G, CLIP_L
from gridsearch.experiment.mecha.read import read_mecha
from tests.helpers.mecha import KEYS, furthest, our_weights, theirs

PUBLISHED = Path(__file__).parents[4] / "shared" / "mecha"
RECIPES = ("amp", "x101a", "x11a", "x3a", "x43", "x6a", "x72a")
QUICK = ("x6a",)
COUNTS = {"amp": 2, "x101a": 102, "x11a": 12, "x3a": 4, "x43": 48, "x6a": 7, "x72a": 73}
PATH = re.compile(r'^model "((?:[^"\\]|\\.)*)"', re.MULTILINE)


@pytest.fixture
def published(tmp_path, request):
    """A published recipe, and beside it a small model for each that it names."""
    found = [*PUBLISHED.glob(f"{request.param}-*.mecha")]
    if not found:
        pytest.skip("the published recipes are not here")
    text = found[0].read_text("utf-8")
    generator = torch.Generator().manual_seed(1)
    base = {key: torch.randn(24, 36, generator=generator) for key in KEYS}
    for path in dict.fromkeys(PATH.findall(text)):
        place = tmp_path / path.replace("\\\\", "/")
        place.parent.mkdir(exist_ok=True)
        own = {key: 0.1 * torch.randn(24, 36, generator=generator) for key in KEYS}
        save_file({key: (base[key] + own[key]).half() for key in KEYS}, place)
    (tmp_path / "x.mecha").write_text(text, "utf-8")
    return text, tmp_path


def iso_c(a, z_cof, apply_exp, apply_high_dim):
    """Marczak et al. 2025, algorithm 1: the singular values are replaced by their mean."""
    left, values, right = torch.linalg.svd(a.double(), full_matrices=False)
    return (values.mean() * left @ right).to(a)


def at_version_0_1_0(text, folder):
    """The recipe as sd-mecha 1.1.8 reads it, on the models in a folder."""
    sd_mecha = pytest.importorskip("sd_mecha")
    from sd_mecha.extensions import merge_methods

    if "isotropic_overrided" not in {one.identifier for one in merge_methods.get_all()}:
        delta, whole, yes = sd_mecha.Parameter(torch.Tensor, "delta"), sd_mecha.Parameter(float), bool
        iso_c.__annotations__ = {
            "a": delta, "z_cof": whole, "apply_exp": sd_mecha.Parameter(yes),
            "apply_high_dim": sd_mecha.Parameter(yes), "return": sd_mecha.Return(torch.Tensor, "delta"),
        }  # fmt: skip
        sd_mecha.merge_method(iso_c, identifier="isotropic_overrided")
    if not text.startswith("version"):
        text = f"version 0.1.0\n{text}".replace(
            '"sdxl" "base"', 'model_config="sdxl-sgm" merge_space="weight"'
        )
        text = text.replace("vote_sgn=1.0", "vote_sgn=false apply_stock=true")
        text = re.sub(r'("ties_sum" .*)', r"\1 vote_sgn=true", text)
    return PATH.sub(lambda path: f'model "{folder / path[1].replace(2 * chr(92), "/")}"', text).rstrip("\n")


@pytest.mark.parametrize(
    "published",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.night)
        for name in RECIPES
        if name != "x43"
    ],
    indirect=True,
)
def test_a_published_recipe_merges_to_sd_mechas_weights(published):
    text, folder = published
    recipe = read_mecha(folder / "x.mecha")
    assert recipe.components.vae != "merged"
    ours = our_weights(recipe)
    merged = theirs(at_version_0_1_0(text, folder))
    if not text.startswith("version"):  # when the VAE was copied
        ours = {key: tensor for key, tensor in ours.items() if not key.startswith(VAE)}
    assert furthest(merged, ours, exact=False) <= 1


@pytest.mark.parametrize("published", RECIPES, indirect=True)
def test_every_model_of_a_published_recipe_is_found(published, request):
    notes = []
    recipe = read_mecha(published[1] / "x.mecha", notes.append)
    assert len(recipe.models) == COUNTS[request.node.callspec.params["published"]]
    assert all(model.path.is_file() for model in recipe.models.values())
    assert any("is not published" in note for note in notes) == ("isotropic" in published[0])


@pytest.mark.parametrize("published", ["x43"], indirect=True)
def test_a_chain_of_sums_by_component_is_a_plain_loop(published):
    text, folder = published
    recipe = read_mecha(folder / "x.mecha")
    ours = our_weights(recipe)
    prefixes = {"sdxl_unet": UNET, "l14_txt": CLIP_L, "g14_txt": CLIP_G}
    files = {model.path: load_file(model.path) for model in recipe.models.values()}
    for key in (key for key in KEYS if not key.startswith(VAE)):
        values = []
        for line in text.splitlines():
            if path := PATH.match(line):
                values.append(files[folder / path[1]][key].double())
            elif line.startswith("dict"):
                name = next(name for name, prefix in prefixes.items() if key.startswith(prefix))
                values.append(float(re.search(rf"{name}_class_default=(\S+)", line)[1]))
            else:
                a, b, alpha = re.fullmatch(r'call "weighted_sum" &(\d+) &(\d+) alpha=(\S+)', line).groups()
                ratio = values[int(alpha[1:])] if alpha[0] == "&" else float(alpha)
                values.append((1 - ratio) * values[int(a)] + ratio * values[int(b)])
        assert furthest({key: values[-1]}, {key: ours[key]}) <= 1
    base = files[folder / "raw/_x25-sd_xl_base_1.0.safetensors"]
    assert torch.equal(ours[f"{VAE}decoder.conv_in.weight"], base[f"{VAE}decoder.conv_in.weight"])
