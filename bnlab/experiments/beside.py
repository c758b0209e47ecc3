"""The same measurement of two codes: one that is right, and the reader's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Beside:
    """What was measured of both.

    Attributes:
        right: Of the code that is right.
        yours: Of the other, in the same shape; NaN throughout if there is nothing to compare.
        trouble: Why there is nothing, in one sentence; else "".
    """

    right: Tensor
    yours: Tensor
    trouble: str = ""

    @property
    def same(self) -> bool:
        """Whether a picture of both can hardly tell them apart: to 1 % of the largest value."""
        if self.trouble or not self.yours.isfinite().all():
            return False
        gap = (self.right - self.yours).abs().max()
        return bool(gap <= 0.01 * self.right.abs().max().clamp(min=1e-2))


def beside(measure: Callable[..., Tensor], right: Any, yours: Any, *given: Any) -> Beside:
    """Measure two codes alike; one that fails is no reason to stop, but something to be said.

    Args:
        measure: Takes a code and what is given; the same call gives the same tensor.
        right: Measured first; its errors are raised.
        yours: Measured afterwards; its errors are told.
        given: Passed on.

    Example:
        >>> found = beside(lambda code: code(torch.tensor([4.0])), torch.sqrt, torch.log)
        >>> found.right, found.yours, found.same
        (tensor([2.]), tensor([1.3863]), False)
        >>> beside(lambda code: code(torch.ones(2)), torch.sqrt, torch.sum).trouble
        'Your code gives the shape (), not (2,).'
    """
    proper = measure(right, *given).detach().float()
    nothing = torch.full_like(proper, torch.nan)
    try:
        found = measure(yours, *given).detach().float()
    except Exception as error:  # whatever a reader's code may raise
        first = (str(error).strip() or "no more is said").splitlines()[0]
        return Beside(proper, nothing, f"Your code raises {type(error).__name__}: {first}")
    if found.shape != proper.shape:
        shapes = f"{tuple(found.shape)}, not {tuple(proper.shape)}"
        return Beside(proper, nothing, f"Your code gives the shape {shapes}.")
    return Beside(proper, found)
