"""The model differentiates itself in its forward pass. Expect the FLOPs of both derivatives."""

import torch
from torch import nn

EXPECTED = {"module": "Field", "calls": 1, "share": 1.0}


class Field(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        x = x.requires_grad_()
        (force,) = torch.autograd.grad(self.net(x).sum(), x, create_graph=True)
        return force


def build():
    model = Field()
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        optimizer.zero_grad()
        model(torch.rand(16, 3)).square().mean().backward()
        optimizer.step()

    return step, [model]
