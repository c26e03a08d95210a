"""Parameters that no module holds. Expect one line that says so."""

import torch

EXPECTED = {"unseen": "nothing that it trains was called as a module", "counted": False}


def build():
    weight = torch.randn(8, 4, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def step():
        optimizer.zero_grad()
        (torch.rand(16, 8) @ weight).square().mean().backward()
        optimizer.step()

    return step, [weight]
