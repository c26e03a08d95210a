"""Which width of an architecture of your own? Every width is traced, a few are timed, the others are predicted.

python examples/width_of_your_own.py
"""

import torch
from torch import nn

import sizer


def make(width: int = 64) -> nn.Module:
    """A small network of your own, as wide as asked; 64 is what it has now."""
    return nn.Sequential(
        nn.Conv1d(4, width, 5),
        nn.BatchNorm1d(width),
        nn.GELU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(width, 3),
    )


batch = torch.randn(16, 4, 64)
found = sizer.recommend(
    make, widths="16-256:16", example_input=batch, loss="cross_entropy", optimizer="adamw", budget_s=5
)
best = found.best
print(f"train width {best.values['width']}: {1e3 * best.time_per_step_s:.2f} ms a step ({best.label})")
for point in found.curve[:3]:
    low, high = point.interval
    print(f"  width {point.values['width']}: {1e3 * low:.2f} to {1e3 * high:.2f} ms")
for advice in found.advice:
    print(f"from width {advice.before['width']} to {advice.after['width']}: {100 * advice.effect:+.0f} % time")

model = make(**best.values)
print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
