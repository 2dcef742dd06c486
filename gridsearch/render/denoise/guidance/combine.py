"""The predictions of a step combined into the one that the sampler goes on with."""

from collections.abc import Mapping

import torch
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import rescale_noise_cfg
from torch import Tensor

from gridsearch.checkpoint.prediction import FLOW
from gridsearch.render.denoise.guidance.blur import blurred
from gridsearch.render.denoise.guidance.branches import PERTURBED, SMOOTHED, WITH, WITHOUT
from gridsearch.render.denoise.prediction import alpha_and_sigma, clean, clean_slope, noise_slope
from gridsearch.render.denoise.sampling import SAMPLERS, Sampling


def guided(outputs: Mapping[str, Tensor], x: Tensor, level: float, sampling: Sampling) -> Tensor:
    """Combine the outputs (N, C, h, w) of the branches for x.

    Classifier-free guidance (Ho & Salimans 2022), that by attention (Ahn et al. 2024, eq. 13; Hong 2024) and
    the rescaling of an over-exposed result (Lin et al. 2023, section 3.4).
    """
    with_prompt, without = outputs[WITH], outputs.get(WITHOUT)
    scales = {PERTURBED: sampling.pag_scale, SMOOTHED: sampling.seg_scale}
    by_attention = [
        scale * (with_prompt - outputs[branch]) for branch, scale in scales.items() if branch in outputs
    ]
    result = with_prompt
    if without is not None:
        result = without + sampling.guidance * (with_prompt - without)
        if sampling.mimic_scale > 0:
            mimicked = without + sampling.mimic_scale * (with_prompt - without)
            result = thresholded(result, mimicked, x, level, sampling)
        if sampling.sanf and by_attention:
            slope = noise_slope(level, sampling.prediction_type)
            asked = sum(by_attention[1:], by_attention[0])
            result, by_attention = without + fused(result - without, asked, slope), []
    for term in by_attention:
        result = result + term
    if without is not None and sampling.cfg_rescale > 0:
        result = rescale_noise_cfg(result, with_prompt, guidance_rescale=sampling.cfg_rescale)
    return result


def thresholded(guided: Tensor, mimicked: Tensor, x: Tensor, level: float, sampling: Sampling) -> Tensor:
    """Limit the clean latents of an output to the range that they have with weaker guidance.

    As https://github.com/mcmonkeyprojects/sd-dynamic-thresholding does, after Saharia et al. (2022, section
    2.3). Deviations from a channel's mean are cut off at their percentile, or at the greatest of the weaker
    guidance if that is more, then scaled down to it. `mimic_phi` of the result is so, the rest as it was.
    """
    over = (2, 3) if sampling.mimic_per_channel else (1, 2, 3)
    strong, weak = (
        clean(x.float(), output.float(), level, sampling.prediction_type) for output in (guided, mimicked)
    )
    mean = strong.mean(dim=(2, 3), keepdim=True)
    deviation = strong - mean
    most = (weak - weak.mean(dim=(2, 3), keepdim=True)).abs().amax(dim=over, keepdim=True)
    first = over[0]
    sizes = deviation.abs().flatten(first)
    typical = sizes.quantile(sampling.mimic_percentile, dim=first, keepdim=True).view_as(most)
    limit = torch.maximum(most, typical).clamp(min=torch.finfo(torch.float32).tiny)
    limited = mean + deviation.clamp(-limit, limit) * (most / limit)
    change = sampling.mimic_phi * (limited - strong)
    return guided + (change / clean_slope(level, sampling.prediction_type)).to(guided.dtype)


def fused(by_prompt: Tensor, by_attention: Tensor, slope: float) -> Tensor:
    """Choose for each value the guidance that is more salient there: saliency-adaptive noise fusion.

    Wang et al. (2023, arXiv:2311.10329): saliency is the size of the change of the noise, smoothed, and
    compared after a softmax. Here as sd-webui-incantations has it: smoothed by 3 x 3 values of sigma 1, and
    the softmax is over channels. (The authors' own code, and Forge's "snf", have it over a channel's places.)

    Args:
        slope: the change of the noise with the output.
    """
    salient = [
        blurred((slope * change).float().abs(), 1.0, 3).softmax(dim=1) for change in (by_prompt, by_attention)
    ]
    return torch.where(salient[0] >= salient[1], by_prompt, by_attention)


def renoised(
    x: Tensor, output: Tensor, without: Tensor | None, level: float, sampling: Sampling
) -> tuple[Tensor, Tensor]:
    """Return latents and output from which a step of DDIM goes on by CFG++.

    Chung et al. (2024, arXiv:2406.08070), algorithm 2: the clean latents are those of guidance, the noise
    that is added to them again is the one predicted without the prompt. That is plain DDIM from the latents
    that consist of these two.
    """
    if without is None or not SAMPLERS[sampling.sampler].renoised:
        return x, output
    alpha, sigma = alpha_and_sigma(level, sampling.prediction_type)
    more_noise = noise_slope(level, sampling.prediction_type) * (without.float() - output.float())
    start = (x.float() + sigma * more_noise).to(x.dtype)
    if sampling.prediction_type == "v_prediction":  # v = alpha noise - sigma x0
        return start, alpha**2 * without + sigma**2 * output
    if sampling.prediction_type == FLOW:  # v = noise - x0
        return start, alpha * without + sigma * output
    return start, without
