"""What mypy strict must refuse: each marked line, for the reason in brackets, and no other line."""

import torch

import sizer

sizer.recommend(depth=6)  # refused: call-overload
sizer.recommend(input_dim=784, data="house.csv")  # refused: call-overload
sizer.recommend(input_dim=784, target="price")  # refused: call-overload
sizer.recommend_fleet(depth=6)  # refused: call-overload
sizer.recommend(input_dim=784, depth=6, optimiser="adam")  # refused: call-overload
sizer.recommend(input_dim=784, depth=6, top="ten")  # refused: call-overload
sizer.recommend(input_dim="784", depth=6)  # refused: call-overload
sizer.recommend_fleet(input_dim=784, depth=6, device="cpu")  # refused: call-overload
sizer.recommend(torch.nn.Linear, width="8-64")  # refused: call-overload
sizer.search("data.csv", target_loss=0.3, dept=3)  # refused: call-arg
sizer.search("data.csv", target_loss=0.3, max_epochs="many")  # refused: arg-type
sizer.calibrate(budget=30)  # refused: call-arg
print(sizer.recommend(input_dim=784, depth=6).winner)  # refused: attr-defined
sizer.load(b"model.pt2")  # refused: call-overload
sizer.find(1)  # refused: attr-defined
