"""Prompts condition as in AUTOMATIC1111's web UI, and plain ones bit for bit as in diffusers."""

import itertools
from dataclasses import replace

import pytest
import torch
from compel import Compel, ReturnedEmbeddingsType, SplitLongTextMode

from gridsearch.checkpoint.ldm.components import load_tokenizers
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.render.prompt.encode import (
    Chunk,
    Conditioning,
    chunks_of,
    encode,
    stacked,
    weighted,
    zeros_like,
)
from tests.helpers.tiny_components import random_components, write_configs

START, END, COMMA, STAR = 49406, 49407, 267, 1565
ENCODERS = ("text_encoder", "text_encoder_2")


@pytest.fixture(scope="module")
def pipe(plain):
    return plain


@pytest.fixture(scope="module")
def clip():
    """SDXL's own tokenizers."""
    return load_tokenizers(SDXL.configs)


def bodies(chunks: tuple[Chunk, ...]) -> list[list[int]]:
    """The ids of each chunk between its start and its first end."""
    assert all(chunk.ids[0] == START for chunk in chunks)
    assert all(len(chunk.ids) == len(chunk.weights) == 77 for chunk in chunks)
    return [list(chunk.ids[1 : chunk.ids.index(END)]) for chunk in chunks]


# -- chunks, with CLIP's own vocabulary


def test_a_real_prompt_has_the_ids_that_clip_gives_it(clip):
    text = "a photo of a (cat:1.3), [dog]!"
    tokens = [320, 1125, 539, 320, 2368, COMMA, 1929, 256]
    weights = (1.0, 1, 1, 1, 1, 1.3, 1, 1 / 1.1, 1) + (1.0,) * 68
    (first,), (second,) = (chunks_of(text, clip[name]) for name in ("tokenizer", "tokenizer_2"))
    assert first.ids == (START, *tokens, *[END] * 68)
    assert second.ids == (START, *tokens, END, *[0] * 67)
    assert first.weights == second.weights == weights


@pytest.mark.parametrize("text", ["", "a photo of a cat", "star " * 75, "Wow!! 1girl,\n don't &amp; é 猫"])
@pytest.mark.parametrize("name", ["tokenizer", "tokenizer_2"])
def test_a_plain_chunk_is_what_diffusers_feeds(clip, name, text):
    (chunk,) = chunks_of(text, clip[name])
    tokenizer = clip[name]
    assert list(chunk.ids) == tokenizer(text, padding="max_length", truncation=True, max_length=77).input_ids
    assert set(chunk.weights) == {1.0}


def test_each_piece_is_tokenised_by_itself(clip):
    assert bodies(chunks_of("(sun)flower", clip["tokenizer"])) == [[2176, 4055]]
    assert bodies(chunks_of("sunflower", clip["tokenizer"])) == [[21559]]


def test_a_chunk_is_full_before_the_next_begins(clip):
    assert bodies(chunks_of("star " * 76, clip["tokenizer"])) == [[STAR] * 75, [STAR]]
    assert bodies(chunks_of("star " * 150, clip["tokenizer_2"])) == [[STAR] * 75, [STAR] * 75]


@pytest.mark.parametrize(
    ("before", "lengths"),
    [
        (74, [75, 35]),  # the comma is the last that fits
        (60, [61, 49]),
        (55, [56, 54]),  # 20 back, counting the comma
        (54, [75, 35]),  # 21 back
        (75, [75, 35]),  # the comma is the first that does not fit
    ],
)
def test_a_chunk_that_overflows_ends_after_a_comma_that_is_near(clip, before, lengths):
    text = "star " * before + ", " + "star " * (109 - before)
    chunks = bodies(chunks_of(text, clip["tokenizer"]))
    assert [len(chunk) for chunk in chunks] == lengths
    assert [*itertools.chain(*chunks)] == [STAR] * before + [COMMA] + [STAR] * (109 - before)


def test_what_moves_to_the_next_chunk_takes_its_weight_along(clip):
    text = "star " * 69 + ", (" + "star " * 6 + ":1.5)"
    first, second = chunks_of(text, clip["tokenizer"])
    assert [first.ids.index(END), second.ids.index(END)] == [71, 7]
    assert first.weights == (1.0,) * 77
    assert second.weights == (1.0, *[1.5] * 6, *[1.0] * 70)


