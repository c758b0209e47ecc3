"""What is in a file, told by its bytes and not by its name."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from bnlab.checkpoint import safetensors_file, torch_file
from bnlab.checkpoint.errors import CheckpointError

Format: TypeAlias = str
SAFETENSORS, TORCH = "safetensors", "torch"
FOREIGN = {
    b"\x89HDF": "HDF5, as Keras 2 writes it",
    b"\x93NUM": "a NumPy array",
    b"\x89PNG": "a picture",
    b"GGUF": "GGUF",
}
PICKLED = b"\x80"
ZIPPED = b"PK\x03\x04"


def read(
    path: str | os.PathLike[str],
    *,
    map_location: str | torch.device | None = None,
    verify: bool = True,
) -> dict[str, Tensor]:
    """Return the state dict that is in a file, running nothing that is in it.

    The tensors are mapped from the file and read when they are used; a later `save` to the same
    path does not change them.

    Args:
        path: Of a file by `save`, any other safetensors file, or a state dict by `torch.save`.
        map_location: The device; None is the CPU.
        verify: Whether the bytes are held against the digest, which reads them all.

    Raises:
        CheckpointError: The file cannot be read, is damaged, or would run code.

    Example:
        >>> import tempfile
        >>> from torch import nn
        >>> from bnlab import checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoint.save(f"{folder}/norm.safetensors", nn.BatchNorm1d(3))
        ...     list(checkpoint.read(f"{folder}/norm.safetensors"))
        ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
    """
    path = Path(path)
    return state_dict(path, read_all(path, tell_format(path), map_location, verify=verify))


def read_all(
    path: Path, format: Format, map_location: str | torch.device | None, *, verify: bool
) -> dict[str, Any]:
    """Return all that is in a file: "model", and where they were saved "optimizer" and so on.

    Raises:
        CheckpointError: As `read` raises it.
    """
    device = str(map_location or "cpu")
    if format == SAFETENSORS:
        return safetensors_file.read(path, device, verify=verify)
    return torch_file.read(path, device)


def state_dict(path: Path, contents: dict[str, Any]) -> dict[str, Tensor]:
    """Return the model's state dict.

    Raises:
        CheckpointError: There is none.
    """
    state = contents.get("model")
    if not isinstance(state, dict):
        raise CheckpointError(path, "there is no model's state dict in it")
    return state


def tell_format(path: Path) -> Format:
    """Return which kind of file it is.

    Raises:
        CheckpointError: It cannot be read, or is not a checkpoint.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # To open a pipe would be to wait for somebody who writes.
            what = "a folder" if path.is_dir() else "a device or a pipe"
            raise CheckpointError(path, f"it is {what}, not a file: name the file")
        with path.open("rb") as file:
            start = file.read(9)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise CheckpointError(path, f"it cannot be read: {why}") from error
    # Eight bytes of length, then JSON.
    if start[8:] == b"{":
        return SAFETENSORS
    if start.startswith((ZIPPED, PICKLED)):
        return TORCH
    kind = next((kind for magic, kind in FOREIGN.items() if start.startswith(magic)), "")
    what = "it is empty" if not start else f"it is {kind}" if kind else "it is no checkpoint"
    raise CheckpointError(
        path,
        f"{what}: bnlab reads safetensors and the state dicts of torch.save, whatever the name",
    )
