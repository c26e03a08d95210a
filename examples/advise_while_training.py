"""One line in a training script: what the network costs here, and what would be cheaper, told once at the first step.

python examples/advise_while_training.py
"""

import json
import tempfile
from pathlib import Path

import torch

import sizer

model = torch.nn.Sequential(torch.nn.Linear(64, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data = [(torch.randn(100, 64), torch.randint(10, (100,))) for _ in range(20)]

with tempfile.TemporaryDirectory() as folder:
    record = Path(folder) / "advice.json"
    sizer.advise(model, optimizer, json_file=record)  # reports on standard error; SIZER=off silences it
    for x, y in data:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    advice = json.loads(record.read_text(encoding="utf-8"))

print(f"{advice['format']}: seen at batch {advice['batch_size']}")
