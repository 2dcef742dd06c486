"""The parts of a pipeline that a single-file checkpoint lacks: component configs, and tokenizers.

`StableDiffusionXLPipeline.from_single_file(path, config=FOLDER, local_files_only=True, tokenizer=...,
tokenizer_2=...)` takes the weights from the checkpoint and how each component is built from FOLDER. The
configs of each family and CLIP's vocabulary come with this package; a folder that the user names is taken
instead. What diffusers and transformers let pass in silence (a tokenizer without a vocabulary, prompts never
cut, tensors never loaded) is an error here.
"""

import hashlib
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object
from gridsearch.checkpoint.families import INDEX, family_of_components, family_of_folder
from gridsearch.checkpoint.family import Family, TextEncoder
from gridsearch.checkpoint.ldm.vocabulary import (
    CLIP_TOKENS,
    FIX,
    KNOWN_PROMPT,
    Vocabulary,
    clip_vocabulary,
    is_clip,
    read_vocabulary,
    vocabulary_files,
)
from gridsearch.checkpoint.sdxl.family import SDXL

_read_config = partial(read_json_object, most_bytes=1_000_000, what="config")  # real ones have a few kB
OPTIONAL_TOKENIZER_FILES = (
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
)
TOKENIZER_SETTINGS = ("bos_token", "eos_token", "unk_token", "pad_token", "model_max_length")


def config_files(family: Family) -> dict[str, str]:
    """Return the file of each component's config, by the component's folder."""
    encoders = family.text_encoders
    return {
        "scheduler": "scheduler_config.json",
        **{one.component: "config.json" for one in encoders},
        **{one.tokenizer: "tokenizer_config.json" for one in encoders},
        "unet": "config.json",
        "vae": "config.json",
    }


def _needed_files(family: Family) -> tuple[str, ...]:
    return (INDEX, *(f"{name}/{file}" for name, file in config_files(family).items()))


def _encoder_of(folder: Path) -> dict[str, TextEncoder]:
    """Return the text encoder of each tokenizer of a config folder."""
    return {one.tokenizer: one for one in family_of_folder(folder).text_encoders}


def config_folder(named: Path | None = None, family: Family = SDXL) -> Path:
    """Return the folder for `config=` of `from_single_file`: the one that the user names, or the family's.

    It is laid out as a diffusers model; weights and vocabularies are not needed in it. A BadInput unless it
    holds every component's config, each of them sound.
    """
    if named is None:
        return family.configs
    if not named.is_dir():
        what = "The config folder does not exist." if not named.exists() else "The config is not a folder."
        own = f"leave [render] config out for {family.title}'s own"
        fix = f"Name a folder laid out as a diffusers model, or {own}."
        raise BadInput(what, where=named, fix=fix)
    if missing := [file for file in _needed_files(family) if not (named / file).is_file()]:
        why = "a checkpoint file does not say how its components are built, nor how a prompt is read"
        fix = "Copy the file from the model the checkpoint was made from, or leave [render] config out."
        raise BadInput(f"The config folder lacks {', '.join(missing)}.", where=named, why=why, fix=fix)
    index = _read_config(named / "model_index.json")
    if unnamed := [n for n in config_files(family) if not isinstance(index.get(n), list) or None in index[n]]:
        what = f"The model_index.json does not name the {', '.join(unnamed)}."
        why = f"an {family.title} pipeline needs every one of these"
        fix = f"Take the model_index.json of an {family.title} model, or leave [render] config out."
        raise BadInput(what, where=named / "model_index.json", why=why, fix=fix)
    for name, file in config_files(family).items():
        _read_config(named / name / file)
    for name, encoder in ((one.tokenizer, one.component) for one in family.text_encoders):
        config = named / name / "tokenizer_config.json"
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
    names = [*_needed_files(family_of_folder(folder))]
    names += [f"{name}/{file}" for name in _encoder_of(folder) for file in OPTIONAL_TOKENIZER_FILES]
    files = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    for name, added in _added_vocabularies(folder, vocabulary).items():
        files |= {f"{name}/{file}": content for file, content in vocabulary_files(added).items()}
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()


# -- before loading: the folder


def _check_fits(folder: Path, name: str, vocabulary: Vocabulary) -> None:
    """Raise BadInput unless a vocabulary may be the one that the text encoder was trained with."""
    encoder = _encoder_of(folder)[name].component
    rows = _number(folder, encoder, "vocab_size")
    if len(vocabulary.tokens) > rows:
        why = f"it has {len(vocabulary.tokens):,} tokens, the {encoder} has rows for {rows:,}"
        fix = 'Name the one that the model was trained with: [render] vocabulary = "...".'
    elif rows == CLIP_TOKENS and not is_clip(vocabulary):
        why = f"the {encoder} is of the size of CLIP's, and this vocabulary is not CLIP's"
        fix = FIX
    else:
        return
    raise BadInput(f"The vocabulary is not that of the {name}.", where=vocabulary.source, why=why, fix=fix)


def check_clip_skip(folder: Path, clip_skip: int) -> None:
    """Raise BadInput unless the text encoders have as many layers as are to be counted from the last."""
    family = family_of_folder(folder)
    for name in (one.component for one in family.text_encoders):
        layers = _number(folder, name, "num_hidden_layers")
        if clip_skip > layers + 1:  # the first of the hidden states is before all layers
            what = f"There is no hidden state for clip_skip = {clip_skip}."
            usual = f"{family.title} was trained with {family.usual['clip_skip']}"
            fix = f"Set it to 1 to {layers + 1}; {usual}."
            raise BadInput(what, where="render.clip_skip", why=f"the {name} has {layers} layers", fix=fix)


