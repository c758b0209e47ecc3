"""Finished runs as tables: an axis for each setting, the seeds last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.training.grid import SEED, Axes, points, say
from bnlab.training.plan import Training
from bnlab.training.results import Result
from bnlab.training.table import Row, Table

STATE = "state."


@dataclass(frozen=True, eq=False, repr=False)
class Runs:
    """What `sweep` returned.

    Attributes:
        axes: The values along each axis, in order, the seeds last.
        results: What each run returned, flattened, the last axis fastest.
        run: What was run.
        fixed: Settings that `where` has chosen.

    Example:
        >>> from bnlab.training import sweep
        >>> def run(seed, power):
        ...     return {"value": (seed + 1.0) ** power, "series": [0.0] * power}
        >>> runs = sweep(run, {"power": [1, 2]}, seeds=3, progress=False, cache=None)
        >>> runs
        Runs(2 power × 3 seed: series, value)
        >>> runs["value"]
        tensor([[1., 2., 3.],
                [1., 4., 9.]], dtype=torch.float64)
        >>> runs.where(power=2).mean("value")
        tensor(4.6667, dtype=torch.float64)
        >>> runs["series"].shape
        torch.Size([2, 3, 2])
        >>> runs.table("value")
        power  value, mean ± std of 3 seeds
            1  2.00 ± 1.00
            2  4.67 ± 4.04
    """

    axes: Axes
    results: list[Result]
    run: Callable[..., Any]
    fixed: dict[str, Any]

    def __repr__(self) -> str:
        sizes = " × ".join(f"{len(values)} {name}" for name, values in self.axes.items())
        return f"Runs({sizes or 'one'}: {', '.join(self.names)})"

    @property
    def names(self) -> list[str]:
        """What can be asked for, without the weights."""
        found = {name for result in self.results for name in result}
        return sorted(name for name in found if not name.startswith(STATE))

    def __getitem__(self, name: str) -> Tensor:
        """Return one result of all runs.

        Series of runs that ended early are filled up with nan. Of a text it is whether there is
        any: `runs["stopped"]` are the runs that have stopped for a reason.

        Shape:
            - output: the length of each axis, then the result's own shape

        Raises:
            KeyError: No run, or not every run, returned anything of this name.
        """
        values = [result.get(name) for result in self.results]
        found = [torch.tensor(bool(v)) if isinstance(v, str) else v for v in values]
        tensors = [value for value in found if value is not None]
        if len(tensors) < len(found) or len({tensor.dim() for tensor in tensors}) > 1:
            raise KeyError(
                f"no {name!r} of one kind in all runs: there are {', '.join(self.names)}"
            )
        table = _padded(tensors)
        return table.view([len(values) for values in self.axes.values()] + list(table.shape[1:]))

    def where(self, **settings: Any) -> Runs:
        """Return the runs with these settings, without their axes.

        Raises:
            ValueError: There is no such axis, or no run with that value.
        """
        for name, value in settings.items():
            if name not in self.axes:
                raise ValueError(f"no axis {name!r}: there are {', '.join(self.axes) or 'none'}")
            if value not in self.axes[name]:
                raise ValueError(f"no run has {name}={value!r}: there are {self.axes[name]}")
        chosen = [
            result
            for point, result in zip(points(self.axes), self.results, strict=True)
            if all(point[name] == value for name, value in settings.items())
        ]
        axes = {name: values for name, values in self.axes.items() if name not in settings}
        return Runs(axes, chosen, self.run, self.fixed | settings)

    def mean(self, name: str) -> Tensor:
        """Return the mean over the seeds; nan where a run had ended.

        Shape:
            - output: as `runs[name]`, without the dimension of the seeds
        """
        return self[name].double().mean(self._seed_dimension())

    def std(self, name: str) -> Tensor:
        """Return the unbiased standard deviation over the seeds; nan where a run had ended.

        Shape:
            - output: as `runs[name]`, without the dimension of the seeds
        """
        values, dimension = self[name].double(), self._seed_dimension()
        if values.shape[dimension] == 1:
            return torch.full_like(values.select(dimension, 0), torch.nan)
        return values.std(dimension)

    def table(self, name: str, *, percent: bool = False, digits: int = 2) -> Table:
        """Return mean ± spread over the seeds, a row for each setting.

        Args:
            name: Of a number, or of a series, whose last value counts: of a run that ended early,
                the last that it has.
            percent: Whether shares are shown as such.
            digits: Decimals.

        Raises:
            ValueError: The result is more than a series.
        """
        self._seed_dimension()
        rows: list[Row] = []
        settings = {axis: values for axis, values in self.axes.items() if axis != SEED}
        for point in points(settings):
            values = self.where(**point)[name].double()
            if values.dim() > 2:
                raise ValueError(
                    f"a run's {name!r} has shape {tuple(values.shape[1:])}: a table shows numbers "
                    "and the last values of series"
                )
            rows.append(Row(point, values if values.dim() == 1 else last(values)))
        return Table(name, rows, percent, digits)

    def model(self, **settings: Any) -> nn.Module:
        """Return the trained model of one run, in eval mode and float64.

        Raises:
            ValueError: The settings name more than one run, or no weights were kept.
        """
        chosen = self.where(**settings)
        if len(chosen.results) != 1:
            raise ValueError(f"{say(settings)} are {len(chosen.results)} runs: name every axis")
        (result,) = chosen.results
        state = {n.removeprefix(STATE): v for n, v in result.items() if n.startswith(STATE)}
        if not isinstance(self.run, Training) or not state:
            raise ValueError("the runs kept no weights: sweep over Training(..., keep=True)")
        point = chosen.fixed | {name: values[0] for name, values in chosen.axes.items()}
        seed = point.pop(SEED)
        model = self.run.given(point).model(seed)
        model.load_state_dict(state)
        return model.eval()

    def _seed_dimension(self) -> int:
        if SEED not in self.axes:
            raise ValueError("the seed is chosen already: nothing is left to average over")
        return list(self.axes).index(SEED)


def _padded(tensors: list[Tensor]) -> Tensor:
    shapes = {tensor.shape for tensor in tensors}
    if len(shapes) == 1:
        return torch.stack(tensors)
    largest = [max(sizes) for sizes in zip(*shapes, strict=True)]
    filled = torch.full((len(tensors), *largest), torch.nan, dtype=torch.float64)
    for row, tensor in zip(filled, tensors, strict=True):
        row[tuple(slice(size) for size in tensor.shape)] = tensor.double()
    return filled


def last(series: Tensor) -> Tensor:
    """Return the last number of each series: one that ended early is filled up with nan."""
    filled = series.flip(-1).isnan().logical_not().int().argmax(-1, keepdim=True)
    return series.gather(-1, series.shape[-1] - 1 - filled).squeeze(-1)
