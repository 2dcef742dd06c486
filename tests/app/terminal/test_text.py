"""What comes from outside and is shown."""

import pytest

from gridsearch.app.terminal.text import escape, say


@pytest.mark.parametrize("letter", ["\x1b", "\r", "\x9b", "\u202e", "\u2066", "\udcff"])
def test_a_letter_that_commands_the_terminal_or_cannot_be_written_is_replaced(letter):
    assert escape(f"a{letter}b") == "a\N{REPLACEMENT CHARACTER}b"
    escape(letter).encode()


def test_a_tag_is_no_emoji(capsys):
    say("<lora:fire:0.8>")
    assert capsys.readouterr().out == "<lora:fire:0.8>\n"
