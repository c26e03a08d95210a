"""A recurrent network fed (time, batch). Expect 20 observations, not the 7 time steps."""

import torch
from torch import nn

EXPECTED = {"module": "Net", "calls": 1, "batch_size": 20, "first_dimension": 7}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rnn, self.out = nn.Embedding(30, 8), nn.GRU(8, 8), nn.Linear(8, 30)

    def forward(self, tokens):
        return self.out(self.rnn(self.embed(tokens))[0])


def build():
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters())

    def step():
        tokens = torch.randint(30, (8, 20))
        loss = nn.functional.cross_entropy(model(tokens[:-1]).flatten(0, 1), tokens[1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step, [model]
