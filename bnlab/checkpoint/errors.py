"""The one error of this package."""

from __future__ import annotations

import os
from collections.abc import Iterable

MOST = 8
"""Keys that a message names; the error has them all."""


class CheckpointError(Exception):
    """A file could not be written or read; the message names it, the keys and what to do.

    Args:
        path: Of the file.
        problem: What is wrong.
        keys: Of the state dict, if it is about some.
    """

    def __init__(
        self, path: str | os.PathLike[str], problem: str, keys: Iterable[str] = ()
    ) -> None:
        super().__init__(f"{os.fspath(path)}: {problem}")
        self.path = os.fspath(path)
        self.keys = tuple(keys)


def name_some(keys: Iterable[str]) -> str:
    """Say which keys, or which first few of many.

    Example:
        >>> name_some(["a", "b"])
        'a, b'
        >>> name_some(map(str, range(20)))
        '0, 1, 2, 3, 4, 5, 6, 7 and 12 more'
    """
    keys = list(keys)
    more = f" and {len(keys) - MOST} more" if len(keys) > MOST else ""
    return ", ".join(keys[:MOST]) + more
