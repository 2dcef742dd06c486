"""Emphasis as AUTOMATIC1111's web UI documents it, and what a prompt may not hold."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsearch.base.errors import BadInput
from gridsearch.render.prompt.emphasis import Lora, WeightedText, loras_in, parse, require_plain_prompt

# The examples in the web UI's documentation and in its parser's docstring.
DOCUMENTED = {
    "normal text": [("normal text", 1)],
    "an (important) word": [("an ", 1), ("important", 1.1), (" word", 1)],
    "(unbalanced": [("unbalanced", 1.1)],
    r"\(literal\]": [("(literal]", 1)],
    "(unnecessary)(parens)": [("unnecessaryparens", 1.1)],
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": [
        ("a ", 1),
        ("house", 1.5730000000000004),
        (" ", 1.1),
        ("on", 1),
        (" a ", 1.1),
        ("hill", 0.55),
        (", sun, ", 1.1),
        ("sky", 1.4641000000000006),
        (".", 1.1),
    ],
    "a ((word))": [("a ", 1), ("word", 1.1 * 1.1)],
    "a [word]": [("a ", 1), ("word", 1 / 1.1)],
    "a (word:0.25)": [("a ", 1), ("word", 0.25)],
    r"a \(word\)": [("a (word)", 1)],
    r"anime_\(character\)": [("anime_(character)", 1)],
}
UNDOCUMENTED = {
    "[unbalanced (twice": [("unbalanced ", 1 / 1.1), ("twice", 1.1 * (1 / 1.1))],
    "a) b]": [("a) b]", 1)],
    "a:1.2) b": [("a:1.2) b", 1)],
    "(a [b) c]": [("a ", 1.1), ("b", 1.1 * (1 / 1.1)), (" c", 1 / 1.1)],
    "(a : 1.2 )": [("a ", 1.2)],
    "(a:-1)(b:.5)(c:1.)(d:+2)": [("a", -1), ("b", 0.5), ("c", 1), ("d", 2)],
    "(a:b)": [("a:b", 1.1)],
    "(a:1.2.3)": [("a:1.2.3", 1.1)],
    "[a:1.2)": [("a:1.2)", 1 / 1.1)],
    r"a \\ b \( \[ \] \) c\d": [(r"a \ b ( [ ] ) cd", 1)],
    r"(a:1.2\)": [("a:1.2)", 1.1)],
    "()[]": [],
    "": [],
}


@pytest.mark.parametrize(("text", "pieces"), (DOCUMENTED | UNDOCUMENTED).items())
def test_a_prompt_is_read_as_the_web_ui_reads_it(text, pieces):
    assert parse(text) == (tuple(WeightedText(*piece) for piece in pieces),)


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("a BREAK b", [["a"], ["b"]]),
        ("a\n  BREAK\n b, BREAK", [["a"], ["b,"], []]),
        ("BREAK BREAK a", [[], [], ["a"]]),
        ("a,BREAK,b", [["a,"], [",b"]]),
        ("BREAKFAST, my_BREAK, break", [["BREAKFAST, my_BREAK, break"]]),
    ],
)
def test_break_as_a_word_of_its_own_parts_sections(text, sections):
    assert [[piece.text for piece in section] for section in parse(text)] == sections


def test_emphasis_reaches_over_a_break():
    assert parse("(a BREAK b) c") == (
        (WeightedText("a", 1.1),),
        (WeightedText("b", 1.1), WeightedText(" c", 1.0)),
    )


@given(st.text(alphabet="()[]:\\ab1.-+ \nBREAK|,é", max_size=40) | st.text())
def test_any_text_can_be_parsed(text):
    sections = parse(text)
    assert all(piece.text for section in sections for piece in section)
    assert len(sections) == 1 + len(re.findall(r"\bBREAK\b", text))


@given(st.text(st.characters(exclude_characters="()[]\\"), min_size=1).filter(lambda t: "BREAK" not in t))
def test_a_text_without_brackets_is_one_piece(text):
    assert parse(text) == ((WeightedText(text, 1.0),),)


@given(st.text(min_size=1).filter(lambda text: "BREAK" not in text))
def test_an_escaped_text_is_read_as_it_was(text):
    assert parse(re.sub(r"([()\[\]\\])", r"\\\1", text)) == ((WeightedText(text, 1.0),),)


def test_deep_nesting_is_no_recursion():
    ((piece,),) = parse("[" * 2_000 + "a" + "]" * 2_000)
    assert piece == WeightedText("a", pytest.approx(1.1**-2_000))


# -- what a prompt may not hold


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<hypernet:style:1>", "<hypernet:style:1>"),
        ("<other:thing>", "<other:thing>"),
        # the examples in the docstring of the web UI's scheduler
        ("a [b:3]", "[b:3]"),
        ("a [b: 3]", "[b: 3]"),
        ("a [[[b]]:2]", "[[[b]]:2]"),
        ("[(a:2):3]", "[(a:2):3]"),
        ("a [b : c : 1] d", "[b : c : 1]"),
        ("a[b:[c:d:2]:1]e", "[c:d:2]"),
        ("a [b:.5] c", "[b:.5]"),
        ("((a][:b:c [d:3]", "[d:3]"),
        ("[a|(b:1.1)]", "[a|(b:1.1)]"),
        ("[fe|]male", "[fe|]"),
        ("a [from::10]", "[from::10]"),
        ("a [from:to:0.5]", "[from:to:0.5]"),
        ("a cat AND a dog", "AND"),
        ("a cat :1.2", ":1.2"),
        ("a cat # and no dog", "# and no dog"),
        ("(a BREAK b:1.2)", "BREAK"),
        ("(unbalanced, BREAK b", "BREAK"),
        (f"(a:{'9' * 400})", "finite"),
    ],
)
def test_what_would_mean_something_else_is_refused(text, found):
    with pytest.raises(BadInput) as error:
        require_plain_prompt(text, where="prompt p1")
    what, where, why, fix = error.value.lines
    assert found in what
    assert where == "  where: prompt p1"
    assert why.startswith("  why: ")
    assert fix.startswith("  fix: ")


@pytest.mark.parametrize(
    ("strengths", "te", "unet"),
    [
        ("", 1, 1),
        (":0.8", 0.8, 0.8),
        (": .8 ", 0.8, 0.8),
        (":0.2:0.5", 0.2, 0.5),
        (":0.2:0.5:64", 0.2, 0.5),
        (":te=0.2:unet=0.5", 0.2, 0.5),
        (":0.2:unet=-1", 0.2, -1),
        (":te=0.5", 0.5, 0.5),
        (":strong", 1, 1),
        (":nan", 1, 1),
    ],
)
def test_the_strengths_of_a_lora_are_read_as_the_web_ui_reads_them(strengths, te, unet):
    tag = f"<lora:style v2{strengths}>"
    assert loras_in(f"a {tag}, <hypernet:x:1> b") == [Lora(tag, "style v2", te, unet)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1girl, (smile:1.2), [hat], looking at viewer",
        "a [unbalanced",
        r"\[from:to:0.5\], \[a|b\]",
        "[a:b], [a:b:c], [a:1:b:2], [a:b:c:4]",  # no number at the end, or more than two colons
        "a | b, (c|d), score: 9, 16:9, wide",
        "[a (b] c:3]",  # the round bracket is never closed
        "SAND, ANDROID, and, x < y: z",
        "((a)) BREAK (b)",
        "(a BREAK b:1)",
        ">:3, <3, ;)",
    ],
)
def test_literal_brackets_and_colons_pass(text):
    require_plain_prompt(text)


def test_a_negative_prompt_is_neither_composed_nor_weighted():
    require_plain_prompt("text AND signature :1.2", negative=True)
    with pytest.raises(BadInput, match="hypernetwork"):
        require_plain_prompt("<hypernet:bad:1>", negative=True)


@given(st.text(alphabet="()[]:|\\ab1.# \nANDBREAK<>", max_size=40) | st.text())
def test_any_text_passes_or_is_refused_in_words(text):
    with contextlib.suppress(BadInput):
        require_plain_prompt(text)


@pytest.mark.parametrize("tag", ["<embed:easynegative>", "<embedding:bad/hands.pt>"])
def test_a_textual_inversion_is_called_so(tag):
    with pytest.raises(BadInput, match="textual inversion") as error:
        require_plain_prompt(f"a cat, {tag}")
    assert tag in error.value.lines[0]
    assert "not loaded" in error.value.lines[-1]
