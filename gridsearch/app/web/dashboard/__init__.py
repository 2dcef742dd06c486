"""Optuna's dashboard on a run: live, read-only, and with every image beside its trial."""
