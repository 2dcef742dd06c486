"""The tiny SDXL: true SDXL classes, a few dozen channels wide.

Its pictures are 64 x 64 pixels and its latents 4 x 8 x 8, so f = 8 as in SDXL. The text encoders
keep different widths, as the real ones have, so that mixing them up is an error and not a picture.
They stay random: nine fixed contexts (eight captions and the empty one's zeros) separate well.
"""

import json
from itertools import pairwise

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

SIZE = 64
TIME_IDS = (SIZE, SIZE, 0, 0, SIZE, SIZE)  # original size, crop, target size
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = """
    a an the of on with and one two small big red orange yellow green teal blue purple pink cream
    navy grey black white circle square triangle cross star ring heart moon photo picture sticker
    striped checked plain dotted hatched outline shape shapes background
"""

VAE = dict(
    in_channels=3,
    out_channels=3,
    latent_channels=4,
    block_out_channels=(16, 32, 64, 64),
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    layers_per_block=1,
    norm_num_groups=8,
    sample_size=SIZE,
)
CLIP_L = dict(hidden_size=32, intermediate_size=128, num_attention_heads=2, hidden_act="quick_gelu")
CLIP_G = dict(hidden_size=48, intermediate_size=192, num_attention_heads=3, hidden_act="gelu")
POOLED = 48
UNET = dict(
    sample_size=SIZE // 8,
    in_channels=4,
    out_channels=4,
    block_out_channels=(64, 64, 48),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    layers_per_block=2,
    transformer_layers_per_block=(1, 1, 1),
    attention_head_dim=(4, 4, 3),
    use_linear_projection=True,
    cross_attention_dim=CLIP_L["hidden_size"] + CLIP_G["hidden_size"],
    addition_embed_type="text_time",
    addition_time_embed_dim=16,
    projection_class_embeddings_input_dim=POOLED + len(TIME_IDS) * 16,
    norm_num_groups=8,
)
SCHEDULER = dict(
    num_train_timesteps=1000,
    beta_schedule="scaled_linear",
    beta_start=0.00085,
    beta_end=0.012,
    timestep_spacing="trailing",
)


def build_vae(**changes):
    return AutoencoderKL(**VAE | changes)


def build_unet(**changes):
    return UNet2DConditionModel(**UNET | changes)


def build_text_encoders(tokenizer, seed=0):
    """Random CLIP-L and CLIP-G, already rounded to half precision as the files will hold them.

    CLIP's own initialisation assumes training; these scales make every word's context distinct.
    """
    torch.manual_seed(seed)
    common = dict(
        vocab_size=len(tokenizer),
        max_position_embeddings=77,
        num_hidden_layers=2,
        projection_dim=POOLED,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    encoders = (
        CLIPTextModel(CLIPTextConfig(**common, **CLIP_L)),
        CLIPTextModelWithProjection(CLIPTextConfig(**common, **CLIP_G)),
    )
    for encoder in encoders:
        for name, parameter in encoder.named_parameters():
            if "token_embedding" in name:
                torch.nn.init.normal_(parameter, std=0.7)
            elif "position_embedding" in name:
                torch.nn.init.normal_(parameter, std=0.3)
            elif parameter.ndim == 2:
                torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
            parameter.data = parameter.data.half().float()
    return tuple(encoder.eval().requires_grad_(False) for encoder in encoders)


def build_scheduler(prediction_type, zero_terminal_snr):
    return EulerDiscreteScheduler(
        **SCHEDULER,
        prediction_type=prediction_type,
        rescale_betas_zero_snr=zero_terminal_snr,
    )


def build_pipeline(vae, unet, text_encoders, tokenizers, scheduler):
    return StableDiffusionXLPipeline(
        vae,
        *text_encoders,
        *tokenizers,
        unet,
        scheduler,
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def write_tokenizers(folder):
    """Two vocabularies of 640 tokens in CLIP's form: 512 byte tokens, merges, start and end.

    The second pads with "!" (id 0) and the first with the end token, as SDXL's do.
    """
    byte_tokens = list(byte_alphabet())
    merges = learn_merges(WORDS.split(), count=640 - 2 * len(byte_tokens) - 2)
    tokens = byte_tokens + [t + "</w>" for t in byte_tokens] + ["".join(m) for m in merges]
    tokens += [START, END]
    for name, pad in (("tokenizer", END), ("tokenizer_2", "!")):
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        vocabulary = {token: index for index, token in enumerate(tokens)}
        write_json(place / "vocab.json", vocabulary)
        lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
        (place / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        special = dict(bos_token=START, eos_token=END, unk_token=END, pad_token=pad)
        write_json(place / "special_tokens_map.json", special)
        write_json(
            place / "tokenizer_config.json",
            dict(
                **special,
                tokenizer_class="CLIPTokenizer",
                model_max_length=77,
                do_lower_case=True,
                add_prefix_space=False,
                errors="replace",
            ),
        )
    return tuple(CLIPTokenizer.from_pretrained(folder / n) for n in ("tokenizer", "tokenizer_2"))


def byte_alphabet():
    """CLIP's printable character for each of the 256 bytes, in CLIP's order ("!" is first)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def learn_merges(words, count):
    """Byte-pair encoding (Sennrich et al. 2016): merge the commonest neighbours, `count` times."""
    spelt = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges = []
    while len(merges) < count:
        pairs = {}
        for word in spelt:
            for pair in pairwise(word):
                pairs[pair] = pairs.get(pair, 0) + 1
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        spelt = [merged(word, best) for word in spelt]
    return merges


def merged(word, pair):
    out = []
    for token in word:
        if out and (out[-1], token) == pair:
            out[-1] += token
        else:
            out.append(token)
    return out


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