def test_of_several_commas_the_last_counts_and_a_full_chunk_is_not_cut(clip):
    text = "star " * 60 + ", star, " + "star " * 12
    assert [len(body) for body in bodies(chunks_of(text, clip["tokenizer"]))] == [75]
    assert [len(body) for body in bodies(chunks_of(text + "star", clip["tokenizer"]))] == [63, 13]


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("a BREAK star, BREAK", [[320], [STAR, COMMA]]),
        ("BREAK star", [[], [STAR]]),
        ("BREAK", [[]]),
        ("star BREAK BREAK star", [[STAR], [], [STAR]]),
        ("star " * 75 + "BREAK star", [[STAR] * 75, [STAR]]),
        ("star " * 80 + "BREAK star", [[STAR] * 75, [STAR] * 5, [STAR]]),
    ],
)
def test_break_fills_a_chunk_up(clip, text, chunks):
    assert bodies(chunks_of(text, clip["tokenizer"])) == chunks
    assert bodies(chunks_of(text, clip["tokenizer_2"])) == chunks


def test_a_chunk_is_as_long_as_the_tokenizer_says(clip, monkeypatch):
    monkeypatch.setattr(clip["tokenizer"], "model_max_length", 12)
    chunks = chunks_of("star " * 11, clip["tokenizer"])
    assert [chunk.ids for chunk in chunks] == [(START, *[STAR] * 10, END), (START, STAR, *[END] * 10)]


# -- plain prompts: diffusers is the oracle


@pytest.mark.parametrize("clip_skip", [1, 2, 3])
@pytest.mark.parametrize("text", ["a circle", "", "a red star, on grey", "star " * 75])
def test_a_plain_prompt_is_encoded_bit_for_bit_as_by_diffusers(pipe, text, clip_skip):
    tokens, _, pooled, _ = pipe.encode_prompt(
        text, do_classifier_free_guidance=False, clip_skip=clip_skip - 2
    )
    encoded = encode(pipe, text, clip_skip)
    assert torch.equal(encoded.tokens, tokens[0])
    assert torch.equal(encoded.pooled, pooled[0])


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_gradients_are_the_callers_business(pipe, mode):
    with mode():
        encoded = encode(pipe, "(a circle:1.2), a star", 2)
    assert torch.equal(encoded.tokens, encode(pipe, "(a circle:1.2), a star", 2).tokens)


def test_half_precision_stays_half(pipe):
    assert weighted(torch.ones(4, 2, dtype=torch.float16), [1, 2, 1, 0]).dtype == torch.float16


# -- emphasis: computed by hand


def test_the_mean_of_a_chunk_stays_what_it_was():
    states = torch.tensor([[1.0, 3], [2, 2]])  # mean 2; weighted 1 3 4 4, mean 3
    assert torch.allclose(weighted(states, [1, 2]), torch.tensor([[2 / 3, 2], [8 / 3, 8 / 3]]))
    assert weighted(states, [1, 1]) is states


def test_a_long_weighted_prompt_is_what_plain_transformers_give(pipe):
    text = f"{'star ' * 50}(({'red ' * 50}:1.5)) [{'ring ' * 60}] {'green ' * 39} (green:-0.5)"
    star, red, ring, green = pipe.tokenizer("star red ring green", add_special_tokens=False).input_ids
    tokens = [star] * 50 + [red] * 50 + [ring] * 60 + [green] * 40
    weights = [1.0] * 50 + [1.5 * 1.1] * 50 + [1 / 1.1] * 60 + [1.0] * 39 + [-0.5]
    for tokenizer in (pipe.tokenizer, pipe.tokenizer_2):
        first, second, third = (chunk.weights for chunk in chunks_of(text, tokenizer))
        assert first == (1, *[1.0] * 50, *[1.5 * 1.1] * 25, 1)
        assert second == (1, *[1.5 * 1.1] * 25, *[1 / 1.1] * 50, 1)
        assert third == (1, *[1 / 1.1] * 10, *[1.0] * 39, -0.5, 1, *[1.0] * 25)

    start, end = 638, 639
    states = []
    for name, padding in zip(ENCODERS, (end, 0), strict=True):
        encoder, chunks = getattr(pipe, name), []
        for at in (0, 75, 150):
            own, factors = tokens[at : at + 75], weights[at : at + 75]
            room = 75 - len(own)
            ids = torch.tensor([[start, *own, end, *[padding] * room]])
            plain = encoder(ids, output_hidden_states=True).hidden_states[-2][0]
            heavy = plain * torch.tensor([1.0, *factors, 1.0, *[1.0] * room])[:, None]
            chunks.append(heavy * (plain.mean() / heavy.mean()))
        states.append(torch.cat(chunks))
    pooled = pipe.text_encoder_2(torch.tensor([[start, *tokens[:75], end]])).text_embeds[0]

    encoded = encode(pipe, text, 2)
    assert encoded.chunks == 3
    torch.testing.assert_close(encoded.tokens, torch.cat(states, dim=-1), rtol=1e-6, atol=1e-6)
    assert torch.equal(encoded.pooled, pooled)