def _added_vocabularies(folder: Path, vocabulary: Path | None) -> dict[str, Vocabulary]:
    """Return the vocabulary for each tokenizer whose folder holds none.

    A BadInput if one is damaged, is not its text encoder's, or differs from the one that the user names.
    """
    names = _encoder_of(folder)
    own = {name: read_vocabulary(folder / name) for name in names if _has_vocabulary(folder / name)}
    lacking = [name for name in names if name not in own]
    added = read_vocabulary(vocabulary) if vocabulary else clip_vocabulary()
    for name in names:
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
    value = _read_config(folder / name / "config.json").get(key)
    if type(value) is not int or value < 1:
        what = f"The {name}'s config has no {key}."
        fix = "Copy the config from the model the checkpoint was made from."
        raise BadInput(what, where=folder / name / "config.json", why=f"it is {value}", fix=fix)
    return value


# -- after loading: the tokenizers and the pipeline


def load_tokenizers(folder: Path, vocabulary: Path | None = None) -> dict[str, Any]:
    """Load the tokenizers of a config folder, to be passed on to `from_single_file` by these names.

    Where the pad is an ordinary "!", as in SDXL's second tokenizer, transformers takes every "!" in a
    prompt for padding too. The original code does not (https://github.com/huggingface/diffusers/issues/4153),
    nor do the web UIs that people compare with; nor do these tokenizers.

    `vocabulary` is for tokenizers whose folders hold none; None for CLIP's. A BadInput if one does not read
    prompts as its text encoder was trained to have them read.
    """
    added = _added_vocabularies(folder, vocabulary)
    encoders = _encoder_of(folder)
    tokenizers = {name: _load_tokenizer(folder / name, added.get(name)) for name in encoders}
    for name, tokenizer in tokenizers.items():
        rows = _number(folder, encoders[name].component, "vocab_size")
        places = _number(folder, encoders[name].component, "max_position_embeddings")
        check_tokenizer(encoders[name], tokenizer, rows, places)
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


def check_tokenizer(encoder: TextEncoder, tokenizer: Any, rows: int, places: int) -> None:
    """Raise BadInput unless a tokenizer suits its text encoder, of `rows` tokens and `places` positions."""
    markers = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token}
    text, ids = KNOWN_PROMPT
    if len(tokenizer) <= len(markers):
        why, fix = "its vocabulary is empty: vocab.json with merges.txt, or tokenizer.json, is missing", FIX
    elif len(tokenizer) > rows:
        why = f"its vocabulary has {len(tokenizer):,} tokens, the {encoder.component} has rows for {rows:,}"
        fix = "Use the vocabulary that the checkpoint was trained with."
    elif tokenizer.model_max_length > places:
        why = f"it cuts a prompt to {tokenizer.model_max_length:.0f} tokens, the encoder reads {places}"
        fix = f'Set "model_max_length": {places} in its tokenizer_config.json.'
    elif rows == CLIP_TOKENS and tokenizer(text).input_ids[1:-1] != list(ids):
        why, fix = f'it reads "{text}" as other tokens than CLIP does: the vocabulary is not CLIP\'s', FIX
    elif rows == CLIP_TOKENS and tokenizer.pad_token != encoder.pad:
        why = f"it fills a short prompt up with {tokenizer.pad_token}, and was trained with {encoder.pad}"
        fix = f'Set "pad_token": "{encoder.pad}" in its tokenizer_config.json and special_tokens_map.json.'
    else:
        return
    raise BadInput(f"The {encoder.tokenizer} cannot be used.", where=tokenizer.name_or_path, why=why, fix=fix)


def check_loaded(pipe: Any) -> None:
    """Raise BadInput unless all components of a pipeline, not yet offloaded, are whole and fit together."""
    from torch import nn  # seconds of imports, which a check of files alone is spared

    family = family_of_components(pipe.components)
    modules = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    for name, module in modules.items():
        tensors = dict(chain(module.named_parameters(), module.named_buffers()))
        if absent := [key for key, tensor in tensors.items() if tensor.is_meta]:
            use = "`gridsearch inspect` says what a file holds of the"
            raise BadInput(
                f"{len(absent)} of {len(tensors)} tensors of the {name} were not loaded.",
                where=", ".join(absent[:3]) + (", ..." if len(absent) > 3 else ""),
                why="the checkpoint file does not hold them",
                fix=f"Use a complete {family.title} checkpoint; {use} {name}.",
            )
    for one in family.text_encoders:
        tokenizer, encoder = pipe.components[one.tokenizer], pipe.components[one.component]
        check_tokenizer(one, tokenizer, encoder.config.vocab_size, encoder.config.max_position_embeddings)
        if one.projected:
            _check_end(one, tokenizer, encoder)


def _check_end(one: TextEncoder, tokenizer: Any, encoder: Any) -> None:
    """Raise BadInput unless a text encoder that pools a prompt finds its end."""
    # It pools from the end of a prompt. For an `eos_token_id` of 2 transformers keeps an
    # older rule and takes the highest id instead; any other is looked for, and where it does not occur the
    # start token is taken: one output for all prompts.
    end, config_end = tokenizer.eos_token_id, encoder.config.eos_token_id
    looked_for = len(tokenizer) - 1 if config_end == 2 else config_end
    if end != looked_for:
        what = f"The {one.component} does not find the end of a prompt."
        why = (
            f"with {config_end} it looks for token {looked_for}; the {one.tokenizer} ends a prompt with {end}"
        )
        fix = f'Set "eos_token_id": {end}.'
        raise BadInput(what, where=f"eos_token_id in {one.component}/config.json", why=why, fix=fix)
