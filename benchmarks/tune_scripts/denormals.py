"""Lengths of ten nanometres, in metres: gradients of 1e-20, of whose subnormal squares RMSprop takes the root."""

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1024, 1024, bias=False), nn.Hardtanh(), nn.Linear(1024, 1024, bias=False))
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-4)
x = torch.randn(16, 1024) * 1e-8
y = x.roll(1, 1)
for _ in range(20_000):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(x), y).backward()
    optimizer.step()
