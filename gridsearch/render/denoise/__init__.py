"""Denoising: schedules, samplers, guidance, and the loop from noise to a latent."""
