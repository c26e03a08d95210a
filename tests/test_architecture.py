"""The structure that the rest relies on: imports point one way, packages are listed, names do not collide."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Container, Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files
from pathlib import Path

import pytest

import sizer
import sizer.method

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sizer"

#: From the ground up: a room imports rooms below it, and never one above. CONTRIBUTING.md says what is in each.
FLOORS = (
    *("base", "models", "method", "detection", "profiles", "meters", "operators", "calibration", "devices", "fleet"),
    *("inspection", "families", "script_runs", "tuning", "size_search", "study", "diagnosis", "report", "hook"),
    *("integrations", "cli", "__main__"),
)
#: Rooms without a floor: the public face, whose functions import what they need, the version, and data.
OPEN = {"", "_version", "schemas"}
#: Rooms of pure arithmetic: no file, clock, process, torch or print.
PURE = ("models.shapes", "models.topology", "method.")
PURE_IMPORTS = {
    "numpy",
    "difflib",
    "__future__",
    "collections",
    "dataclasses",
    "json",
    "math",
    "typing",
    "itertools",
    "functools",
}


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


def imports_of(tree: ast.AST, known: Container[str]) -> Iterator[str]:
    """Every module that a file imports, inside functions too, those under TYPE_CHECKING left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in submodules)
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield from imports_of(node, known)


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Module -> the modules that it imports."""
    modules = sources()
    return {
        name: set(imports_of(ast.parse(path.read_text(encoding="utf-8")), modules)) for name, path in modules.items()
    }


def room(module: str) -> str:
    return f"{module}.".split(".")[1]


def test_every_room_has_a_floor(graph):
    assert {room(name) for name in graph} <= {*FLOORS, *OPEN}


def test_imports_point_down(graph):
    for name, imported in graph.items():
        if room(name) in OPEN:
            continue
        for other in imported & graph.keys():
            if room(other) not in OPEN:
                assert FLOORS.index(room(other)) <= FLOORS.index(room(name)), f"{name} imports {other}, which is above"


def test_no_import_comes_back_to_where_it_started(graph):
    inside = {name: imported & graph.keys() - {"sizer"} for name, imported in graph.items() if name != "sizer"}
    try:
        TopologicalSorter(inside).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_method_is_pure(graph):
    pure = {name for name in graph if name.removeprefix("sizer.").startswith(PURE)}
    # `Topology.build`, `Topology.of_module` and a candidate's training import torch's modules when they are called.
    allowed = pure | {"sizer", "sizer.models", "sizer.base.errors", "sizer.base.records", "sizer.base.units"}
    allowed |= {"sizer.models.modules", "sizer.models.reading", "sizer.models.training"}
    for name in pure:
        for imported in graph[name]:
            assert imported in allowed or imported.partition(".")[0] in PURE_IMPORTS, f"{name} imports {imported}"


def test_the_method_is_read_in_one_order_in_the_code_and_in_its_documentation():
    modules = {path.stem for path in (PACKAGE / "method").glob("*.py")} - {"__init__"}
    listed = re.findall(r"^\d+\. `(\w+)`", sizer.method.__doc__, re.MULTILINE)
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "method.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == headings
    assert set(listed) == modules


def test_there_are_few_enough_modules_to_know_them_all():
    assert sum(path.name != "__init__.py" for path in sources().values()) <= 330


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
