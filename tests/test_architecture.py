"""The structure that the rest relies on: imports point one way, packages are listed, names do not collide."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import sizer

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sizer"

#: The pure core: no file, clock, process, torch or print. Everything else may import it; it imports only itself.
CORE = {
    "advisor",
    "calibrated_range",
    "comparison",
    "coefficients",
    "cost",
    "data_efficiency",
    "errors",
    "estimates",
    "explanation",
    "fleet",
    "hardware",
    "inspection",
    "modules.advice",
    "modules.advice_other",
    "modules.neighbours",
    "modules.record",
    "one_shot",
    "operations",
    "placement",
    "pricing",
    "reasons",
    "recommendation",
    "records",
    "request",
    "sweep",
    "training",
    "units",
    "working_sets",
}
#: What the core may use beside the standard library's pure parts. `models` is part of the core.
ALLOWED = {"numpy", "sizer"}
PURE_STANDARD = {"__future__", "collections", "dataclasses", "json", "math", "typing", "itertools", "functools"}


def sources() -> dict[str, Path]:
    """Module name, as imported, -> file, for all of `sizer`, `models` and `profiles`."""
    found = {}
    for folder, prefix in (
        (PACKAGE, "sizer"),
        (ROOT / "models", "sizer.models"),
        (ROOT / "profiles", "sizer.profiles"),
    ):
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([prefix, *(part for part in parts if part != "__init__")])] = path
    return found


def imported_by(path: Path) -> set[str]:
    """Modules imported when the file is imported: at its top level, outside TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_core_is_pure():
    modules = sources()
    for name in CORE:
        for imported in imported_by(modules[f"sizer.{name}"]):
            top, *rest = imported.split(".")
            assert top in ALLOWED | PURE_STANDARD, f"{name} imports {imported}"
            if top == "sizer" and rest:
                assert rest[0] == "models" or ".".join(rest) in CORE, (
                    f"{name} imports {imported}, which is not of the core"
                )


def test_imports_point_one_way():
    """Core <- shell <- reports and command line: nothing below the command line imports it."""
    for name, path in sources().items():
        if name.startswith("sizer.cli") or name == "sizer.__main__":
            continue
        for imported in imported_by(path):
            assert not imported.startswith("sizer.cli"), f"{name} imports {imported}"
            if not name.startswith("sizer.report"):
                assert not imported.startswith("sizer.report"), f"{name} imports {imported}"


def test_no_module_has_the_name_of_a_public_function():
    """Importing `sizer/search.py` would replace the function `sizer.search`."""
    public = set(sizer.__all__) | {"advise", "calibrate", "search", "validate", "watch"}
    modules = {name.split(".")[1] for name in sources() if name.count(".") >= 1}
    assert not public & modules


def test_every_package_is_listed_for_the_build():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    present = {name if path.name == "__init__.py" else name.rpartition(".")[0] for name, path in sources().items()}
    assert listed == present


def test_importing_sizer_loads_nothing_heavy():
    script = "import sizer, sys; print(sorted({'torch', 'pandas', 'numpy', 'rich', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_subpackages_are_there_without_importing_them():
    script = "import sizer; print(sizer.models.Topology.__name__, len(sizer.profiles.names()) > 20)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Topology True"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sizer.nothing


def test_data_files_are_installed():
    assert files("sizer.profiles").joinpath("nvidia-h200.json").is_file()
    assert files("sizer.schemas").joinpath("recommendation-1.json").is_file()
    assert files("sizer").joinpath("py.typed").is_file()
