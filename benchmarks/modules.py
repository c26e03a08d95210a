"""How well steps of modules are predicted: of sizes of families (`module_families.py`), of `single_modules.py`.

python benchmarks/modules.py families --folder FOLDER --measure 400
python benchmarks/modules.py single --help
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

_SCRIPTS = {"families": "module_families.py", "single": "single_modules.py"}

if __name__ == "__main__":
    script = _SCRIPTS.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if script is None:
        sys.exit(f"expected one of {', '.join(_SCRIPTS)}, and its options")
    path = Path(__file__).parent / script
    sys.argv = [str(path), *sys.argv[2:]]
    runpy.run_path(str(path), run_name="__main__")
