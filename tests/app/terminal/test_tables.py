"""Tables at any width: nothing is cut, and nothing is folded in the middle of a word."""

import pytest

from gridsearch.app import terminal
from gridsearch.app.terminal.tables import show_rows

FACTS = [("layout", "single file"), ("architecture", "SDXL"), ("prediction type", "epsilon (x)")]
FACTS += [("size", "6.94 GB, 2,515 tensors"), ("dtypes", "F16 x 2,515"), ("A1111 hash", "cced45522e")]


@pytest.mark.parametrize("columns", [30, 50, 80])
def test_a_row_is_whole_at_any_width(monkeypatch, capsys, columns):
    monkeypatch.setattr(terminal.out, "_width", columns)
    long = "ponytail_of_the_north-v31.safetensors"
    show_rows(
        "models", ("name", "file", "predicts"), [("a", long, "v_prediction"), ("b[red]\x1b[2J", "c", "")]
    )
    said = capsys.readouterr().out
    assert long in said
    assert "v_prediction" in said
    assert "b[red]" in said
    assert "\x1b" not in said
    assert ("─" in said) == (columns == 80)


def test_files_stand_side_by_side(monkeypatch, capsys):
    monkeypatch.setattr(terminal.out, "_width", 80)
    terminal.show_side_by_side([("models/evo.safetensors", FACTS), ("D:\\models\\v.safetensors", FACTS)])
    first, second = capsys.readouterr().out.split("\n")[3:5]
    assert first.split() == ["evo.safetensors", "SDXL", "epsilon", "F16", "6.94", "GB", "cced45522e"]
    assert second.split()[0] == "v.safetensors"
