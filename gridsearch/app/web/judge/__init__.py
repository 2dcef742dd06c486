"""The judge: a person compares blind pairs of images."""
