"""Everything that is SDXL's: its facts as a family, component configs, names in sd-mecha's recipes."""
