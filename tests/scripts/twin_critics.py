"""One optimizer trains two critics, a second the actor, a third one scalar. Expect a block for each."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential + Sequential", "calls": 4, "share": 1.0, "blocks": 3}


def mlp(w_in, w_out):
    return nn.Sequential(nn.Linear(w_in, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, w_out))


def build():
    q1, q2, actor, alpha = mlp(4, 1), mlp(4, 1), mlp(3, 1), torch.zeros(1, requires_grad=True)
    critics = torch.optim.Adam([*q1.parameters(), *q2.parameters()])
    policy, temperature = torch.optim.Adam(actor.parameters()), torch.optim.Adam([alpha])

    def step():
        state, action = torch.rand(32, 3), torch.rand(32, 1)
        both = torch.cat([state, action], 1)
        critics.zero_grad()
        (q1(both).square().mean() + q2(both).square().mean()).backward()
        critics.step()
        policy.zero_grad()
        own = torch.cat([state, actor(state)], 1)
        torch.min(q1(own), q2(own)).mean().backward()
        policy.step()
        temperature.zero_grad()
        alpha.exp().sum().backward()
        temperature.step()

    return step, [q1, q2, actor]
