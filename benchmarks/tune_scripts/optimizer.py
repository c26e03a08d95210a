"""Many parameters and little to compute with them: the step goes into the optimizer's traffic."""

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
x = torch.randn(8, 1024)
y = x[:, :1].sin()
for _ in range(20_000):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(x), y).backward()
    optimizer.step()
