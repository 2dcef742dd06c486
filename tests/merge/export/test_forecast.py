"""What a merge is said to need before it is made."""

import math

from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.ldm.recognise import merged_keys, own_keys
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.export.forecast import forecast


def test_every_source_of_a_step_is_read_once_and_a_difference_holds_more(toy):
    models = {name: toy / f"{name}.safetensors" for name in ("base", "vpred", "burnt")}

    def made(**step):
        merged = {"text_encoders": "merged", "vae": "merged"}
        return forecast(Recipe(models=models, merge=[step], components=merged))

    checkpoint = open_checkpoint(models["base"])
    infos = own_keys(checkpoint)
    merged = [infos[key] for key in merged_keys(infos)]
    each = sum(info.bytes for info in merged)
    linear = made(models=["base", "vpred"], ratio=0.3)
    assert (linear.read, linear.written) == (2 * each, sum(info.bytes for info in infos.values()))
    assert linear.files == sum(models[name].stat().st_size for name in ("base", "vpred"))
    ties = made(method="dare_ties", models=["base", "vpred", "burnt", "base"], k=0.5)
    assert ties.read == 3 * each  # the first model is read once, though it is there twice
    largest = max(math.prod(info.shape) for info in merged)
    assert ties.memory - linear.memory > 12 * largest
    assert 0 < linear.sampled <= ties.threads
    assert linear.seconds > 0
