"""From noise to a latent: schedules, samplers, guidance, the loop."""
