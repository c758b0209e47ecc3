"""What a reader can turn: a slider over a row of values, a choice between a few words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Value = float | int | str


def plain(value: Value) -> str:
    """A number as people write it, a word as it is."""
    return value if isinstance(value, str) else f"{value:g}"


@dataclass(frozen=True)
class Control:
    """One named setting of an explorer and the values it can take.

    Args:
        name: the keyword under which `compute` receives the value.
        label: what the reader sees, also read out by screen readers.
        values: all values, in order.
        value: the one to start from, and to return to on reset.
        unit: printed after the value.
        text: how to print a value.
    """

    name: str
    label: str
    values: Sequence[Value]
    value: Value
    unit: str = ""
    text: Callable[[Value], str] = plain

    def __post_init__(self) -> None:
        if self.value not in self.values:
            raise ValueError(
                f"control {self.name!r} starts at {self.value!r}, which is not among its values "
                f"{list(self.values)}; choose one of them"
            )

    def readout(self, value: Value) -> str:
        """`value` with its unit."""
        return f"{self.text(value)} {self.unit}".strip()

    @property
    def kind(self) -> str:
        """`"slider"` or `"choice"`: how the control is shown."""
        return type(self).__name__.lower()


class Slider(Control):
    """A handle that moves along a row of values; arrow keys take one step."""


class Choice(Control):
    """A few words, of which one is chosen."""
