"""A method calls the two parts, never the whole agent. Expect both parts."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential + Sequential", "calls": 2, "batch_size": 32, "share": 1.0}


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        self.actor = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

    def value_and_logits(self, x):
        return self.critic(x), self.actor(x)


def build():
    agent = Agent()
    optimizer = torch.optim.Adam(agent.parameters())

    def step():
        value, logits = agent.value_and_logits(torch.rand(32, 8))
        optimizer.zero_grad()
        (value.square().mean() + logits.square().mean()).backward()
        optimizer.step()

    return step, [agent]
