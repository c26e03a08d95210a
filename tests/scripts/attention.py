"""A transformer's layer that takes time first. Expect the second dimension as the batch."""

import torch
from torch import nn

EXPECTED = {"module": "TransformerEncoderLayer", "calls": 1, "batch_size": 6, "first_dimension": 5}


def build():
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1)
    optimizer = torch.optim.AdamW(model.parameters())

    def step():
        optimizer.zero_grad()
        model(torch.rand(5, 6, 8)).square().mean().backward()
        optimizer.step()

    return step, [model]
