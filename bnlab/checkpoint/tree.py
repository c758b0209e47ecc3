"""Nested values with tensors in them, as JSON with names of tensors in it, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

PLAIN = (str, int, float, bool, type(None))


class UnstorableError(TypeError):
    """A value that JSON and tensors cannot hold."""


def pack(value: Any, place: str, store: Callable[[str, Tensor], str]) -> Any:
    """Return what JSON can hold of a value, having stored its tensors.

    Args:
        value: Of numbers, text, None, tensors, lists, tuples and dicts.
        place: Its name, from which its tensors get theirs.
        store: Takes a name and a tensor, and returns the name under which it is kept.

    Raises:
        UnstorableError: There is something else in it; the message says where.

    Example:
        >>> pack({"lr": 0.1, "betas": (0.9, 0.99)}, "optimizer", lambda name, tensor: name)
        {'dict': [['lr', 0.1], ['betas', {'tuple': [0.9, 0.99]}]]}
    """
    if type(value) in PLAIN:
        return value
    if isinstance(value, Tensor):
        return {"tensor": store(place, value)}
    if isinstance(value, dict):
        kind = "counter" if isinstance(value, Counter) else "dict"
        return {
            kind: [
                [pack(key, f"a key of {place}", store), pack(part, _below(place, key), store)]
                for key, part in value.items()
            ]
        }
    if type(value) in (list, tuple, torch.Size):
        kind = "list" if type(value) is list else "tuple"
        return {kind: [pack(part, _below(place, i), store) for i, part in enumerate(value)]}
    raise UnstorableError(
        f"{place} is a {type(value).__name__}: a checkpoint holds tensors, numbers, text, None, "
        "and lists, tuples and dicts of these"
    )


def unpack(packed: Any, tensors: Mapping[str, Any]) -> Any:
    """Return the value again, with what there is for each tensor in its place.

    Raises:
        KeyError: It names a tensor that is not there.
        ValueError: It was not made by `pack`.
    """
    if type(packed) in PLAIN:
        return packed
    if not isinstance(packed, dict) or len(packed) != 1:
        raise ValueError("a part is neither plain nor of one known kind")
    ((kind, inner),) = packed.items()
    if kind == "tensor":
        return tensors[inner]
    if kind in ("dict", "counter"):
        pairs = {unpack(key, tensors): unpack(part, tensors) for key, part in inner}
        return Counter(pairs) if kind == "counter" else pairs
    if kind in ("list", "tuple"):
        parts = [unpack(part, tensors) for part in inner]
        return parts if kind == "list" else tuple(parts)
    raise ValueError(f"there is no kind {kind!r}")


def _below(place: str, key: object) -> str:
    return f"{place}.{key}" if place[-1:] not in ("", "/") else f"{place}{key}"
