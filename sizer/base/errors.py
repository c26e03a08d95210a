"""What can go wrong, one class for each decision a caller can take.

Each message is one line: what was given, what was expected, what to do. The exit code lives on the class and is used in
one place, the command line's entry point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def did_you_mean(name: object, known: Iterable[str], most: int = 1) -> str:
    """``did you mean price? `` where a known name is near, else nothing; upper case and the kind of dash do not count.

    A name that is a part of known ones (``h100``) stands for those.
    """
    from difflib import get_close_matches  # only here: an error may take its time, a start may not

    plain = {_plain(each): each for each in known}
    asked = _plain(str(name)[:80])
    longer = [each for each in plain if len(asked) >= 3 and asked in each]
    close = get_close_matches(asked, plain, most, 0.6) or sorted(longer, key=len)[:most]
    return f"did you mean {' or '.join(plain[each] for each in close)}? " if close else ""


def one_of(name: object, known: Iterable[str]) -> str:
    """How a message goes on after the name of something unknown: the nearest name, and all that there are."""
    known = tuple(known)
    meant = did_you_mean(name, known)
    return f"{meant}{'E' if meant else 'e'}xpected one of {', '.join(known)}"


def listed(names: Iterable[object], most: int = 8, letters: int = 40) -> str:
    """Names of others with commas between them, the first ones, each cut: a message stays one that is read."""
    found = [str(name) for name in names]
    short = [name if len(name) <= letters else f"{name[: letters - 3]}..." for name in found[:most]]
    return ", ".join(short) + (f" and {len(found) - most} more" if len(found) > most else "")


def named_arguments(function: Function) -> Function:
    """Let a public function refuse what it does not take in one line, with the nearest name that it takes.

    The decorated function raises UsageError for an unknown keyword (unless it takes any), and for an argument without
    a name where it takes none.
    """
    code: Any = function.__code__
    count, takes_any = code.co_argcount, bool(code.co_flags & _TAKES_ANY)
    names = code.co_varnames[: count + code.co_kwonlyargcount]

    @wraps(function)
    def checked(*args: Any, **given: Any) -> Any:
        if len(args) > count:
            most = f"at most {count}" if count else "no"
            wanted = ", ".join(f"{name}=..." for name in names[count : count + 2])
            raise UsageError(
                f"{function.__name__} takes {most} arguments without a name, and {len(args)} are given; write {wanted}"
            )
        for name in () if takes_any else given:
            if name not in names:
                meant = did_you_mean(name, names)
                raise UsageError(
                    f"{function.__name__} has no option {name!r}; {meant}Its options are {', '.join(names)}"
                )
        return function(*args, **given)

    return checked  # type: ignore[return-value]


#: Flag of a code object with ``**keywords``.
_TAKES_ANY = 0x08


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-")


#: Letters of a message, and those kept of its end: what it quotes of somebody's file may be a line of a megabyte.
_MOST_LETTERS, _END_LETTERS = 1200, 300


class SizerError(Exception):
    """Something could not be done; the message names the remedy. Exit code 1."""

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        said = str(message)
        if len(said) > _MOST_LETTERS:
            gap = " ... "
            said = f"{said[: _MOST_LETTERS - _END_LETTERS - len(gap)]}{gap}{said[-_END_LETTERS:]}"
        super().__init__(said)


class UsageError(SizerError):
    """The request itself is wrong: a value out of range, an unknown name. Exit code 2."""

    exit_code = 2


class MachineError(SizerError):
    """The machine, or the sysroot given in its place, cannot be read."""


class ProfileError(SizerError):
    """A profile is missing, damaged, or of a format this version does not know."""


class UnreachableError(SizerError):
    """No network meets the request: the target is out of reach of the shape, or fits on no level of the device."""


class MeterError(SizerError):
    """An energy meter is not there, may not be read, or what it reads cannot be trusted."""


class MeasurementError(SizerError):
    """A measurement file cannot be written or read, or the machine cannot be measured now."""


class DataError(SizerError):
    """Data cannot be read, or there is nothing in it to learn from."""
