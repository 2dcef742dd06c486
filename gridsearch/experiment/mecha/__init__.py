"""sd-mecha's recipes, read and written where they can express ours."""
