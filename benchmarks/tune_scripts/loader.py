"""A data set that makes each row in Python: the steps wait for it."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    """Rows that are parsed from text each time they are asked for."""

    def __init__(self, count: int) -> None:
        numbers = np.random.default_rng(0).normal(size=(count, 40))
        self.lines = [" ".join(f"{number:.6f}" for number in row) for row in numbers]

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        values = torch.tensor([float(word) for word in self.lines[row].split()])
        return values, values[:1].sin()


torch.manual_seed(0)
model = nn.Sequential(nn.Linear(40, 128), nn.ReLU(), nn.Linear(128, 1))
optimizer = torch.optim.Adam(model.parameters(), fused=True)
loader = DataLoader(Rows(8192), batch_size=128, shuffle=True)
for _ in range(200):
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
