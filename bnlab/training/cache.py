"""Finished runs on disk: one file each, written whole or not at all, read without executing it."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zlib
from pathlib import Path

import torch

from bnlab.training.results import Result

LENGTH = 8


class Cache:
    """Results by key, in a folder that may be deleted at any time.

    A file is the length and the checksum of what follows, a JSON table of names, and the bytes of
    the tensors: nothing in it can run.

    Args:
        folder: Where the files are; made with the first of them.

    Example:
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
        try:
            return _read(self._file(key).read_bytes())
        except Exception:
            # Whatever is wrong with the file, the run can be computed anew.
            return None

    def store(self, key: str, result: Result) -> None:
        """Keep a result; a folder that cannot be written to is a warning."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Beside its place, so that the last step is a rename, which is all or nothing.
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_written(result))
                Path(name).replace(self._file(key))
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
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


def _written(result: Result) -> bytes:
    table: dict[str, str | list[object]] = {}
    parts: list[bytes] = []
    for name, value in result.items():
        if isinstance(value, str):
            table[name] = value
        else:
            table[name] = [str(value.dtype).removeprefix("torch."), list(value.shape)]
            parts.append(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    head = json.dumps(table).encode()
    body = b"".join([len(head).to_bytes(LENGTH), head, *parts])
    return b"".join([len(body).to_bytes(LENGTH), zlib.crc32(body).to_bytes(LENGTH), body])


def _read(content: bytes) -> Result:
    size, checksum = (int.from_bytes(content[at : at + LENGTH]) for at in (0, LENGTH))
    body = bytearray(content[2 * LENGTH :])
    if len(body) != size or zlib.crc32(body) != checksum:
        raise ValueError("the file is damaged")
    start = LENGTH + int.from_bytes(body[:LENGTH])
    result: Result = {}
    for name, value in json.loads(body[LENGTH:start]).items():
        if isinstance(value, str):
            result[name] = value
            continue
        dtype, shape = getattr(torch, value[0]), value[1]
        count = torch.Size(shape).numel()
        if count:
            flat = torch.frombuffer(body, dtype=dtype, count=count, offset=start)
        else:
            flat = torch.empty(0, dtype=dtype)
        # A copy, which a byte's own place in the file would not align.
        result[name] = flat.clone().view(shape)
        start += count * dtype.itemsize
    return result
