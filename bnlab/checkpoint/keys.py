"""Hold the keys of a file against those of a model, and say what differs and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from bnlab.checkpoint.errors import CheckpointError, name_some

WRAPPERS = {"module.": "DataParallel", "_orig_mod.": "torch.compile"}
STATISTICS = ("running_mean", "running_var")
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Allowed:
    """What may differ.

    Attributes:
        missing: Patterns of keys that the file may lack.
        unexpected: Patterns of keys that the model may lack.
        cast: Whether dtypes may differ.
    """

    missing: Sequence[str] = ()
    unexpected: Sequence[str] = ()
    cast: bool = False


def strip(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state dict without the prefixes that all its keys share by being wrapped.

    Example:
        >>> strip({"module._orig_mod.weight": 1, "module._orig_mod.bias": 2})
        {'weight': 1, 'bias': 2}
    """
    while prefix := _wrapper(state):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return dict(state)


def check(
    path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any], allowed: Allowed
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the keys that are missing and unexpected, all of them allowed.

    Raises:
        CheckpointError: Something else differs: all of it is in the message.
    """
    missing = [key for key in wanted if key not in found]
    unexpected = [key for key in found if key not in wanted]
    if wrapped := _tell_wrapper(found, wanted):
        raise CheckpointError(path, wrapped, missing + unexpected)
    bad_missing = [key for key in missing if not _any(key, allowed.missing)]
    bad_unexpected = [key for key in unexpected if not _any(key, allowed.unexpected)]
    both = [key for key in wanted if key in found and isinstance(wanted[key], Tensor)]
    lazy = [key for key in both if is_lazy(wanted[key])]
    strange = [key for key in both if not isinstance(found[key], Tensor)]
    both = [key for key in both if key not in lazy and key not in strange]
    shapes = [key for key in both if found[key].shape != wanted[key].shape]
    dtypes = [key for key in both if found[key].dtype != wanted[key].dtype and not allowed.cast]
    problems = [
        *_say_missing(bad_missing),
        *_say_unexpected(bad_unexpected),
        *_say([_sizes(key, found[key], wanted[key]) for key in shapes], OTHER_SHAPE),
        *_say_dtypes({key: (found[key].dtype, wanted[key].dtype) for key in dtypes}),
        *_say(lazy, "not yet made in the model: {}; run a batch through it first"),
        *_say(strange, "no tensors in the file: {}; save `model.state_dict()` once more"),
    ]
    if problems:
        raise CheckpointError(
            path,
            "it does not fit the model, which is as it was:\n- " + "\n- ".join(problems),
            [*bad_missing, *bad_unexpected, *shapes, *dtypes, *lazy, *strange],
        )
    return tuple(missing), tuple(unexpected)


OTHER_SHAPE = "of another shape: {}; build the model with the settings that it was saved with"
CAST = "take the model there, as by model.half(), or pass cast=True to convert the values"
NO_STATISTICS = (
    "running statistics missing in the file: {}; eval mode would normalise with the model's own, "
    "mean 0 and variance 1 in a new one, and answer wrongly: save `model.state_dict()`, not the "
    "parameters alone, or pass allow_missing=('*running_*',) and let the model see batches in "
    "train mode before it answers"
)
NO_COUNTERS = (
    "counters missing in the file: {}; only a layer with momentum=None computes with them: pass "
    "allow_missing=('*num_batches_tracked',) and it keeps its own, 0 in a new one"
)
NOT_KEPT = (
    "running statistics that the model does not keep: {}; build it with the norm that was saved, "
    "and with track_running_stats=True"
)


def _say_missing(keys: Sequence[str]) -> list[str]:
    statistics = [key for key in keys if _last(key) in STATISTICS]
    counters = [key for key in keys if _last(key) == COUNTER]
    others = [key for key in keys if key not in statistics and key not in counters]
    return [
        *_say(others, f"missing in the file: {{}}; {_advice('missing', others)}"),
        *_say(statistics, NO_STATISTICS),
        *_say(counters, NO_COUNTERS),
    ]


def _say_unexpected(keys: Sequence[str]) -> list[str]:
    statistics = [key for key in keys if _last(key) in (*STATISTICS, COUNTER)]
    others = [key for key in keys if key not in statistics]
    return [
        *_say(others, f"unknown to the model: {{}}; {_advice('unexpected', others)}"),
        *_say(statistics, NOT_KEPT),
    ]


def _say_dtypes(pairs: Mapping[str, tuple[torch.dtype, torch.dtype]]) -> list[str]:
    return [
        f"{there} in the file and {here} in the model: "
        f"{name_some(key for key, pair in pairs.items() if pair == (there, here))}; {CAST}"
        for there, here in dict.fromkeys(pairs.values())
    ]


def _say(things: Sequence[str], problem: str) -> list[str]:
    return [problem.replace("{}", name_some(things))] if things else []


def _advice(kind: str, keys: Sequence[str]) -> str:
    return f"build the model that was saved, or pass allow_{kind}={tuple(keys[:1])}" if keys else ""


def _sizes(key: str, found: Tensor, wanted: Tensor) -> str:
    return f"{key} is {tuple(found.shape)} in the file and {tuple(wanted.shape)} in the model"


def _wrapper(state: Mapping[str, Any]) -> str:
    """The prefix of a wrapper that all keys have."""
    return next((p for p in WRAPPERS if state and all(key.startswith(p) for key in state)), "")


def _tell_wrapper(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say if the one is wrapped and the other not."""
    for one, other, advice in (
        (found, wanted, "pass strip_prefix=True"),
        (wanted, found, "load into the model inside, `model.module` or `model._orig_mod`"),
    ):
        prefix = _wrapper(one)
        if prefix and not _wrapper(other) and set(strip(one)) & set(other):
            whose = "its keys" if one is found else "the model's keys"
            return f"{whose} all begin with {prefix!r}, as {WRAPPERS[prefix]} makes them: {advice}"
    return ""


def _any(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _last(key: str) -> str:
    return key.rpartition(".")[2]
