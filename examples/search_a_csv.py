"""Search a CSV file for the cheapest network that reaches a loss, save it, and predict with it.

python examples/search_a_csv.py
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import sizer

random = np.random.default_rng(0)
frame = pd.DataFrame({"rooms": random.integers(1, 9, 400), "city": random.choice(["Bern", "Graz", "Linz"], 400)})
frame["price"] = frame.rooms * 50 + frame.city.map({"Bern": 300, "Graz": 100, "Linz": 90}) + random.normal(0, 10, 400)

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    frame.to_csv(folder / "flats.csv", index=False)
    result = sizer.search(
        folder / "flats.csv",
        target="price",
        target_r2=0.8,
        depth=2,
        save=folder / "flats.pt2",
        folder=folder / "search",
    )
    if result.winner is None:
        raise SystemExit(f"not reached: {result.estimate}")
    print(f"{result.winner.name} of {len(result.trials)} sizes tried")

    network = sizer.load(folder / "flats.pt2")  # in another process, with sizer installed
    print(network.predict(pd.DataFrame({"rooms": [2, 7], "city": ["Linz", "Bern"]})))
