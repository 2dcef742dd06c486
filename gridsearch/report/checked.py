"""The tables with what the checks found beside the search's own rows."""

import pandas as pd

from gridsearch.report.results import Results


def with_held_out(results: Results) -> pd.DataFrame:
    """The trials with their figures on held-out prompts; those are empty where nothing was checked."""
    rows = results.checks_of("held_out")
    found = rows.assign(ok=rows["verdict"] == "ok").groupby("trial")
    columns = {
        "held_out_survived": found["ok"].mean(),
        "held_out_defect": found["defect"].mean(),
        "held_out_images": found["ok"].count(),
    }
    if results.trials.empty:
        return results.trials.assign(**dict.fromkeys(columns))
    return results.trials.assign(**{name: results.trials["trial"].map(of) for name, of in columns.items()})


def with_roles(results: Results) -> pd.DataFrame:
    """All images, those of the checks below, with the column role: search, held_out or repeat."""
    images = results.images.assign(role="search")
    table = pd.concat([images, results.checks], ignore_index=True) if len(results.checks) else images
    names = [name for name in table if name != "role"]
    return table[[names[0], "role", *names[1:]]]
