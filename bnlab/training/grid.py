"""The settings of a sweep, checked before the first run."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Axes = dict[str, tuple[Any, ...]]
SEED = "seed"


def make_axes(grid: Mapping[str, Iterable[Any]], seeds: int | Sequence[int]) -> Axes:
    """Return the values along each axis, the seeds last.

    Raises:
        ValueError: The grid, an axis or the seeds are empty, a value comes twice or is not plain.

    Example:
        >>> make_axes({"norm": ["none", "batch"]}, seeds=3)
        {'norm': ('none', 'batch'), 'seed': (0, 1, 2)}
    """
    if not grid:
        raise ValueError(
            "the grid is empty: name at least one setting and its values, as in {'lr': [0.1, 1.0]}"
        )
    if SEED in grid:
        raise ValueError("'seed' is an axis of its own: take it out of the grid, use seeds=...")
    axes: Axes = {}
    for name, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ValueError(
                f"the values of {name!r} are {values!r}: give a list, also of one: [{values!r}]"
            )
        axes[name] = tuple(values)
    if isinstance(seeds, int):
        seeds = range(seeds)
    axes[SEED] = tuple(seeds)
    if not axes[SEED]:
        raise ValueError("there is no seed: give a number of at least 1, or the seeds themselves")
    for name, values in axes.items():
        if not values:
            raise ValueError(f"the axis {name!r} has no values: give it at least one, or drop it")
        for value in values:
            if not _is_plain(value):
                raise ValueError(
                    f"{name} = {value!r:.60} is a {type(value).__name__}: the values of a grid are "
                    "plain: text, numbers, True, False, None and tuples of them; "
                    "use a name, and let the run look it up"
                )
        if len(set(values)) < len(values):
            raise ValueError(f"the axis {name!r} names a value twice: {list(values)}")
    if not all(type(seed) is int for seed in axes[SEED]):
        raise ValueError(f"seeds are whole numbers, but here {list(axes[SEED])}")
    return axes


def points(axes: Axes) -> list[dict[str, Any]]:
    """Return every combination of settings and seed, the last axis fastest."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def say(point: Mapping[str, Any]) -> str:
    """Return settings as a reader would write them: norm='batch', lr=0.1."""
    return ", ".join(f"{name}={value!r}" for name, value in point.items())


def check_takes(run: Callable[..., Any], names: Iterable[str]) -> None:
    """Refuse a run that cannot be called with these settings.

    Raises:
        ValueError: It has no parameter of a name, or one that no setting fills.
    """
    signature = inspect.signature(run)
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as error:
        raise ValueError(
            f"the run is called with {', '.join(names)}, and takes {signature}: {error}"
        ) from None


def _is_plain(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, bool, int, float)
