"""The folder of component configs that a single-file checkpoint needs beside it to become a pipeline.

`StableDiffusionXLPipeline.from_single_file(path, config=FOLDER, local_files_only=True)` takes the weights
from the checkpoint and everything else from FOLDER: how each component is built, and the tokenizers. SDXL's
configs come with this package, CLIP's vocabulary is found on the machine (`vocabulary.py`), and the two are
joined in a cache folder, so no hub is needed. What diffusers and transformers let pass in silence (a
tokenizer without a vocabulary, prompts never cut, tensors never loaded) is an error here.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from torch import nn

from gridsearch.base.errors import BadInput
from gridsearch.base.files import cache_folder
from gridsearch.checkpoint.sdxl.vocabulary import (
    CLIP_TOKENS,
    END,
    FIX,
    KNOWN_PROMPT,
    Vocabulary,
    find_vocabulary,
    is_clip,
    read_vocabulary,
    vocabulary_files,
)

SDXL_CONFIGS = Path(__file__).parent / "configs"
CONFIG_FILES = {
    "scheduler": "scheduler_config.json",
    "text_encoder": "config.json",
    "text_encoder_2": "config.json",
    "tokenizer": "tokenizer_config.json",
    "tokenizer_2": "tokenizer_config.json",
    "unet": "config.json",
    "vae": "config.json",
}
MAX_CONFIG = 1_000_000  # bytes; real ones have a few kB
ENCODER_OF = {"tokenizer": "text_encoder", "tokenizer_2": "text_encoder_2"}
OPTIONAL_TOKENIZER_FILES = (
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
)

# What each tokenizer of SDXL fills a short prompt up with: the second encoder was trained with id 0 there.
# https://github.com/Stability-AI/generative-models, sgm/modules/encoders/modules.py
CLIP_PADS = {"tokenizer": END, "tokenizer_2": "!"}


def component_folder(
    config: Path | None = None, vocabulary: Path | None = None, cache: Path | None = None
) -> Path:
    """A folder to give as `config=` to `from_single_file`.

    Args:
        config: a folder laid out as a diffusers model (weights are not needed); None for SDXL's own.
            Complete, it is returned as it is; tokenizers in it that have no vocabulary get one.
        vocabulary: where the vocabulary is (`read_vocabulary`); None to look for CLIP's.
        cache: where joined folders are kept, one per content; None for `default_cache()`.

    Raises:
        BadInput: something is missing, damaged, or does not fit together; nothing was written.
    """
    folder = SDXL_CONFIGS if config is None else config
    check_configs(folder)
    lacking = [name for name in ENCODER_OF if not _has_vocabulary(folder / name)]
    named = find_vocabulary(vocabulary) if lacking or vocabulary is not None else None
    for name in ENCODER_OF:
        own = named if name in lacking else read_vocabulary(folder / name)
        _check_fits(folder, name, own)
        if named is not None and (own.tokens, own.merges) != (named.tokens, named.merges):
            raise BadInput(
                f"The {name} has two vocabularies.",
                where=f"{own.source} and {named.source}",
                why="they differ",
                fix="Leave [render] vocabulary out, or take the vocabulary out of the config folder.",
            )
    if not lacking:
        return folder
    joined = vocabulary_files(named)
    files = _config_files(folder) | {f"{name}/{file}": joined[file] for name in lacking for file in joined}
    return _written_once(cache or default_cache(), files)


def folder_digest(folder: Path) -> str:
    """The SHA-256 of a component folder's configs and vocabularies: another folder draws other images."""
    return _digest(_config_files(folder))


def default_cache() -> Path:
    """Where joined folders are kept."""
    return cache_folder() / "components"


# -- before loading: the folder


def check_configs(folder: Path) -> None:
    """Raise BadInput unless `folder` holds every component's config, each of them sound."""
    if not folder.is_dir():
        raise BadInput(
            "The config folder does not exist." if not folder.exists() else "The config is not a folder.",
            where=folder,
            fix="Name a folder laid out as a diffusers model, or leave [render] config out for SDXL's own.",
        )
    needed = ["model_index.json", *(f"{name}/{file}" for name, file in CONFIG_FILES.items())]
    missing = [file for file in needed if not (folder / file).is_file()]
    if missing:
        raise BadInput(
            f"The config folder lacks {', '.join(missing)}.",
            where=folder,
            why="a checkpoint file does not say how its components are built, nor how a prompt is read",
            fix="Copy the file from the model the checkpoint was made from, or leave [render] config out.",
        )
    index = _read_object(folder / "model_index.json")
    unnamed = [name for name in CONFIG_FILES if not isinstance(index.get(name), list) or None in index[name]]
    if unnamed:
        raise BadInput(
            f"The model_index.json does not name the {', '.join(unnamed)}.",
            where=folder / "model_index.json",
            why="an SDXL pipeline needs every one of these",
            fix="Take the model_index.json of an SDXL model, or leave [render] config out.",
        )
    for name in CONFIG_FILES:
        _read_object(folder / name / CONFIG_FILES[name])
    for name in ENCODER_OF:
        _check_length(folder, name)


