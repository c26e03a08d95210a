"""One measuring process at a time: two would time each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sizer.errors import MeasurementError
from sizer.files import data_folder, lock


@contextmanager
def only_one() -> Iterator[None]:
    """Hold the lock that every measuring command takes; the system lets go of it however the process ends.

    Raises MeasurementError when another process holds it, or its folder cannot be written.
    """
    folder = data_folder() / "measurements"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / "lock").open("a")
    except OSError as error:
        raise MeasurementError(
            f"{folder} cannot be written ({error.strerror}); set XDG_DATA_HOME to a folder that can"
        ) from None
    with stream:
        try:
            lock(stream)
        except OSError:
            raise MeasurementError("another calibration is running on this machine; wait for it to end") from None
        yield
