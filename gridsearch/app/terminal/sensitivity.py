"""The map of sensitivities on the terminal: a row and a bar for each ratio, and what is worth searching."""

from typing import Any

from gridsearch.app.terminal.tables import show_rows
from gridsearch.app.terminal.text import say

BAR = 12  # letters of the longest bar


def show_sensitivity(found: Any) -> None:
    """Print what each ratio does, and a step that searches those that matter."""
    most = max(abs(one.off) for one in found.ratios) or 1.0
    longest = max(one.change for one in found.ratios) or 1.0
    rows = []
    for one in found.ratios:
        bar = "#" * round(BAR * abs(one.off) / most)
        changes = [f"{one.off:+.3f}", bar, f"{one.spread:+.3f}", f"{one.change / longest:.0%}"]
        drawn = [] if one.drawn is None else [f"{one.drawn:+.3f}"]
        rows.append([one.name, *changes, *drawn])
    title = f"What each ratio does, where all are at {found.share:.0%} of their ranges"
    columns = ["ratio", "off", "", "spread", "weights", "drawn"]
    show_rows(title, columns[: len(rows[0])], rows)
    say(f"The merge there: {found.off:.2f} off (1 fails), pictures {found.spread:.2f} times as strong.")
    say("off: over the whole range of the ratio; below 0, more of it is better")
    say("spread: below 0, more of it makes pictures paler; above 0, stronger")
    if (agrees := found.borne_out()) is not None:
        say(f"drawn: as spread, of pictures; the two correlate by {agrees:.2f}")
    names = ", ".join(found.worth_searching())
    say(f"Worth searching: {names}. Together they make at least 80% of the difference.")
    say(f"Leave the others at {found.share:.0%} of their ranges.")
