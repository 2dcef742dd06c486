"""A trial's line on a terminal of 80 columns, and in a file."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from gridsearch.app.terminal import listeners

VERDICTS = ["ok"] * 9 + ["burnt"] * 11 + ["ghost"] * 8 + ["blank"] * 4


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"ratio": 0.35}, "ratio 0.35"),
        ({"ratio": 0.35, "render.cfg": 4.5, "render.prediction_type": "v_prediction"}, "ratio 0.35, cfg 4.5"),
        ({f"merged.ratio.IN0{i}": 0.123456 for i in range(9)}, "9 values"),
    ],
)
def test_a_trial_is_one_line_of_a_terminal_and_all_of_it_in_a_file(monkeypatch, parameters, said):
    images = [{"verdict": verdict, "stopped": "at step 3"} for verdict in VERDICTS]
    outcome = SimpleNamespace(images=images, seconds={"render": 1234.5}, survived=9 / 32, defect=12.34)
    told = SimpleNamespace(
        number=123, parameters=parameters, outcome=outcome, stopped="it cannot win against trial 7"
    )
    lines = {}
    for terminal in (True, False):
        file = io.StringIO()
        console = Console(file=file, width=80, force_terminal=terminal, color_system=None, highlight=False)
        monkeypatch.setattr(listeners, "out", console)
        monkeypatch.setattr(listeners, "moves", lambda terminal=terminal: terminal)
        listeners.TrialLines().trial(told)
        lines[terminal] = file.getvalue()
    assert lines[True].count("\n") == lines[False].count("\n") == 1
    assert len(lines[True].rstrip("\n")) <= 80
    assert said in lines[True]
    assert "9/32 ok  defect 12.34  1234.5 s" in lines[True]
    assert lines[False].endswith(
        "blank 4  burnt 11  ghost 8  (32 stopped early)  stopped: it cannot win against trial 7\n"
    )
    assert all(f"{name.rpartition('.')[2]} {value}" in lines[False] for name, value in parameters.items())
