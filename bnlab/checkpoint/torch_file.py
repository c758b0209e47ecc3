"""State dicts that others wrote with `torch.save`, read without running what is in them."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bnlab.checkpoint.errors import CheckpointError

MODELS = ("model", "state_dict", "model_state_dict")
OTHERS = {
    "optimizer": ("optimizer", "optimizer_state_dict"),
    "scheduler": ("scheduler", "scheduler_state_dict", "lr_scheduler"),
    "epoch": ("epoch",),
    "step": ("step", "global_step"),
}
WAY_OUT = (
    "Where it was made, and only if you trust it, take it over once: "
    "`checkpoint.save(new_path, torch.load(path, weights_only=False))`. "
    "Then build the model from its class, and load the new file into it"
)


def read(path: Path, device: str) -> dict[str, Any]:
    """Return a state dict as "model", and what a bundle holds beside it.

    Raises:
        CheckpointError: It holds other things than tensors and plain values, or is damaged.
    """
    zipped = _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Given a path, torch goes by the extension; given a file, it cannot map it.
            if path.suffix == ".safetensors":
                with path.open("rb") as file:
                    found = torch.load(file, map_location=device, weights_only=True)
            else:
                found = torch.load(path, map_location=device, weights_only=True, mmap=zipped)
    except Exception as error:
        raise CheckpointError(path, _explain(path, error, zipped)) from error
    return _sort(path, found)


def _check_archive(path: Path) -> bool:
    """Return whether it is an archive, which is then one of torch.save."""
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            names = [Path(name).name for name in archive.namelist()]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise CheckpointError(path, f"it is a damaged archive: {error}") from error
    if "constants.pkl" in names:
        raise CheckpointError(
            path,
            "it is TorchScript, a program and not a state dict. Where it was made, save the state "
            "dict of the model instead",
        )
    if "data.pkl" not in names:
        raise CheckpointError(path, "it is a zip archive, but not one that torch.save makes")
    return True


def _explain(path: Path, error: Exception, zipped: bool) -> str:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "weights_only" not in str(error) and "Unsupported" not in str(error):
        return f"it is damaged, or no file of torch.save: {said}"
    wanted: list[str] = []
    if zipped:
        try:
            wanted = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        except Exception:
            wanted = []
    calls = f" calls {', '.join(sorted(wanted)[:4])}" if wanted else " calls code by name"
    return (
        f"it is a pickle that{calls} when it is loaded, such as a whole model does, or an attack: "
        f"nothing of it was run. {WAY_OUT}"
    )


def _sort(path: Path, found: Any) -> dict[str, Any]:
    """Find the state dict: the file itself, or one entry of it under a usual name."""
    if isinstance(found, dict):
        if found and _is_state_dict(found):
            return {"model": dict(found)}
        for name in MODELS:
            if _is_state_dict(found.get(name)):
                others = {
                    part: found[name]
                    for part, names in OTHERS.items()
                    for name in names
                    if name in found
                }
                return {"model": dict(found[name]), **others}
        if not found:
            return {"model": {}}
    kind = type(found).__name__
    keys = f" with the keys {', '.join(map(str, list(found)[:8]))}" if kind == "dict" else ""
    raise CheckpointError(
        path,
        f"it holds a {kind}{keys}, and no state dict: neither itself nor under "
        f"{', '.join(MODELS)}. Save `model.state_dict()`",
    )


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and (isinstance(part, Tensor) or key.endswith("_extra_state"))
        for key, part in value.items()
    )
