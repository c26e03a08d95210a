"""The model returns a distribution. Expect its batch and the FLOPs of the true step."""

import torch
from torch import nn

EXPECTED = {"module": "Policy", "calls": 1, "batch_size": 16}


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x):
        return torch.distributions.Categorical(logits=self.net(x), validate_args=False)


def build():
    model = Policy()
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        optimizer.zero_grad()
        (-model(torch.rand(16, 4)).log_prob(torch.ones(16))).mean().backward()
        optimizer.step()

    return step, [model]
