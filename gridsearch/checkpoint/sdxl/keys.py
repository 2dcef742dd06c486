"""The names of an SDXL checkpoint's keys, as the original code (Stability's `sgm`) writes them."""

UNET = "model.diffusion_model."
VAE = "first_stage_model."
CLIP_L = "conditioner.embedders.0."  # the first text encoder
CLIP_G = "conditioner.embedders.1."  # the second
CLIP_L_MODEL = f"{CLIP_L}transformer.text_model."  # where the weights of each lie
CLIP_G_MODEL = f"{CLIP_G}model."
