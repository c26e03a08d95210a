"""What mypy strict must accept, and what an editor knows of each answer."""

from pathlib import Path

import torch
from typing_extensions import assert_type

import sizer

assert_type(sizer.detect(), sizer.Machine)
assert_type(sizer.detect(Path("captured"), fresh=True).devices[0], sizer.Device)

recommendation = sizer.recommend(
    input_dim=784, depth=[4, 6], shape="all", output_dim=10, observations=None, device="nvidia-h200", max_time=1e-3
)
assert_type(recommendation, sizer.Recommendation)
assert_type(recommendation.request, sizer.Request)
assert_type(
    sizer.recommend(input_dim=8, depth=2, pilots=[(1000, 0.3), (4000, 0.2)], target_loss=0.1).one_shot,
    sizer.OneShot | None,
)
best = sizer.recommend(input_dim=8, depth=2, learning_rate=1e-3, averaged=True, law="curves", difficulty="hard").best
assert_type(best.learning_rate, float | None)
assert_type(best.averaged, bool | None)
built = best.build()
assert_type(best.optimizer(built), torch.optim.Optimizer)
assert_type(best.average(built, observations=1000), torch.optim.swa_utils.AveragedModel)
assert_type(sizer.recommend_fleet(["a", "b"], input_dim=784, depth=6, dtype="bfloat16"), sizer.Fleet)


def make(width: int) -> torch.nn.Module:
    """A member of a family."""
    return torch.nn.Linear(16, width)


sizes = sizer.recommend(make, widths="32-1024", example_input=torch.zeros(4, 16), loss="mse", optimizer=torch.optim.SGD)
assert_type(sizes, sizer.FamilyRecommendation)
assert_type(sizes.best, sizer.FamilySize)
assert_type(sizer.recommend(make, widths={"width": [8, 16]}, budget_s=5).curve, tuple[sizer.FamilyPoint, ...])

network: sizer.Topology = sizer.models.Topology("rectangle", 8, (4, 1))
assert_type(sizer.profiles.names(), tuple[str, ...])
assert_type(sizer.inspect("784-512-10", batch_size=64), sizer.Inspection)
model = torch.nn.Linear(3, 1)
assert_type(sizer.inspect(model, torch.zeros(4, 3), loss="mse"), sizer.ModuleInspection)
sizer.advise(model, torch.optim.Adam(model.parameters()), quiet=True)
with sizer.watch(json_file="advice.json"):
    pass

assert_type(sizer.calibrate(budget_s=30, meter_options=sizer.MeterOptions(busy_w=60.0)), sizer.Calibration)
assert_type(sizer.validate(seed=1), sizer.Validation)

result = sizer.search("data.csv", target="y", target_loss=0.3, depth=3, max_time_s=60, prune=True)
assert_type(result, sizer.SearchResult)
assert_type(result.network, sizer.SavedNetwork | None)
assert_type(sizer.load("model.pt2", sizer.SavedNetwork), sizer.SavedNetwork)
assert_type(sizer.load("sizes.json", sizer.Recommendation).best, sizer.Candidate)
assert_type(sizer.recommend(data="house.csv", target="price", depth=6), sizer.Recommendation)
assert_type(sizer.recommend_fleet(data="house.csv", target=["price"], kind="regression"), sizer.Fleet)

try:
    sizer.recommend(input_dim=784, depth=6)
except (sizer.UsageError, sizer.UnreachableError) as error:
    assert_type(error.exit_code, int)
