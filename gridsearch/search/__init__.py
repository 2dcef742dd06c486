"""The Optuna study: space, sampler, resume."""
