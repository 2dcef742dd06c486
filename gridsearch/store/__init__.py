"""study.db: the Optuna study of a results folder, the one source of truth of a run.

A *study* is one experiment's search; a *trial* is one set of parameters in it, with the rows of its images.
Tables, sheet and report are made from it and can be made again at any time.
"""

import optuna

from gridsearch.store.facts import Facts, load_facts, objectives_of, remaining, save_facts
from gridsearch.store.folder import FILE, has_study, in_place, require_study
from gridsearch.store.holding import Held, locked
from gridsearch.store.study import (
    CHECKS,
    DONE,
    JUDGEMENT,
    STUDY,
    Stored,
    checks_of,
    judgements_in,
    open_study,
    read_study,
    stored,
    write_study,
)
from gridsearch.store.trials import (
    ENDED,
    REASON,
    SUMMARY,
    UNFINISHED,
    WEIGHTS,
    WHOLE,
    copied,
    images_of,
    record_rung,
    rungs,
    rungs_of,
    seconds_of,
    with_images,
)
from gridsearch.store.values import json_safe, tidy

__all__ = [
    "CHECKS",
    "DONE",
    "ENDED",
    "FILE",
    "JUDGEMENT",
    "REASON",
    "STUDY",
    "SUMMARY",
    "UNFINISHED",
    "WEIGHTS",
    "WHOLE",
    "Facts",
    "Held",
    "Stored",
    "checks_of",
    "copied",
    "has_study",
    "images_of",
    "in_place",
    "json_safe",
    "judgements_in",
    "load_facts",
    "locked",
    "objectives_of",
    "open_study",
    "read_study",
    "record_rung",
    "remaining",
    "require_study",
    "rungs",
    "rungs_of",
    "save_facts",
    "seconds_of",
    "stored",
    "tidy",
    "with_images",
    "write_study",
]

optuna.logging.set_verbosity(optuna.logging.WARNING)
