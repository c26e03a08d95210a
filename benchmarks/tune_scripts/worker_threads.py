"""Two worker processes, each with as many threads as the machine has processors."""

import os

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    """Rows that are whitened by products of matrices as they are read."""

    def __init__(self, count: int) -> None:
        self.values = torch.randn(count, 128, generator=torch.Generator().manual_seed(0))
        self.whitening = torch.randn(128, 128, generator=torch.Generator().manual_seed(1)) / 11

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> torch.Tensor:
        square = self.values[row].outer(self.values[row])
        return (self.whitening @ square @ self.whitening).diagonal().clone()


def begin(worker: int) -> None:  # noqa: ARG001
    """What many scripts do for speed, and what costs it."""
    torch.set_num_threads(max(os.cpu_count() or 1, 2))


torch.manual_seed(0)
model = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
loader = DataLoader(Rows(4096), batch_size=16, shuffle=True, num_workers=2, worker_init_fn=begin)
for _ in range(200):
    for x in loader:
        optimizer.zero_grad()
        (model(x) - x[:, :1]).abs().mean().backward()
        optimizer.step()
