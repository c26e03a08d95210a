"""A shape that depends on values. Expect the true reason why there is no trace, and the FLOPs all the same."""

import torch
from torch import nn

EXPECTED = {"unseen": "depend on values"}


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 1)

    def forward(self, x):
        return self.last(torch.relu(self.first(x))[x[:, 0] > 0.5])


def build():
    model = Masked()
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        optimizer.zero_grad()
        model(torch.rand(32, 8)).square().mean().backward()
        optimizer.step()

    return step, [model]
