"""The VAE: encoder and decoder together first, then the decoder alone on frozen latents.

The decoder also learns decode(c * z) = c * x for c in 0..2: a latent scaled down fades to grey and
one scaled up is over-contrasted and clips. A merged UNet gets the scale of its latents wrong, so
without this the decoder would hide what the ratio does.
"""

import data
import numpy as np
import torch
from models import build_vae
from optimise import optimisers, set_rate, update, warm_hold_decay

BATCH = 16
KL_WEIGHT = 3e-4  # only keeps latents near unit scale and the decoder deaf to small errors
LATENT_NOISE = 0.05  # of a latent's standard deviation, while the decoder is polished
IMAGES = 8192
IMAGE_SEED = 1000
HELD_OUT_SEED = 9


def train_vae(device, steps, seed, log):
    """Encoder and decoder, from nothing. Returns the VAE with its scaling factor set."""
    torch.manual_seed(seed)
    vae = build_vae().to(device)
    pixels, _ = data.draw_many(IMAGES, IMAGE_SEED)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    optimiser = optimisers(vae, rate=0.02, precision=torch.float32)
    for step in range(steps):
        set_rate(optimiser, warm_hold_decay(step, steps))
        x = torch.from_numpy(data.to_signed(pixels[rng.integers(IMAGES, size=BATCH)])).to(device)
        c = random_scale(BATCH, share=0.3, generator=generator).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(x).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
            decoded = vae.decode(c * (posterior.mean + posterior.std * noise)).sample
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).float().mean()
        reconstruction = picture_loss(decoded.float(), c * x)
        update(vae, optimiser, reconstruction + KL_WEIGHT * kl)
        log(step, steps, reconstruction.item())
    return vae


def polish_decoder(vae, device, steps, seed, log):
    """The decoder alone: the latents stay what the UNet is being trained on meanwhile."""
    vae = vae.to(device)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    pixels, _ = data.draw_many(IMAGES, IMAGE_SEED + 500)
    latents = encode(vae, pixels, device)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    optimiser = optimisers(vae, rate=0.012)
    spread = LATENT_NOISE * latents.std()
    for step in range(steps):
        set_rate(optimiser, warm_hold_decay(step, steps, hold=0.2))
        chosen = rng.integers(IMAGES, size=BATCH)
        x = torch.from_numpy(data.to_signed(pixels[chosen])).to(device)
        z = latents[chosen].to(device)
        c = random_scale(BATCH, share=0.5, generator=generator).to(device)
        z = z + spread * torch.randn(z.shape, generator=generator).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            decoded = vae.decode(c * z).sample
        loss = picture_loss(decoded.float(), c * x)
        update(vae, optimiser, loss)
        log(step, steps, loss.item())
    return vae


def random_scale(count, share, generator):
    """1 for most pictures, uniform in 0..2 for `share` of them."""
    scale = 2 * torch.rand(count, 1, 1, 1, generator=generator)
    scaled = torch.rand(count, 1, 1, 1, generator=generator) < share
    return torch.where(scaled, scale, torch.ones_like(scale))


def picture_loss(decoded, target):
    """L1 + L2 for colour, and L1 on neighbouring pixels' differences for crisp lines."""
    error = decoded - target
    lines = (error[..., 1:] - error[..., :-1]).abs().mean()
    lines = lines + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + error.square().mean() + 0.5 * lines


@torch.no_grad()
def encode(vae, pixels, device, batch=64):
    """The posterior means of uint8 pictures, on the CPU."""
    means = []
    for start in range(0, len(pixels), batch):
        x = torch.from_numpy(data.to_signed(pixels[start : start + batch])).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            means.append(vae.encode(x).latent_dist.mean.float().cpu())
    return torch.cat(means)


@torch.no_grad()
def held_out_psnr(vae, device, count=256):
    """Mean PSNR in dB over pictures no training saw, in 8-bit values as a viewer shows them."""
    pixels, _ = data.draw(count, HELD_OUT_SEED)
    ratios = []
    for start in range(0, count, 32):
        x = torch.from_numpy(data.to_signed(pixels[start : start + 32])).to(device)
        decoded = vae.decode(vae.encode(x).latent_dist.mean).sample
        shown = ((decoded.clamp(-1, 1) + 1) * 127.5).round()
        error = (shown - (x + 1) * 127.5).square().mean(dim=(1, 2, 3))
        ratios.append(10 * torch.log10(255**2 / error))
    return torch.cat(ratios).mean().item()
