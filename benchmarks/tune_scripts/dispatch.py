"""A deep and narrow network: each operation is shorter than its dispatch."""

import torch
from torch import nn


class Layer(nn.Module):
    """A gated layer of many small operations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Residual, gated, normalised by hand."""
        h = torch.tanh(self.linear(x)) * torch.sigmoid(self.gate(x)) * 0.5 + x * 0.5
        centred = h - h.mean(1, keepdim=True)
        return centred / (centred.pow(2).mean(1, keepdim=True) + 1e-5).sqrt() * self.scale + self.shift


torch.manual_seed(0)
model = nn.Sequential(*(Layer(16) for _ in range(12)), nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, fused=True)
x = torch.randn(32, 16)
y = x[:, :1].sin()
for _ in range(200_000):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(x), y).backward()
    optimizer.step()
