"""Optuna's dashboard on a run: every image beside its trial, live, and nothing that can be changed."""
