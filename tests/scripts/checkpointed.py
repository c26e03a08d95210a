"""Parts are computed again in the backward pass. Expect those FLOPs too."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

EXPECTED = {"module": "Net", "calls": 1, "batch_size": 16, "share": 1.0}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(3))

    def forward(self, x):
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=False)
        return x


def build():
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        optimizer.zero_grad()
        model(torch.rand(16, 8)).square().mean().backward()
        optimizer.step()

    return step, [model]
