"""Finished runs on disk: one file each, written whole or not at all, read without executing it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from bnlab.checkpoint import CheckpointError, safetensors_file
from bnlab.training.results import Result


class Cache:
    """Results by key, in a folder that may be deleted at any time.

    The files are checkpoints with a result in them: nothing in one can run, and damage shows.

    Args:
        folder: Where the files are; made with the first of them.

    Example:
        >>> import tempfile
        >>> import torch
        >>> cache = Cache(Path(tempfile.mkdtemp()))
        >>> cache.store("key", {"loss": torch.tensor([2.0, 1.0]), "stopped": ""})
        >>> cache.load("key")
        {'loss': tensor([2., 1.]), 'stopped': ''}
        >>> cache.load("another") is None
        True
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: str) -> Result | None:
        """Return a result; None if there is none, or if its file is damaged."""
        path = self._file(key)
        if not path.exists():
            return None
        try:
            result: Result = safetensors_file.read(path, "cpu", verify=True)["result"]
        except (CheckpointError, KeyError):
            # Whatever is wrong with the file, the run can be computed anew.
            return None
        return result

    def store(self, key: str, result: Result) -> None:
        """Keep a result; a folder that cannot be written to is a warning."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            safetensors_file.write(self._file(key), {"result": result})
        except (OSError, CheckpointError) as error:
            warnings.warn(
                f"finished runs cannot be kept in {self.folder} ({error}): name another folder by "
                "cache=... or by the variable BNLAB_CACHE",
                stacklevel=2,
            )

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.run"


def find_folder() -> Path:
    """`$BNLAB_CACHE`, else `bnlab` in the user's folder for caches."""
    if chosen := os.environ.get("BNLAB_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bnlab"
