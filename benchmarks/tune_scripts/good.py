"""Nothing to mend: products of a good size, data in memory, a fused optimizer."""

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, fused=True)
x = torch.randn(8192, 256)
y = torch.randint(10, (8192,))
for _ in range(2000):
    for rows in torch.randperm(8192).split(256):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
