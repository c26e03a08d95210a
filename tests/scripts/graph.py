"""Nodes with a matrix between them. Expect "first dimension 30" and no batch."""

import torch
from torch import nn

EXPECTED = {"module": "Graph", "calls": 1, "batch_size": None, "first_dimension": 30}


class Graph(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x, adjacency):
        return self.last(adjacency @ torch.relu(self.first(adjacency @ x)))


def build():
    model = Graph()
    optimizer = torch.optim.Adam(model.parameters())
    x, adjacency = torch.rand(30, 8), torch.eye(30)

    def step():
        optimizer.zero_grad()
        model(x, adjacency).square().mean().backward()
        optimizer.step()

    return step, [model]
