"""Tests at both ends of what pyproject.toml allows: `nox -s oldest`, `nox -s newest`.

Documentation: `nox -s docs`. Mutants of the code, and which of them no test kills: `nox -s mutation`.

The oldest torch comes with CUDA on most registries, gigabytes of it: name a folder with a build for CPUs in
PIP_FIND_LINKS and UV_FIND_LINKS where there is one.
"""

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["newest"]
FAST = ("pytest", "-q", "-m", "not slow and not framework and not gpu")


@nox.session(python="3.10", venv_backend="uv")
def oldest(session: nox.Session) -> None:
    """Python 3.10 with the oldest release of every dependency, fast tests."""
    session.install("--resolution", "lowest-direct", "-e", ".[test]")
    session.run(*FAST, *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13"])
def newest(session: nox.Session) -> None:
    """The newest release of every dependency, nothing pinned, fast tests."""
    session.install("--upgrade", "-e", ".[test]")
    session.run(*FAST, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, built strictly into build/site."""
    session.install("-c", "constraints.txt", "-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def mutation(session: nox.Session) -> None:
    """Mutants of the pure core, the meters and the readers: `nox -s mutation -- "sizer.method.cost*"` for some."""
    session.install("-c", "constraints.txt", "-e", ".[test]", "mutmut>=3.8,<4")
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")
