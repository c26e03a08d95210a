"""Large activations that are made and thrown away each step: the kernel clears their pages anew."""

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 2500), nn.Tanh(), nn.ReLU(), nn.Dropout(0.1), nn.Linear(2500, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
x = torch.randn(4096, 8)
y = x.sum(1, keepdim=True)
for _ in range(5000):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(x), y).backward()
    optimizer.step()
