"""Put a file in the place of another in one step, so that a crash leaves the old one or the new."""

from __future__ import annotations

import glob
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".saving"
UNLOCKED = -1


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, in a folder beside `path`; the file then takes that one's place.

    It is on disk before it takes the place, and an error leaves everything as it was. What a crash
    left lying about is removed by the next call for the same path; what a save of another process
    is still writing is not.

    Raises:
        OSError: The folder or the disk takes no file.
    """
    # Through a link: the file that it points to is replaced, not the link.
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder")
    if target.exists() and not target.is_file():
        # To replace /dev/null, say, would harm the whole machine.
        raise OSError(f"{target} is a device or a pipe, not a file")
    _clear_up(target)
    with _folder_beside(target) as folder:
        temporary = folder / target.name
        temporary.touch()
        # What is written may come with other permissions than a new file has, or the old one.
        mode = (target if target.exists() else temporary).stat().st_mode
        yield temporary
        temporary.chmod(stat.S_IMODE(mode))
        _sync(temporary)
        temporary.replace(target)
    # The name, too, is on disk only after this.
    _sync(target.parent)


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """Make a folder, locked as a sign that somebody is at work in it, and remove it at the end."""
    while True:
        folder = Path(tempfile.mkdtemp(SUFFIX, _stem(target), target.parent))
        lock = _lock(folder)
        if lock is not None and folder.exists():
            break
        # Somebody cleared it up in the moment between the two.
        _let_go(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _let_go(lock)


def _clear_up(target: Path) -> None:
    for left in target.parent.glob(f"{glob.escape(_stem(target))}*{SUFFIX}"):
        lock = _lock(left)
        # Without locks nobody knows who is at work; Windows does not remove what somebody has open.
        if lock is not None and (lock != UNLOCKED or fcntl is None):
            shutil.rmtree(left, ignore_errors=True)
        _let_go(lock)


def _lock(folder: Path) -> int | None:
    """Return what holds the lock, which ends with the process; None if somebody else has it.

    UNLOCKED stands for a system that has no locks, or none for this folder.
    """
    if fcntl is None:
        return UNLOCKED
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        return None if isinstance(error, BlockingIOError) else UNLOCKED
    return descriptor


def _let_go(lock: int | None) -> None:
    if lock is not None and lock != UNLOCKED:
        os.close(lock)


def _stem(target: Path) -> str:
    # A name may have 255 bytes, and letters may have four.
    return f".{target.name[:50]}."


def _sync(path: Path) -> None:
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
