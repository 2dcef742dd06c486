"""The parts of a pipeline that a single-file checkpoint lacks: component configs, and both tokenizers.

`StableDiffusionXLPipeline.from_single_file(path, config=FOLDER, local_files_only=True, tokenizer=...,
tokenizer_2=...)` takes the weights from the checkpoint and how each component is built from FOLDER. SDXL's
configs and CLIP's vocabulary come with this package; a folder that the user names is taken instead. What
diffusers and transformers let pass in silence (a tokenizer without a vocabulary, prompts never cut, tensors
never loaded) is an error here.
"""

import hashlib
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object
from gridsearch.checkpoint.sdxl.vocabulary import (
    CLIP_TOKENS,
    END,
    FIX,
    KNOWN_PROMPT,
    Vocabulary,
    clip_vocabulary,
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
NEEDED_FILES = ("model_index.json", *(f"{name}/{file}" for name, file in CONFIG_FILES.items()))
_read_config = partial(read_json_object, most_bytes=1_000_000, what="config")  # real ones have a few kB
ENCODER_OF = {"tokenizer": "text_encoder", "tokenizer_2": "text_encoder_2"}
OPTIONAL_TOKENIZER_FILES = (
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
)
TOKENIZER_SETTINGS = ("bos_token", "eos_token", "unk_token", "pad_token", "model_max_length")

# The token with which each tokenizer of SDXL pads a short prompt; the second encoder was trained with id 0.
# https://github.com/Stability-AI/generative-models, sgm/modules/encoders/modules.py
CLIP_PADS = {"tokenizer": END, "tokenizer_2": "!"}


def config_folder(named: Path | None = None) -> Path:
    """Return the folder for `config=` of `from_single_file`: the one that the user names, or SDXL's.

    It is laid out as a diffusers model; weights and vocabularies are not needed in it. A BadInput unless it
    holds every component's config, each of them sound.
    """
    if named is None:
        return SDXL_CONFIGS
    if not named.is_dir():
        what = "The config folder does not exist." if not named.exists() else "The config is not a folder."
        fix = "Name a folder laid out as a diffusers model, or leave [render] config out for SDXL's own."
        raise BadInput(what, where=named, fix=fix)
    if missing := [file for file in NEEDED_FILES if not (named / file).is_file()]:
        why = "a checkpoint file does not say how its components are built, nor how a prompt is read"
        fix = "Copy the file from the model the checkpoint was made from, or leave [render] config out."
        raise BadInput(f"The config folder lacks {', '.join(missing)}.", where=named, why=why, fix=fix)
    index = _read_config(named / "model_index.json")
    if unnamed := [n for n in CONFIG_FILES if not isinstance(index.get(n), list) or None in index[n]]:
        what = f"The model_index.json does not name the {', '.join(unnamed)}."
        why = "an SDXL pipeline needs every one of these"
        fix = "Take the model_index.json of an SDXL model, or leave [render] config out."
        raise BadInput(what, where=named / "model_index.json", why=why, fix=fix)
    for name, file in CONFIG_FILES.items():
        _read_config(named / name / file)
    for name, encoder in ENCODER_OF.items():
        config = named / name / CONFIG_FILES[name]
        length = _read_config(config).get("model_max_length")
        places = _number(named, encoder, "max_position_embeddings")
        if not isinstance(length, int) or not 2 < length <= places:
            what = f"The {name} does not cut a prompt to what its text encoder can read."
            why = f"model_max_length is {length}, the {encoder} reads {places} tokens"
            raise BadInput(what, where=config, why=why, fix=f'Set "model_max_length": {places}.')
    return named


def components_digest(folder: Path, vocabulary: Path | None = None) -> str:
    """Return the SHA-256 of the configs and vocabularies: with others, other images are drawn.

    The errors are those of `load_tokenizers`, as far as files alone tell.
    """
    optional = [f"{name}/{file}" for name in ENCODER_OF for file in OPTIONAL_TOKENIZER_FILES]
    files = {
        name: (folder / name).read_bytes() for name in (*NEEDED_FILES, *optional) if (folder / name).is_file()
    }
    for name, added in _added_vocabularies(folder, vocabulary).items():
        files |= {f"{name}/{file}": content for file, content in vocabulary_files(added).items()}
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()


# -- before loading: the folder


def _check_fits(folder: Path, name: str, vocabulary: Vocabulary) -> None:
    """Raise BadInput unless a vocabulary may be the one that the text encoder was trained with."""
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
            what = f"There is no hidden state for clip_skip = {clip_skip}."
            fix = f"Set it to 1 to {layers + 1}; SDXL was trained with 2."
            raise BadInput(what, where="render.clip_skip", why=f"the {name} has {layers} layers", fix=fix)


def _added_vocabularies(folder: Path, vocabulary: Path | None) -> dict[str, Vocabulary]:
    """Return the vocabulary for each tokenizer whose folder holds none.

    A BadInput if one is damaged, is not its text encoder's, or differs from the one that the user names.
    """
    own = {name: read_vocabulary(folder / name) for name in ENCODER_OF if _has_vocabulary(folder / name)}
    lacking = [name for name in ENCODER_OF if name not in own]
    added = read_vocabulary(vocabulary) if vocabulary else clip_vocabulary()
    for name in ENCODER_OF:
        used = own.get(name, added)
        _check_fits(folder, name, used)
        if (vocabulary or lacking) and (used.tokens, used.merges) != (added.tokens, added.merges):
            what = f"The {name} has two vocabularies."
            fix = "Leave [render] vocabulary out, or take the vocabulary out of the config folder."
            raise BadInput(what, where=f"{used.source} and {added.source}", why="they differ", fix=fix)
    return dict.fromkeys(lacking, added)


def _has_vocabulary(folder: Path) -> bool:
    pair = [(folder / name).is_file() for name in ("vocab.json", "merges.txt")]
    if (folder / "tokenizer.json").is_file() or all(pair):
        return True
    if any(pair):
        why = "vocab.json and merges.txt: each is needed with the other"
        fix = "Copy the other one from the same place, or remove this one to have CLIP's."
        raise BadInput("The vocabulary is incomplete.", where=folder, why=why, fix=fix)
    return False


def _number(folder: Path, name: str, key: str) -> int:
    value = _read_config(folder / name / CONFIG_FILES[name]).get(key)
    if type(value) is not int or value < 1:
        what = f"The {name}'s config has no {key}."
        fix = "Copy the config from the model the checkpoint was made from."
        raise BadInput(what, where=folder / name / CONFIG_FILES[name], why=f"it is {value}", fix=fix)
    return value


# -- after loading: the tokenizers and the pipeline


def load_tokenizers(folder: Path, vocabulary: Path | None = None) -> dict[str, Any]:
    """Load both tokenizers of a config folder, to be passed on to `from_single_file` by these names.

    Where the pad is an ordinary "!", as in SDXL's second tokenizer, transformers takes every "!" in a
    prompt for padding too. The original code does not (https://github.com/huggingface/diffusers/issues/4153),
    nor do the web UIs that people compare with; nor do these tokenizers.

    `vocabulary` is for tokenizers whose folders hold none; None for CLIP's. A BadInput if one does not read
    prompts as its text encoder was trained to have them read.
    """
    added = _added_vocabularies(folder, vocabulary)
    tokenizers = {name: _load_tokenizer(folder / name, added.get(name)) for name in ENCODER_OF}
    for name, tokenizer in tokenizers.items():
        rows = _number(folder, ENCODER_OF[name], "vocab_size")
        places = _number(folder, ENCODER_OF[name], "max_position_embeddings")
        check_tokenizer(name, tokenizer, rows, places)
    return tokenizers


def _load_tokenizer(folder: Path, vocabulary: Vocabulary | None) -> Any:
    """Load the tokenizer of a folder, with the given vocabulary where the folder holds none."""
    from transformers import CLIPTokenizer  # a second of imports, which a check of files alone is spared

    load = partial(CLIPTokenizer.from_pretrained, folder, local_files_only=True)
    if vocabulary:
        told: dict[str, Any] = {}
        for file in ("special_tokens_map.json", "tokenizer_config.json"):
            told |= _read_config(folder / file) if (folder / file).is_file() else {}
        own = {name: told[name] for name in TOKENIZER_SETTINGS if name in told}
        # A token may be written as a text or as a table.
        own = {name: value["content"] if isinstance(value, dict) else value for name, value in own.items()}
        merges = [tuple(merge.split(" ")) for merge in vocabulary.merges]
        load = partial(CLIPTokenizer, vocabulary.tokens, merges, name_or_path=str(folder), **own)
    tokenizer = load()
    if tokenizer.pad_token == "!":
        # A token is "added", and so cut out of the text before all else, for being the pad at loading.
        tokenizer = load(pad_token=tokenizer.eos_token, added_tokens_decoder={})
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
    """Raise BadInput unless all components of a pipeline, not yet offloaded, are whole and fit together."""
    from torch import nn  # seconds of imports, which a check of files alone is spared

    modules = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    for name, module in modules.items():
        tensors = dict(chain(module.named_parameters(), module.named_buffers()))
        if absent := [key for key, tensor in tensors.items() if tensor.is_meta]:
            use = "Use a complete SDXL checkpoint; `gridsearch inspect` says what a file holds of the"
            raise BadInput(
                f"{len(absent)} of {len(tensors)} tensors of the {name} were not loaded.",
                where=", ".join(absent[:3]) + (", ..." if len(absent) > 3 else ""),
                why="the checkpoint file does not hold them",
                fix=f"{use} {name}.",
            )
    for name, encoder in ENCODER_OF.items():
        config = pipe.components[encoder].config
        check_tokenizer(name, pipe.components[name], config.vocab_size, config.max_position_embeddings)
    # The second encoder pools from the end of a prompt. For an `eos_token_id` of 2 transformers keeps an
    # older rule and takes the highest id instead; any other is looked for, and where it does not occur the
    # start token is taken: one output for all prompts.
    end, config_end = pipe.tokenizer_2.eos_token_id, pipe.text_encoder_2.config.eos_token_id
    looked_for = len(pipe.tokenizer_2) - 1 if config_end == 2 else config_end
    if end != looked_for:
        what = "The text_encoder_2 does not find the end of a prompt."
        why = f"with {config_end} it looks for token {looked_for}; the tokenizer_2 ends a prompt by {end}"
        fix = f'Set "eos_token_id": {end}.'
        raise BadInput(what, where="eos_token_id in text_encoder_2/config.json", why=why, fix=fix)
