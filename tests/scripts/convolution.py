"""Convolutions, normalisation and dropout. Expect the FLOPs of the true step."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "calls": 1, "batch_size": 4, "share": 1.0}


def build():
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(4 * 36, 5))
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.rand(4, 3, 8, 8)), torch.zeros(4, dtype=torch.int64)).backward()
        optimizer.step()

    return step, [model]
