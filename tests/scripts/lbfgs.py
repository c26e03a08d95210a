"""A step of L-BFGS evaluates its closure several times. Expect all of them."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "widths": (2, 16, 1), "calls": 6, "batch_size": 50}


def build():
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    x = torch.rand(50, 2)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=6)

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - x.sum(1, keepdim=True).sin()).square().mean()
        loss.backward()
        return loss

    return lambda: optimizer.step(closure), [model]
