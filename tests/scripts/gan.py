"""Two networks, two optimizers, the generator first. Expect a block for each; the second network is called thrice."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "widths": (4, 16, 20), "blocks": 2, "other": {"widths": (20, 32, 1), "calls": 3}}


def build():
    generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 20))
    critic = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 1))
    makes, judges = torch.optim.Adam(generator.parameters()), torch.optim.Adam(critic.parameters())
    bce = nn.BCEWithLogitsLoss()

    def step():
        noise, real = torch.randn(16, 4), torch.rand(16, 20)
        makes.zero_grad()
        bce(critic(generator(noise)), torch.ones(16, 1)).backward()
        makes.step()
        judges.zero_grad()
        wrong = bce(critic(generator(noise).detach()), torch.zeros(16, 1))
        (bce(critic(real), torch.ones(16, 1)) + wrong).backward()
        judges.step()

    return step, [generator, critic]
