"""A recommended network as PyTorch code that runs."""

from __future__ import annotations

import itertools

from sizer.recommendation import Recommendation
from sizer.units import format_count

_RESIDUAL = '''
class ResidualLayer(nn.Module):
    """x + relu(W x + b)."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        return x + torch.relu(self.linear(x))

'''


def torch_code(record: Recommendation) -> str:
    """A script that builds the best network and checks its number of parameters."""
    best = record.best
    full = (best.input_dim, *best.widths)
    residual = best.shape == "rectangle_residual"
    lines = []
    for index, (w_in, w_out) in enumerate(itertools.pairwise(full[:-1])):
        is_residual = residual and index > 0
        lines.append(
            f"    ResidualLayer({w_out})," if is_residual else f"    nn.Linear({w_in}, {w_out}),\n    nn.ReLU(),"
        )
    lines.append(f"    nn.Linear({full[-2]}, {full[-1]}),")
    comment = "\n".join(
        f"# {line}" for line in _wrapped(f"{format_count(best.num_free_parameters)} parameters; {best.why}")
    )
    return (
        f"{comment}\n"
        f"{'import torch' + chr(10) if residual else ''}from torch import nn\n"
        f"{_RESIDUAL if residual else ''}\n"
        "model = nn.Sequential(\n" + "\n".join(lines) + "\n)\n"
        f"assert sum(p.numel() for p in model.parameters()) == {best.num_free_parameters}\n"
    )


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 100)
