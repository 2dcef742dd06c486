"""Recipes of sd-mecha."""


def read_mecha(path):
    raise NotImplementedError
