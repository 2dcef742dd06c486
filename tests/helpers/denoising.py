"""What the tests of denoising share."""

# The scheduler's part of SDXL's component configs.
SDXL = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}


class Seen:
    """A watcher that stops nothing, and keeps what the loop believes the picture to be."""

    def __init__(self):
        self.believed = []

    def see(self, call, level, x0):
        self.believed.append(x0)

    def kept(self, call):
        return None
