"""The Optuna study of a results folder: the one source of truth of a run.

A *study* is one experiment's search; a *trial* is one set of parameters in it, with the rows of its images.
Tables, sheet and report are made from it and can be made again at any time.
"""

# ruff: noqa: F401 (imported for those who write `store.open_study`)

import optuna

from gridsearch.results.store.facts import (
    Facts,
    load_facts,
    objectives_of,
    probe_of,
    remaining,
    save_facts,
)
from gridsearch.results.store.folder_lock import locked
from gridsearch.results.store.location import FILE, StudyPlace, checkpoint, note_place, place_of
from gridsearch.results.store.paths import keep_experiment
from gridsearch.results.store.study import (
    DONE,
    Stored,
    checks_of,
    has_study,
    led,
    open_study,
    read_study,
    references_of,
    require_study,
    save_judgement,
    stored,
    write_study,
)
from gridsearch.results.store.trials import (
    EDGE,
    ENDED,
    GLANCE,
    REASON,
    SUMMARY,
    UNFINISHED,
    WAS_COMPLETE,
    batch_count,
    batches_of,
    copied,
    fail,
    images_of,
    json_safe,
    kind_of,
    record_batch,
    seconds_of,
    tidy,
    with_images,
)
from gridsearch.results.store.unrecorded import missing_note, pictures_in, unrecorded_note

optuna.logging.set_verbosity(optuna.logging.WARNING)
