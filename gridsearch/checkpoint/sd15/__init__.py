"""Everything that is Stable Diffusion 1.5's: its facts as a family, and its component configs."""
