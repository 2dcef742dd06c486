"""Guidance: the predictions of a step, what is changed in the UNet for them, and all combined into one."""
