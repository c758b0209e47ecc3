"""What every explorer is: controls, a result computed from them, a picture of the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from matplotlib.figure import Figure

from bnlab.apps.controls import Control, Value
from bnlab.plots.layers import Artists, LayeredFigure, new_figure, styled
from bnlab.training.tasks import one_thread

Result = TypeVar("Result")


class Explorer(ABC, Generic[Result]):
    """A picture that is a pure function of a few controls.

    A subclass names its `title`, `size` (inches) and `controls`, and writes three methods:
    `compute` (values to result, calling the package), `draw` (result to artists, calling
    `bnlab.plots`) and `describe` (result to one sentence: caption and alternative text).

    Args:
        **start: values to start from in place of the controls' own.

    Raises:
        ValueError: a name that is no control, or a value that a control does not offer.
    """

    title: ClassVar[str]
    size: ClassVar[tuple[float, float]] = (8.6, 3.6)
    controls: tuple[Control, ...]

    def __init__(self, **start: Value) -> None:
        self.start = self.check({c.name: c.value for c in self.controls} | start)

    @abstractmethod
    def compute(self, *args: Any, **values: Any) -> Result:
        """The result for these control values, passed by name: same values, same result."""

    @abstractmethod
    def draw(self, figure: Figure, result: Result) -> Artists[Result]:
        """Make the artists, once."""

    @abstractmethod
    def describe(self, result: Result) -> str:
        """One sentence that says what the picture shows, with its numbers."""

    def check(self, values: dict[str, Value]) -> dict[str, Value]:
        """`values`, if every one is a control's; else an error that lists what there is."""
        offered = {control.name: list(control.values) for control in self.controls}
        for name, value in values.items():
            if name not in offered:
                raise ValueError(f"no control is called {name!r}; there are {list(offered)}")
            if value not in offered[name]:
                raise ValueError(f"{name} cannot be {value!r}; choose one of {offered[name]}")
        return values

    def show(self, **values: Value) -> Result:
        """Bring the picture to these values (the others as at the start) and return the result."""
        with one_thread():
            result = self.compute(**self.check(self.start | values))
        self.artists.update(result)
        return result

    @cached_property
    def _drawn(self) -> tuple[LayeredFigure, Artists[Result]]:
        with one_thread():
            result = self.compute(**self.start)
        with styled():
            figure = new_figure(self.size)
            artists = self.draw(figure, result)
        layers = LayeredFigure(figure)
        # A first update marks what moves, so that the first move of a slider is no slower.
        artists.update(result)
        return layers, artists

    @property
    def layers(self) -> LayeredFigure:
        """The picture's still and moving layers."""
        return self._drawn[0]

    @property
    def artists(self) -> Artists[Result]:
        """What `draw` returned; tests look here."""
        return self._drawn[1]

    @property
    def figure(self) -> Figure:
        """The matplotlib figure."""
        return self.layers.figure
