"""A critic called three times in a step, once for a double backward. Expect all FLOPs."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "widths": (10, 16, 1), "calls": 3, "batch_size": 8}


def build():
    critic = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(critic.parameters())

    def step():
        real, fake = torch.rand(8, 10), torch.rand(8, 10)
        between = (real + fake).div(2).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        loss = critic(fake).mean() - critic(real).mean() + (slope.norm(2, 1) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step, [critic]