def test_emphasis_leaves_the_pooled_alone_and_every_other_chunk(pipe):
    plain, heavy = (encode(pipe, text, 2) for text in ("a circle BREAK a star", "a circle BREAK (a star)"))
    assert torch.equal(plain.pooled, heavy.pooled)
    assert torch.equal(plain.tokens[:77], heavy.tokens[:77])
    assert not torch.equal(plain.tokens[77:], heavy.tokens[77:])


@pytest.mark.parametrize("count", [75, 100, *(pytest.param(n, marks=pytest.mark.night) for n in (20, 200))])
def test_a_long_prompt_without_commas_is_what_compel_gives(pipe, count):
    words = ("red", "star", "and", "a", "blue", "ring", "on", "grey")
    text = " ".join(words[place % 8] for place in range(count))
    tokens = []
    for tokenizer, encoder in zip((pipe.tokenizer, pipe.tokenizer_2), ENCODERS, strict=True):
        compel = Compel(
            tokenizer,
            getattr(pipe, encoder),
            truncate_long_prompts=False,
            returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
            requires_pooled=encoder == "text_encoder_2",
            split_long_text_mode=SplitLongTextMode.BRUTAL,
        )
        result = compel(text)
        tokens.append(result[0] if isinstance(result, tuple) else result)
    encoded = encode(pipe, text, 2)
    torch.testing.assert_close(encoded.tokens, torch.cat(tokens, dim=-1)[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoded.pooled, result[1][0], rtol=1e-5, atol=1e-5)


# -- batches


def test_texts_of_one_length_need_no_mask(pipe):
    texts = [encode(pipe, text, 2) for text in ("a circle", "(a star)")]
    batch = stacked(texts)
    assert batch.mask is None
    assert torch.equal(batch.tokens, torch.stack([text.tokens for text in texts]))
    assert batch.pooled.shape == (2, 48)


@pytest.mark.parametrize("texts", [("star " * 200, "a circle"), ("a circle", "red " * 100)])
def test_the_shorter_of_prompt_and_negative_prompt_is_filled_up_and_masked(pipe, texts):
    encoded = [encode(pipe, text, 2) for text in texts]
    batch = stacked(encoded)
    longest = max(len(text.tokens) for text in encoded)
    assert batch.tokens.shape == (2, longest, 80)
    assert batch.mask.dtype == torch.bool
    for text, tokens, mask in zip(encoded, batch.tokens, batch.mask, strict=True):
        assert torch.equal(tokens[mask], text.tokens)
        assert not tokens[~mask].any()


def test_zeros_are_one_chunk_long(pipe):
    zeros = zeros_like(encode(pipe, "star " * 100, 2))
    assert (zeros.tokens.shape, zeros.pooled.shape, zeros.chunks) == ((77, 80), (48,), 1)
    assert not zeros.tokens.any()
    assert not zeros.pooled.any()


@pytest.fixture(scope="module")
def unets(pipe, tmp_path_factory):
    """The toy's, and a random one, whose attention is spread over all tokens."""
    folder = write_configs(tmp_path_factory.mktemp("tiny"))
    unet = random_components(folder, torch.float32)["unet"]
    for name, parameter in unet.named_parameters():
        if "attn2.to_v" in name or "attn2.to_out" in name:
            parameter.mul_(20)  # enough to be seen in what comes out
    return {"toy": pipe.unet, "random": unet}


@pytest.mark.parametrize("name", ["toy", "random"])
def test_the_unet_does_not_see_what_a_short_text_was_filled_up_with(pipe, unets, name):
    latent = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))

    @torch.inference_mode()
    def noise(batch: Conditioning) -> torch.Tensor:
        count = len(batch.tokens)
        sizes = torch.tensor([[64.0, 64, 0, 0, 64, 64]] * count)
        return unets[name](
            latent.repeat(count, 1, 1, 1),
            500,
            batch.tokens,
            added_cond_kwargs={"text_embeds": batch.pooled, "time_ids": sizes},
            encoder_attention_mask=batch.mask,
        ).sample

    texts = [encode(pipe, text, 2) for text in ("a (red:1.4) circle", "star " * 100)]
    batch = stacked(texts)
    together = noise(batch)
    for text, predicted in zip(texts, together, strict=True):
        torch.testing.assert_close(predicted, noise(stacked([text]))[0], rtol=0, atol=1e-5)
    if name == "random":
        unmasked = noise(replace(batch, mask=None))
        assert (unmasked[0] - together[0]).abs().max() > 1e-3
        assert (unmasked[1] - together[1]).abs().max() < 1e-5
