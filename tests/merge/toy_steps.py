"""Experiments of any merge steps on the toy checkpoints."""

from pathlib import Path

from gridsearch.experiment.experiment import parse_experiment
from tests.helpers.small_run import settings as small

TO_Q = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"
TE_FC = "conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1.weight"


def settings(toy: Path, *steps: dict, **changes) -> dict:
    own = small(toy, merge=list(steps), prompt=[{"text": "a circle"}])
    models = {name: str(toy / f"{name}.safetensors") for name in ("base", "burnt", "vpred")}
    return own | {"models": models, "render": own["render"] | {"steps": 2}} | changes


def experiment(toy: Path, *steps: dict, **changes):
    return parse_experiment(settings(toy, *steps, **changes), Path(), "test")
