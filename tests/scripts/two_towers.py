"""Two encoders and a loss that multiplies matrices outside of any module. Expect its FLOPs too."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential + Linear", "calls": 2, "batch_size": 16, "share": 1.0}


def build():
    text, image = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), nn.Linear(12, 4)
    optimizer = torch.optim.AdamW([*text.parameters(), *image.parameters()])

    def step():
        logits = text(torch.rand(16, 8)) @ image(torch.rand(16, 12)).T
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, torch.arange(16)).backward()
        optimizer.step()

    return step, [text, image]