def _check_length(folder: Path, name: str) -> None:
    """A tokenizer says how many tokens a prompt has, and the text encoder has places for as many."""
    file = folder / name / CONFIG_FILES[name]
    length = _read_object(file).get("model_max_length")
    places = _number(folder, ENCODER_OF[name], "max_position_embeddings")
    if not isinstance(length, int) or not 2 < length <= places:
        raise BadInput(
            f"The {name} does not cut a prompt to what its text encoder can read.",
            where=file,
            why=f"model_max_length is {length}, the {ENCODER_OF[name]} reads {places} tokens",
            fix=f'Set "model_max_length": {places}.',
        )


def _check_fits(folder: Path, name: str, vocabulary: Vocabulary) -> None:
    """A tokenizer's vocabulary is the one that its text encoder was trained with, as far as can be told."""
    rows = _number(folder, ENCODER_OF[name], "vocab_size")
    if len(vocabulary.tokens) > rows:
        why = f"it has {len(vocabulary.tokens):,} tokens, the {ENCODER_OF[name]} has rows for {rows:,}"
        fix = 'Name the one that the model was trained with: [render] vocabulary = "...".'
    elif rows == CLIP_TOKENS and not is_clip(vocabulary):
        why = f"the {ENCODER_OF[name]} is of the size of CLIP's, and this vocabulary is not CLIP's"
        fix = FIX
    else:
        return
    raise BadInput(f"The vocabulary is not that of the {name}.", where=vocabulary.source, why=why, fix=fix)


def check_clip_skip(folder: Path, clip_skip: int) -> None:
    """Raise BadInput unless both text encoders have as many layers as are to be counted from the last."""
    for name in ENCODER_OF.values():
        layers = _number(folder, name, "num_hidden_layers")
        if clip_skip > layers + 1:  # the first of the hidden states is before all layers
            raise BadInput(
                f"There is no hidden state for clip_skip = {clip_skip}.",
                where="render.clip_skip",
                why=f"the {name} has {layers} layers",
                fix=f"Set it to 1 to {layers + 1}; SDXL was trained with 2.",
            )


def _has_vocabulary(folder: Path) -> bool:
    pair = [(folder / name).is_file() for name in ("vocab.json", "merges.txt")]
    if (folder / "tokenizer.json").is_file() or all(pair):
        return True
    if any(pair):
        raise BadInput(
            "Half a vocabulary is there.",
            where=folder,
            why="vocab.json and merges.txt are of no use without each other",
            fix="Copy the other one from the same place, or remove this one to have CLIP's joined.",
        )
    return False


def _number(folder: Path, name: str, key: str) -> int:
    value = _read_object(folder / name / CONFIG_FILES[name]).get(key)
    if type(value) is not int or value < 1:
        raise BadInput(
            f"The {name}'s config has no {key}.",
            where=folder / name / CONFIG_FILES[name],
            why=f"it is {value}",
            fix="Copy the config from the model the checkpoint was made from.",
        )
    return value


def _read_object(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_CONFIG + 1)
        if len(raw) > MAX_CONFIG:
            raise ValueError(f"it has more than {MAX_CONFIG:,} bytes")
        content = json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(
            "This config cannot be read.", where=file, why=str(error), fix="Copy it again."
        ) from error
    if not isinstance(content, dict):
        raise BadInput("This config is not a JSON object.", where=file, fix="Copy it again.")
    return content


# -- the joined folder


def _config_files(folder: Path) -> dict[str, bytes]:
    """The folder's configs and vocabularies, without any weights: relative path -> content."""
    names = ["model_index.json", *(f"{name}/{file}" for name, file in CONFIG_FILES.items())]
    names += [f"{name}/{file}" for name in ENCODER_OF for file in OPTIONAL_TOKENIZER_FILES]
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def _written_once(cache: Path, files: Mapping[str, bytes]) -> Path:
    """The folder in `cache` that holds exactly these files, written beside its place and renamed.

    Its name is the content's hash, so two processes at once write the same and either may win.
    """
    place = cache / _digest(files)[:16]
    if _holds(place, files):
        return place
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".writing-") as temporary:
            beside = Path(temporary) / place.name
            for name, content in files.items():
                (beside / name).parent.mkdir(parents=True, exist_ok=True)
                (beside / name).write_bytes(content)
            if place.exists() and not _holds(place, files):  # damaged since
                shutil.rmtree(place)
            _rename_unless_there(beside, place)
    except OSError as error:
        raise BadInput(
            "The cache folder cannot be written.",
            where=cache,
            why=str(error),
            fix="Set XDG_CACHE_HOME to a folder that can be written.",
        ) from error
    return place


def _rename_unless_there(beside: Path, place: Path) -> None:
    try:
        beside.rename(place)
    except OSError:
        if not place.is_dir():  # it is, where another process was first
            raise


def _holds(place: Path, files: Mapping[str, bytes]) -> bool:
    return all((place / name).is_file() and (place / name).read_bytes() == files[name] for name in files)


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()


