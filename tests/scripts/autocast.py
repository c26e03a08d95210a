"""Autocast around the forward pass, with dropout. Expect mixed precision."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "dtype": "mixed", "calls": 1, "batch_size": 16}


def build():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(torch.rand(16, 8)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step, [model]
