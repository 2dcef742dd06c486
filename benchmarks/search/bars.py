"""Prints what saved claims miss, the tables of two pages, and how well chances are calibrated.

The pages are docs/answers-measured.md, of all ratios, and docs/search-measured.md, of `window`.

`python -m benchmarks.search --worlds --studies 150 --save claims.csv`, then
`python -m benchmarks.search.bars claims.csv`. Several files count as one, so that worlds may be run apart.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from gridsearch.results.analysis.optimum import MARGIN

BEFORE = Path(__file__).with_name("before.csv")  # both pages say of what
SHARES = ("taken", "good", "covered", "found", "told", "renders", "kept", "edges", "fewer", "flat", "window")
COVERED, CALIBRATED, STOPPED, STUDIES = 93.0, 0.1, 3.0, 150
ENOUGH = 30  # studies in a bin, for one world to be judged by it
HEADS = {
    "grid": "| world | loss above the least | taken within 0.02 | as good | interval holds | its width "
    "| survival holds | chance said, right | studies |",
    "window": "| world | renders, mean (most) | windows found | named | taken within 0.02 | interval holds "
    "| survival holds | chance said, right | studies |",
}


def summary(claims: pd.DataFrame) -> pd.DataFrame:
    """A row per world and search: means, shares in %."""
    claims = claims.assign(good=claims["regret"].le(MARGIN).where(claims["regret"].notna()).astype(float))
    groups = claims.groupby(["world", "how"], sort=False)
    found = groups.mean(numeric_only=True)
    found[list(SHARES)] *= 100
    found["most"], found["studies"] = 100 * groups["renders"].max(), groups.size()
    stops = groups[["false_stops", "false_of", "lost", "lost_of"]].sum()
    found["of"] = stops["false_of"]
    found["stopped"] = 100 * stops["false_stops"] / stops["false_of"].where(stops["false_of"] > 0)
    found["lost"] = 100 * stops["lost"] / stops["lost_of"].where(stops["lost_of"] > 0)
    return found.reset_index()


def misses(found: pd.DataFrame) -> Iterator[str]:
    """The bars that are missed, a line each, the worst of each kind first."""
    off = (found["said"] - found["right"]).abs()
    kinds = {
        "the interval holds the best in {covered:.1f}%": COVERED - found["covered"],
        "the edges' intervals hold in {edges:.1f}%": COVERED - found["edges"],
        "the interval of survival holds in {kept:.1f}%": COVERED - found["kept"],
        "the greatest chance is said to be {said:.2f} and is {right:.2f}": off - CALIBRATED,
        "fewer sound images than a tied one in {fewer:.1f}%": found["fewer"],
        "of {of:.0f} as good as the best, {stopped:.1f}% are stopped": found["stopped"] - STOPPED,
        "only {studies:.0f} studies": STUDIES - found["studies"],
    }
    for words, excess in kinds.items():
        for at in excess[excess > 1e-9].sort_values(ascending=False).index:
            row = found.loc[at].to_dict()
            yield f"- {row['world']}, {row['how']}: {words.format(**row)}"


def markdown(found: pd.DataFrame, how: str) -> Iterator[str]:
    """The table of one search, before and after: the worlds that BEFORE names."""
    before = pd.read_csv(BEFORE).set_index(["world", "how"])
    yield HEADS[how]
    yield "|" + "---|" * (HEADS[how].count("|") - 1)
    for row in found[found["how"] == how].to_dict("records"):
        key = (row["world"], how)
        if key not in before.index:
            continue
        old = before.loc[key].to_dict()
        said = "" if np.isnan(row["said"]) else f"{row['said']:.2f}, {row['right']:.2f}"
        cells = {
            "loss": _pair(old["regret"], row["regret"], ".3f"),
            "renders": f"{_pair(old['renders'], row['renders'])}% ({row['most']:.0f})",
            **{name: _pair(old[name], row[name], unit="%") for name in ("found", "told", "taken", "covered")},
            "width": _pair(old["width"], row["width"], ".3f"),
            "good": _pair(None, row["good"], unit="%"),
            "kept": _pair(None, row["kept"], unit="%"),
        }
        columns = ("loss", "taken", "good", "covered", "width", "kept")
        if how == "window":
            columns = ("renders", "found", "told", "taken", "covered", "kept")
        shown = [old["words"], *(cells[name] for name in columns), said]
        yield f"| {' | '.join(shown)} | {row['studies']:.0f} |"


def _pair(old: float | None, new: float, form: str = ".0f", unit: str = "") -> str:
    if np.isnan(new):
        return ""
    return f"{new:{form}}{unit}" if old is None or np.isnan(old) else f"{old:{form}} → {new:{form}}{unit}"


def binned(claims: pd.DataFrame) -> pd.DataFrame:
    """The studies that give a chance, with the tenth in which it lies as `bin`."""
    known = claims.dropna(subset="said")
    return known.assign(bin=np.minimum((known["said"] * 10).astype(int), 9))


def reliability(claims: pd.DataFrame) -> pd.DataFrame:
    """Return how often chances are right, by the tenth in which they lie, over all worlds together."""
    groups = binned(claims).groupby("bin")
    return groups[["said", "right"]].mean().assign(studies=groups.size())


def unreliable(claims: pd.DataFrame) -> Iterator[str]:
    """The tenths in which chances are off by more than the bar over all worlds, a line each."""
    found = reliability(claims)
    off = (found["said"] - found["right"]).abs()
    for number, row in found[(off > CALIBRATED) & (found["studies"] >= ENOUGH)].iterrows():
        what = f"chances of {number / 10:.1f} to {number / 10 + 0.1:.1f}"
        yield f"- all worlds, {what}: {row['said']:.2f} are said and {row['right']:.2f} right"


def calibration(claims: pd.DataFrame) -> Iterator[str]:
    """Chances in bins over all studies, and the world whose bin is most off."""
    yield "| chance said | studies | mean said | right |"
    yield "|---|---|---|---|"
    for number, row in reliability(claims).iterrows():
        tenth = f"{number / 10:.1f} to {number / 10 + 0.1:.1f}"
        yield f"| {tenth} | {row['studies']:.0f} | {row['said']:.2f} | {row['right']:.2f} |"
    groups = binned(claims).groupby(["world", "how", "bin"])[["said", "right"]]
    bins = groups.mean()[groups.size() >= ENOUGH]
    off = (bins["said"] - bins["right"]).abs().sort_values(ascending=False)
    yield f"\nmost off among bins of a world with {ENOUGH} studies or more:"
    for (world, how, _), value in off.head(5).items():
        yield f"- {world}, {how}: {value:.2f}"


def main() -> None:
    claims = pd.concat([pd.read_csv(path) for path in sys.argv[1:]], ignore_index=True)
    found = summary(claims)
    print("Missed:", *misses(found), *unreliable(claims), sep="\n")
    for how in HEADS:
        print(f"\n## {how}\n", *markdown(found, how), sep="\n")
    races = found.dropna(subset="stopped").sort_values("stopped", ascending=False)
    print("\n## Stopped of those as good as the best so far, most first\n")
    for row in races.head(8).to_dict("records"):
        here = f"of those as good on the cases at hand, {row['lost']:.1f}%"
        print(f"- {row['world']}, {row['how']}: {row['stopped']:.1f}% of {row['of']:.0f}; {here}")
    print("\n## Chances\n", *calibration(claims), sep="\n")


if __name__ == "__main__":
    main()
