"""A result over seeds as a reader wants it: mean ± spread, a row for each setting."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Row:
    """One setting, and the value of each seed."""

    settings: dict[str, Any]
    values: Tensor

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return self.values.mean().item()

    @property
    def std(self) -> float:
        """Unbiased, over the seeds; nan for a single one."""
        return self.values.std().item() if len(self.values) > 1 else torch.nan


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Rows to look at as text, or as HTML in a notebook.

    Example:
        >>> Table("value", [Row({"lr": 0.1}, torch.tensor([0.5, 0.7]))], percent=True, digits=1)
         lr  value in %, mean ± std of 2 seeds
        0.1  60.0 ± 14.1
    """

    name: str
    rows: list[Row]
    percent: bool
    digits: int

    def __repr__(self) -> str:
        lines = [self._head(), *map(self._cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join([*(c.rjust(w) for c, w in zip(line, widths, strict=False))][:-1] + line[-1:])
            for line in lines
        )

    def _repr_html_(self) -> str:
        def line(cells: list[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(line(self._cells(row), "td") for row in self.rows)
        return f"<table><thead>{line(self._head(), 'th')}</thead><tbody>{body}</tbody></table>"

    def _head(self) -> list[str]:
        seeds = len(self.rows[0].values)
        over = f"mean ± std of {seeds} seeds" if seeds > 1 else "one seed"
        return [*self.rows[0].settings, f"{self.name}{' in %' * self.percent}, {over}"]

    def _cells(self, row: Row) -> list[str]:
        scale = 100 if self.percent else 1
        value = f"{scale * row.mean:.{self.digits}f}"
        if len(row.values) > 1:
            value += f" ± {scale * row.std:.{self.digits}f}"
        return [*(str(setting) for setting in row.settings.values()), value]
