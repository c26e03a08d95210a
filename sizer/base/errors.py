"""What can go wrong, one class for each decision a caller can take.

Each message is one line: what was given, what was expected, what to do. The exit code lives on the class and is used in
one place, the command line's entry point.
"""


class SizerError(Exception):
    """Something could not be done; the message names the remedy. Exit code 1."""

    exit_code = 1


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
