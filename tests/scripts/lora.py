"""Most parameters are frozen. Expect both counts."""

import torch
from torch import nn

EXPECTED = {"module": "Lora", "trained": 8 * 2 + 2 * 16, "frozen": 8 * 16 + 16, "calls": 1, "share": 1.0}


class Lora(nn.Module):
    def __init__(self):
        super().__init__()
        self.base = nn.Linear(8, 16).requires_grad_(False)
        self.a, self.b = nn.Linear(8, 2, bias=False), nn.Linear(2, 16, bias=False)

    def forward(self, x):
        return self.base(x) + self.b(self.a(x))


def build():
    model = Lora()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad])

    def step():
        optimizer.zero_grad()
        model(torch.rand(32, 8)).square().mean().backward()
        optimizer.step()

    return step, [model]
