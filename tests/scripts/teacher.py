"""A frozen teacher is called without gradients in each step. Expect its FLOPs, and the student as what trains."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "widths": (8, 4, 3), "calls": 1, "batch_size": 16, "share": 1.0}


def build():
    teacher = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    student = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)

    def step():
        x = torch.rand(16, 8)
        with torch.no_grad():
            target = teacher(x)
        optimizer.zero_grad()
        nn.functional.mse_loss(student(x), target).backward()
        optimizer.step()

    return step, [student]
