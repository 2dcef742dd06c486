"""Training the UNet: epsilon from nothing, then v-prediction or rectified flow from that.

The prediction types are functions of the same shape, named as in the papers: epsilon (Ho et al.
2020), v = alpha * eps - sigma * x0 (Salimans & Ho 2022), and the velocity eps - x0 of a straight line
from picture to noise (Liu et al. 2022). The v models use the noise schedule rescaled to zero terminal
SNR (Lin et al. 2023), where epsilon has nothing to predict.
"""

import copy
from dataclasses import dataclass

import torch
from models import TIME_IDS, build_scheduler
from optimise import average_into, optimisers, set_rate, update, warm_hold_decay

BATCH = 48
CAPTION_DROPOUT = 0.3


def target_epsilon(x0, noise, alpha, sigma):
    return noise


def target_v(x0, noise, alpha, sigma):
    return alpha * noise - sigma * x0


def target_flow(x0, noise, alpha, sigma):
    return noise - x0


TARGETS = {"epsilon": target_epsilon, "v_prediction": target_v, "flow": target_flow}


@dataclass(frozen=True)
class Examples:
    """Scaled latents, each one's caption index, and the text contexts; the last one is all zeros."""

    latents: torch.Tensor
    labels: torch.Tensor
    contexts: torch.Tensor
    pooled: torch.Tensor


@dataclass(frozen=True)
class Course:
    """What sets one training run apart from another."""

    prediction_type: str
    steps: int
    seed: int
    rate: float  # Muon's learning rate
    hold: float  # share of the steps before the learning rate falls
    gain: float = 1.0  # every latent is multiplied by this
    low_contrast: float = 0.0  # share of the latents scaled by U(0, 0.3)


def text_contexts(pipeline, captions):
    """Prompt and pooled embeddings of each caption, and zeros for the empty one at the end."""
    with torch.no_grad():
        contexts, _, pooled, _ = pipeline.encode_prompt(
            list(captions),
            device="cpu",
            do_classifier_free_guidance=False,
        )
    empty = torch.zeros_like(contexts[:1]), torch.zeros_like(pooled[:1])
    return torch.cat([contexts, empty[0]]), torch.cat([pooled, empty[1]])


def signal_and_noise(prediction_type):
    """alpha and sigma of the 1000 training timesteps; sigma is 1 at the last one for v and for flow."""
    if prediction_type == "flow":
        sigma = torch.arange(1, 1001) / 1000
        return 1 - sigma, sigma
    v = prediction_type == "v_prediction"
    signal = build_scheduler(prediction_type, zero_terminal_snr=v).alphas_cumprod.double()
    if v:
        signal[-1] = 0.0  # the scheduler keeps 2^-24 to avoid an infinite sigma
    return signal.sqrt().float(), (1 - signal).sqrt().float()


def train_unet(unet, examples, course, device, log):
    """Returns the running average of the weights and the last tenth's mean loss."""
    generator = torch.Generator().manual_seed(course.seed)
    unet = unet.to(device).train()
    average = copy.deepcopy(unet).requires_grad_(False)
    optimiser = optimisers(unet, course.rate)
    alphas, sigmas = (s.to(device) for s in signal_and_noise(course.prediction_type))
    target = TARGETS[course.prediction_type]
    first = 1 if course.prediction_type == "flow" else 0  # a flow model is told of 1000 sigma, up to 1000
    contexts, pooled = examples.contexts.to(device), examples.pooled.to(device)
    time_ids = torch.tensor(TIME_IDS, device=device).float().expand(BATCH, -1)
    recent = []
    for step in range(course.steps):
        set_rate(optimiser, warm_hold_decay(step, course.steps, hold=course.hold))
        x0, label = batch_of(examples, course, generator)
        noise = torch.randn(x0.shape, generator=generator)
        t = torch.randint(len(alphas), (BATCH,), generator=generator)
        x0, label, noise, t = (v.to(device) for v in (x0, label, noise, t))
        alpha, sigma = alphas[t, None, None, None], sigmas[t, None, None, None]
        predicted = unet(
            alpha * x0 + sigma * noise,
            t + first,
            contexts[label],
            added_cond_kwargs={"text_embeds": pooled[label], "time_ids": time_ids},
        ).sample
        loss = (predicted - target(x0, noise, alpha, sigma)).square().mean()
        update(unet, optimiser, loss)
        average_into(average, unet, decay=min(0.998, (1 + step) / (10 + step)))
        recent.append(loss.item())
        log(step, course.steps, sum(recent[-200:]) / len(recent[-200:]))
    last = recent[-max(1, course.steps // 10) :]
    return average.cpu().eval(), sum(last) / len(last)


def batch_of(examples, course, generator):
    chosen = torch.randint(len(examples.latents), (BATCH,), generator=generator)
    x0 = course.gain * examples.latents[chosen]
    low = torch.rand(BATCH, 1, 1, 1, generator=generator) < course.low_contrast
    faint = 0.3 * torch.rand(BATCH, 1, 1, 1, generator=generator)
    x0 = torch.where(low, faint * x0, x0)
    dropped = torch.rand(BATCH, generator=generator) < CAPTION_DROPOUT
    empty = len(examples.contexts) - 1
    return x0, torch.where(dropped, empty, examples.labels[chosen])
