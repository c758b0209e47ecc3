"""What a run returned, as plain tensors and text under one name each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

Result = dict[str, Tensor | str]


def tidy(result: Any) -> Result:
    """Flatten a dataclass or mapping; the values of a nested one are named `ratios.linear1`.

    Numbers and lists of them become tensors (float64, where they are fractions), None is left out.

    Raises:
        TypeError: There is a value that is no number, no text and no tensor.

    Example:
        >>> tidy({"loss": [2.0, 1.0], "stopped": "", "by": {"layer": 3}})
        {'loss': tensor([2., 1.], dtype=torch.float64), 'stopped': '', 'by.layer': tensor(3)}
    """
    if not isinstance(result, Mapping) and not is_dataclass(result):
        raise TypeError(
            f"a run returned a {type(result).__name__}: return a dataclass or a mapping of "
            "numbers, lists of numbers and tensors, such as {'accuracy': 0.9}"
        )
    return dict(_flatten(result, ""))


def _flatten(value: Any, name: str) -> Iterator[tuple[str, Tensor | str]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flatten(part, f"{name}.{key}" if name else str(key))
    elif is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        yield from _flatten(parts, name)
    elif isinstance(value, str):
        yield name, value
    elif value is not None:
        yield name, _tensor(value, name)


def _tensor(value: Any, name: str) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, (list, tuple)) and any(isinstance(part, Tensor) for part in value):
        value = [part.tolist() if isinstance(part, Tensor) else part for part in value]
    try:
        tensor = torch.as_tensor(value)
        # Python's fractions are float64, whatever torch's default is; an empty list has none.
        if not hasattr(value, "dtype") and tensor.is_floating_point():
            tensor = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"a run returned {name} = {value!r:.60}: return numbers, lists of numbers of one "
            "length each, tensors or text"
        ) from error
    return tensor
