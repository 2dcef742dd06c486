"""Random adapters that PEFT makes and saves, and what an opened adapter makes of a weight."""

import peft
import torch


def by_peft(folder, layers, kind, **options):
    """A model of PEFT's with a random adapter, which is saved into the folder."""
    torch.manual_seed(0)
    init = {"LoraConfig": "init_lora_weights", "IA3Config": "init_ia3_weights"}.get(kind, "init_weights")
    model = peft.get_peft_model(layers, getattr(peft, kind)(**{init: False}, **options))
    for name, parameter in model.named_parameters():
        if "magnitude" in name:  # PEFT starts with those of the layer
            parameter.data.mul_(torch.rand_like(parameter) + 0.5)
        elif "vera" in name or "oft" in name:  # and with constants, or very small
            parameter.data.normal_()
    model.save_pretrained(folder)
    return model


def changed(adapter, key, base):
    """The adapter's change of a weight at strength one."""
    base = base.detach()
    return adapter.change(key, base) if key in adapter.dependent else adapter.tensor(key)
