"""How well modules are predicted: widths of families, or single modules by their operators.

    python benchmarks/modules.py families --folder DIR ...
    python benchmarks/modules.py single --folder DIR ...

What follows the first word goes to `module_families.py` or `single_modules.py`, whose texts say what they measure.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

SCRIPTS = {"families": "module_families.py", "single": "single_modules.py"}


def main() -> None:
    """Run the one that is named."""
    if sys.argv[1:2] not in ([name] for name in SCRIPTS):
        raise SystemExit(__doc__)
    script = Path(__file__).with_name(SCRIPTS[sys.argv.pop(1)])
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
