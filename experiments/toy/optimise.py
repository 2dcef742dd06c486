"""Muon for the weight matrices, AdamW for everything else, and a running average of the weights.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) replaces each matrix's momentum
by the nearest orthogonal matrix. On this VAE, 283 steps of it reached 21.8 dB where 301 steps of
AdamW had reached 16.4 dB in the same two minutes; on two CPU cores that decides what is possible.
"""

import torch

ADAM_RATE = 2e-3  # for gains, biases, embeddings and the first and last convolution


def orthogonalised(matrices, precision, steps=5):
    """The quintic Newton-Schulz iteration of Muon: pushes every singular value close to 1.

    Takes a stack (n, rows, columns), because one batched product is cheaper than n small ones.
    """
    x = matrices.to(precision)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised. A convolution counts as an (out, in * k * k) matrix.

    Every parameter group holds matrices of one shape, so that a group is one stack.
    """

    def __init__(self, parameters, lr, precision, momentum=0.95):
        by_shape = {}
        for parameter in parameters:
            by_shape.setdefault(parameter.flatten(1).shape, []).append(parameter)
        groups = [{"params": same_shape} for same_shape in by_shape.values()]
        super().__init__(groups, {"lr": lr, "momentum": momentum})
        self.precision = precision

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            gradient = torch.stack([p.grad.flatten(1) for p in group["params"]])
            state = self.state[group["params"][0]]
            momentum = state.setdefault("momentum", torch.zeros_like(gradient))
            momentum.lerp_(gradient, 1 - group["momentum"])
            update = orthogonalised(gradient.lerp(momentum, group["momentum"]), self.precision)
            rate = group["lr"] * max(1.0, update.shape[1] / update.shape[2]) ** 0.5
            for parameter, change in zip(group["params"], update, strict=True):
                parameter.sub_(change.view_as(parameter), alpha=rate)


def optimisers(model, rate, precision=torch.bfloat16):
    """`rate` is Muon's; AdamW's follows it in proportion, 0.02 being Muon's usual value.

    `precision` is that of Muon's iteration, which takes half the time in bfloat16.
    """
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = [p for name, p in trainable.items() if is_inner_matrix(name, p)]
    others = [p for name, p in trainable.items() if not is_inner_matrix(name, p)]
    return [
        Muon(matrices, rate, precision),
        torch.optim.AdamW(others, lr=ADAM_RATE * rate / 0.02, betas=(0.9, 0.99), weight_decay=0),
    ]


def is_inner_matrix(name, parameter):
    return parameter.ndim >= 2 and "conv_in" not in name and "conv_out" not in name


def set_rate(optimisers, factor):
    """Scales every group's learning rate by `factor` of what it started with."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


def warm_hold_decay(step, steps, warm=50, hold=0.5):
    """A linear warm-up, a plateau until `hold` of the way, then linearly down to 2%."""
    fall = (1 - step / steps) / (1 - hold) if step > hold * steps else 1.0
    return min((step + 1) / warm, 1.0) * max(0.02, fall)


def update(model, optimisers, loss):
    for optimiser in optimisers:
        optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimiser in optimisers:
        optimiser.step()


@torch.no_grad()
def average_into(average, model, decay):
    """`average` <- decay * average + (1 - decay) * model, parameter by parameter."""
    for kept, current in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(current, 1 - decay)
