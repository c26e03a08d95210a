"""Size a network for this machine, build it, and train it.

python examples/size_and_train.py
"""

import torch

import sizer

x = torch.randn(2_000, 20)
y = x[:, :3].sum(dim=1, keepdim=True).sin()

recommendation = sizer.recommend(input_dim=20, depth=4, output_dim=1, observations=len(x), max_bytes=20_000_000)
chosen = recommendation.best
print(f"{'-'.join(map(str, chosen.widths))}: {chosen.num_free_parameters:,} parameters")
if chosen.anchor is not None:
    print(f"its working set {chosen.anchor.working_set} fills {chosen.anchor.level} {chosen.anchor.fill:.2f} times")

model = chosen.build()
optimizer = chosen.optimizer(model)  # fused, at the suggested learning rate
averaged = chosen.average(model)  # its weights over two epochs: what predicts
for epoch in range(3):
    losses = []
    for batch in torch.randperm(len(x)).split(chosen.batch_size):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        averaged.update_parameters(model)
        losses.append(loss.item())
    print(f"epoch {epoch + 1}: training loss {sum(losses) / len(losses):.3f}")
