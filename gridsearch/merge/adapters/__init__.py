"""Adapters: LoRA and its kin, as changes of a checkpoint's tensors."""
