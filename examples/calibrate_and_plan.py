"""Calibrate this machine, save its profile as a file, and plan for another machine by a profile's name.

python examples/calibrate_and_plan.py [SECONDS]     (60; more is surer)
"""

import sys

import sizer

budget_s = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
calibration = sizer.calibrate(budget_s=budget_s)
print(f"{calibration.networks} networks timed; the profile is {calibration.path}")

# On this machine `recommend` now uses it by itself. The file, copied into the other machine's profile folder or named
# in its SIZER_PROFILES, answers there to its name; and the profiles that come with sizer answer here.
here = sizer.recommend(input_dim=784, depth=6, output_dim=10)
there = sizer.recommend(input_dim=784, depth=6, output_dim=10, device="nvidia-h200")
for name, recommendation in (("here", here), ("H200", there)):
    best = recommendation.best
    print(f"{name}: {best.num_free_parameters:,} parameters ({recommendation.coefficients.label})")
