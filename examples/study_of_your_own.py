"""Train a small designed grid of networks on this machine, then ask what it says: trends and cache edges.

    python examples/study_of_your_own.py [MINUTES]     (30; the command names the least time when it is too short)

More options: `sizer study run --help`. The files are in the published study's schema, as your own runs could be.
"""

import json
import subprocess
import sys
import sysconfig
import tempfile

MINUTES = sys.argv[1] if len(sys.argv) > 1 else "30"


def study(*arguments: str) -> dict[str, object]:
    """The record that a command of `sizer study` prints."""
    command = [f"{sysconfig.get_path('scripts')}/sizer", "study", *arguments, "--quiet", "--json"]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


with tempfile.TemporaryDirectory() as folder:
    grid = ("--datasets", "generated_regression", "--depth", "2,3,4", "--sizes", "2^7-2^10")
    step = study("run", "--budget", f"{MINUTES}m", "--folder", folder, *grid)
    print(f"{step['rows_out']} trainings")
    for analysis in ("trends", "caches"):
        found = study(analysis, folder, "--out", folder)
        print(f"{analysis}: {found['rows_out']} rows of {found['rows_in']}; files {found['files']}")
