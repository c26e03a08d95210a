"""The loss is a method that calls encoder and decoder, never the model. Expect both parts."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential + Sequential", "calls": 2, "batch_size": 16, "share": 1.0}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, 20))

    def loss(self, x):
        return (self.decoder(self.encoder(x)) - x).square().mean()


def build():
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step():
        optimizer.zero_grad()
        model.loss(torch.rand(16, 20)).backward()
        optimizer.step()

    return step, [model]