# -- after loading: the tokenizers and the pipeline


def load_tokenizers(folder: Path) -> dict[str, Any]:
    """Both tokenizers of a component folder, to be passed on to `from_single_file` by these names.

    Where the pad is an ordinary "!", as in SDXL's second tokenizer, transformers takes every "!" in a
    prompt for padding too. The original code does not (https://github.com/huggingface/diffusers/issues/4153),
    nor do the web UIs that people compare with; nor do these tokenizers.

    Raises:
        BadInput: a tokenizer does not read prompts as its text encoder was trained to have them read.
    """
    tokenizers = {name: _load_tokenizer(folder / name) for name in ENCODER_OF}
    for name, tokenizer in tokenizers.items():
        rows = _number(folder, ENCODER_OF[name], "vocab_size")
        places = _number(folder, ENCODER_OF[name], "max_position_embeddings")
        check_tokenizer(name, tokenizer, rows, places)
    return tokenizers


def _load_tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer  # seconds of imports, which a check of files alone is spared

    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token == "!":
        # A token is "added", and so cut out of the text before all else, for being the pad at loading.
        tokenizer = CLIPTokenizer.from_pretrained(
            folder, local_files_only=True, pad_token=tokenizer.eos_token, added_tokens_decoder={}
        )
        tokenizer.pad_token = "!"
    return tokenizer


def check_tokenizer(name: str, tokenizer: Any, rows: int, places: int) -> None:
    """Raise BadInput unless the tokenizer suits a text encoder of `rows` tokens and `places` positions."""
    markers = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token}
    text, ids = KNOWN_PROMPT
    if len(tokenizer) <= len(markers):
        why, fix = "its vocabulary is empty: vocab.json with merges.txt, or tokenizer.json, is missing", FIX
    elif len(tokenizer) > rows:
        why = f"its vocabulary has {len(tokenizer):,} tokens, the {ENCODER_OF[name]} has rows for {rows:,}"
        fix = "Use the vocabulary that the checkpoint was trained with."
    elif tokenizer.model_max_length > places:
        why = f"it cuts a prompt to {tokenizer.model_max_length:.0f} tokens, the encoder reads {places}"
        fix = f'Set "model_max_length": {places} in its tokenizer_config.json.'
    elif rows == CLIP_TOKENS and tokenizer(text).input_ids[1:-1] != list(ids):
        why, fix = f'it reads "{text}" as other tokens than CLIP does: the vocabulary is not CLIP\'s', FIX
    elif rows == CLIP_TOKENS and tokenizer.pad_token != CLIP_PADS[name]:
        why = f"it fills a short prompt up with {tokenizer.pad_token}, SDXL with {CLIP_PADS[name]}"
        fix = (
            f'Set "pad_token": "{CLIP_PADS[name]}" in its tokenizer_config.json and special_tokens_map.json.'
        )
    else:
        return
    raise BadInput(f"The {name} cannot be used.", where=tokenizer.name_or_path, why=why, fix=fix)


def check_loaded(pipe: Any) -> None:
    """Raise BadInput unless every component of a loaded SDXL pipeline is whole and they fit together.

    Args:
        pipe: a `StableDiffusionXLPipeline`, not yet offloaded (offloading, too, uses the meta device).
    """
    for name, module in pipe.components.items():
        if isinstance(module, nn.Module):
            _check_whole(name, module)
    for name, encoder in ENCODER_OF.items():
        config = pipe.components[encoder].config
        check_tokenizer(name, pipe.components[name], config.vocab_size, config.max_position_embeddings)
    _check_pooling(pipe.tokenizer_2, pipe.text_encoder_2.config.eos_token_id)


def _check_whole(name: str, module: nn.Module) -> None:
    tensors = dict(chain(module.named_parameters(), module.named_buffers()))
    absent = [key for key, tensor in tensors.items() if tensor.is_meta]
    if absent:
        raise BadInput(
            f"{len(absent)} of {len(tensors)} tensors of the {name} were not loaded.",
            where=", ".join(absent[:3]) + (", ..." if len(absent) > 3 else ""),
            why="the checkpoint file does not hold them",
            fix=f"Use a complete SDXL checkpoint; `gridsearch inspect` says what a file holds of the {name}.",
        )


def _check_pooling(tokenizer_2: Any, config_end: int) -> None:
    """The second encoder's pooled output is that of the end token, which its config must know.

    For an `eos_token_id` of 2 transformers keeps an older rule and takes the highest id instead; any other
    is looked for, and where it does not occur the start token is taken: one output for all prompts.
    """
    end = tokenizer_2.eos_token_id
    looked_for = len(tokenizer_2) - 1 if config_end == 2 else config_end
    if end != looked_for:
        raise BadInput(
            "The text_encoder_2 does not find the end of a prompt.",
            where="eos_token_id in text_encoder_2/config.json",
            why=f"with {config_end} it looks for token {looked_for}; the tokenizer_2 ends a prompt by {end}",
            fix=f'Set "eos_token_id": {end}.',
        )
