"""Keys and blocks have their names where the families are; no other part of the program writes one down."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gridsearch
from gridsearch.checkpoint.families import KNOWN_FAMILIES
from gridsearch.checkpoint.ldm.keys import component_of, is_text, is_vae
from gridsearch.checkpoint.ldm.shapes import file_shapes
from gridsearch.checkpoint.sdxl.family import SDXL

ROOT = Path(gridsearch.__file__).parent
HOME = ROOT / "checkpoint"
OWN = (HOME / "family.py", HOME / "ldm", *(family.folder for family in KNOWN_FAMILIES.values()))

# Prefixes of keys, and parts of them; blocks; components in selectors, in adapters and as sd-mecha has them.
NAMES = re.compile(
    r"diffusion_model\.|first_stage_model|conditioner\b|embedders|(input|output)_blocks|middle_block"
    r"|time_embed\b|label_emb|resblocks|text_model|attn[12]\b|position_ids|logit_scale"
    r"|\b(IN|OUT)\d\d\b|\bM00\b|\bBASE\b"
    r"|\bte[12]\b|lora_(unet|te)|lora_(up|down)\.|clip_[lg]\b|sdxl-|stable-diffusion-xl"
    r"|\bztsnr\b|\bedm_"
)


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The lines and values of a module's strings, docstrings left out."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def named(source: str) -> list[tuple[int, str]]:
    return [(line, text) for line, text in texts(ast.parse(source)) if NAMES.search(text)]


@pytest.mark.parametrize(
    "room", sorted(path.name for path in ROOT.iterdir() if (path / "__init__.py").exists())
)
def test_no_other_folder_names_a_key(room):
    files = [file for file in (ROOT / room).rglob("*.py") if not any(map(file.is_relative_to, OWN))]
    found = {str(file.relative_to(ROOT)): named(file.read_text("utf-8")) for file in files}
    assert not {file: names for file, names in found.items() if names}


def test_a_key_would_be_found():
    source = (
        '"""IN04."""\ndef f():\n    """te1"""\n    return f"{x}input_blocks.{i}"\nfine = "text_encoders"\n'
    )
    assert named(source) == [(4, "input_blocks.")]
    assert named((HOME / "sdxl" / "family.py").read_text("utf-8"))


def test_every_key_of_sdxl_belongs_to_one_component():
    undrawn = [key for one in SDXL.text_encoders for key in one.undrawn]
    keys = [*file_shapes(SDXL.configs), *undrawn]
    assert {component_of(key, SDXL) for key in keys} == set(SDXL.components)
    for key in keys:
        assert (is_text(key), is_vae(key)) == (
            component_of(key, SDXL) in ("te1", "te2"),
            component_of(key, SDXL) == "vae",
        )
    assert component_of("ema.decay", SDXL) is None
