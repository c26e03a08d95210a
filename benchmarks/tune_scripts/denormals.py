"""Features on a scale at which float32 runs out of digits: nearly all products are of subnormal numbers."""

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(512, 512, bias=False), nn.Tanh(), nn.Linear(512, 512, bias=False), nn.Linear(512, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, fused=True)
x = torch.randn(128, 512) * 1e-39
y = torch.randn(128, 1)
for _ in range(20_000):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(x), y).backward()
    optimizer.step()
