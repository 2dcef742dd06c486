"""A study in PostgreSQL that a run and its workers share, on one machine or several."""

STORAGE_VARIABLE = "GRIDSEARCH_STORAGE"  # names the database where --storage does not, or cannot be given
