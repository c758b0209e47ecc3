"""Load a checkpoint: all of it, or nothing."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, nn
from torch.optim import Optimizer

from bnlab.checkpoint import generators as states
from bnlab.checkpoint.contents import Format, read_all, state_dict, tell_format
from bnlab.checkpoint.errors import CheckpointError
from bnlab.checkpoint.filling import fill, on_meta, share
from bnlab.checkpoint.keys import Allowed, check, strip


@dataclass(frozen=True)
class Loaded:
    """What came with the model.

    Attributes:
        path: Of the file.
        format: "safetensors" or "torch".
        epoch: As it was saved.
        step: As it was saved.
        config: As it was saved.
        missing: Keys of which the model kept its own values, since they were allowed to be missing.
        unexpected: Keys of the file that were allowed, and left out.
    """

    path: Path
    format: Format
    epoch: int | None
    step: int | None
    config: Any
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def load(
    path: str | os.PathLike[str],
    model: nn.Module,
    *,
    optimizer: Optimizer | None = None,
    scheduler: Any = None,
    generators: Mapping[str, Generator] | None = None,
    rng: bool = False,
    map_location: str | torch.device | None = None,
    strip_prefix: bool = False,
    cast: bool = False,
    allow_missing: Sequence[str] = (),
    allow_unexpected: Sequence[str] = (),
    verify: bool = True,
) -> Loaded:
    """Give a model, and what else is given, the values that are in a file.

    Nothing in the file is run, whatever its name. If anything is wrong, everything stays as it was.
    The model's mode stays in any case: call `eval()` before it answers.

    Args:
        path: Of a file by `save`, any other safetensors file, a state dict by `torch.save`, or a
            bundle with one under "state_dict", "model_state_dict" or "model".
        model: Of the same architecture. One on the meta device gets new parameters, so its
            optimizer is made afterwards.
        optimizer: Gets the state that was saved; of the same kind, over the same parameters.
        scheduler: As `optimizer`.
        generators: By the names under which they were saved.
        rng: Whether the global generators are set to where they stood.
        map_location: The device to which the file is read; None is the CPU. A model that has
            values stays where it is.
        strip_prefix: Whether the "module." of DataParallel and the "_orig_mod." of torch.compile
            are taken off the keys.
        cast: Whether values are converted if the model has another dtype.
        allow_missing: Patterns of keys that the file may lack, such as "*num_batches_tracked".
        allow_unexpected: Patterns of keys that the model may lack.
        verify: Whether the bytes are held against the digest.

    Raises:
        CheckpointError: The file cannot be read, is damaged, would run code, or does not fit.

    Example:
        >>> import tempfile
        >>> from bnlab import checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"weight": torch.ones(3)}, f"{folder}/short.pt")
        ...     try:
        ...         load(f"{folder}/short.pt", nn.BatchNorm1d(3, track_running_stats=False))
        ...     except checkpoint.CheckpointError as error:
        ...         error.keys
        ('bias',)
    """
    path = Path(path)
    kind = tell_format(path)
    contents = read_all(path, kind, map_location, verify=verify)
    state = state_dict(path, contents)
    if strip_prefix:
        state = strip(state)
    wanted = model.state_dict(keep_vars=True)
    state = share(state, wanted)
    allowed = Allowed(allow_missing, allow_unexpected, cast)
    missing, unexpected = check(path, state, wanted, allowed)
    with _all_or_nothing(path) as at_failure:
        if optimizer is not None:
            found = _part(path, contents, "optimizer")
            _check_optimizer(path, found, optimizer, wanted)
            at_failure(optimizer.load_state_dict, optimizer.state_dict())
            optimizer.load_state_dict(found)
        if scheduler is not None:
            found = _part(path, contents, "scheduler")
            before = copy.deepcopy(scheduler.state_dict())
            _check_scheduler(path, found, before)
            at_failure(scheduler.load_state_dict, before)
            scheduler.load_state_dict(found)
        if generators:
            at_failure(states.restore_own, generators, states.capture_own(generators))
            states.restore_own(generators, _part(path, contents, "generators"))
        if rng:
            at_failure(states.restore, states.capture())
            states.restore(_part(path, contents, "rng"))
        fill(model, {key: state[key] for key in wanted if key in state}, wanted)
    return Loaded(
        path,
        kind,
        contents.get("epoch"),
        contents.get("step"),
        contents.get("config"),
        missing,
        unexpected,
    )


@contextmanager
def _all_or_nothing(path: Path) -> Iterator[Callable[..., Any]]:
    """Take back what was done, the last first, if something fails."""
    with ExitStack() as back:
        try:
            yield back.callback
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(
                path, f"its state was not accepted, and everything is as it was: {error}"
            ) from error
        back.pop_all()


def _part(path: Path, contents: Mapping[str, Any], part: str) -> Any:
    if contents.get(part) is None:
        raise CheckpointError(
            path,
            f"no {part} was saved in it: leave {part}=... out here, or save with it",
        )
    # Its tensors are the file's; what goes on must be its own.
    return copy.deepcopy(contents[part])


def _check_optimizer(
    path: Path, found: Any, optimizer: Optimizer, wanted: Mapping[str, Any]
) -> None:
    if on_meta(wanted):
        raise CheckpointError(
            path,
            "a model on the meta device gets new parameters, which the optimizer would not have: "
            "load the model, make the optimizer, and load both",
        )
    try:
        groups = [set(group) for group in found["param_groups"]]
    except (KeyError, TypeError):
        raise CheckpointError(path, "what it has of an optimizer is no state dict of one") from None
    # Switches come with new versions of torch; what has a value tells the kind of optimizer.
    options = {k for k, v in optimizer.defaults.items() if not isinstance(v, bool | None)}
    lacking = sorted(options - groups[0]) if groups else []
    if lacking:
        raise CheckpointError(
            path,
            f"its optimizer has no {', '.join(lacking)}, as {type(optimizer).__name__} has: "
            "make the kind that was saved",
        )


def _check_scheduler(path: Path, found: Any, before: Mapping[str, Any]) -> None:
    own = {key for key in before if not key.startswith("_") and key != "verbose"}
    lacking = sorted(own - set(found)) if isinstance(found, dict) else sorted(own)
    if lacking:
        raise CheckpointError(
            path,
            f"its scheduler has no {', '.join(lacking)}, as the given one has: "
            "make the kind that was saved",
        )
