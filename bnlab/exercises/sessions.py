"""Questions to a layer: it is built, given batches in both modes, and looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.exercises import inputs
from bnlab.exercises.asking import Answers, Question, as_tensor
from bnlab.exercises.guard import Failure, NonsenseError, NotYetError, attempt

Build = Callable[..., Any]
STATISTICS = "running_mean", "running_var"


@dataclass(frozen=True)
class Sessions:
    """Ask a layer's class.

    Attributes:
        home: The number of dimensions of most inputs.
        also: Others that the layer takes.
    """

    home: int = 4
    also: tuple[int, ...] = (2, 3, 5)

    def modes(self) -> tuple[Question, ...]:
        """Ask what it does in train and in eval mode."""
        column, pair = self.small(inputs.column()), self.small(inputs.two_channels())
        settings = f"eps={inputs.EPS}, momentum={inputs.MOMENTUM}"
        one, two = f"layer = cls(1, {settings})", f"layer = cls(2, {settings})"
        return (
            Question(f"{one}; layer(x)", self.train, {"x": column}),
            Question(
                f"{two}; layer(x); layer.eval(); layer(z)",
                self.evaluate,
                {"x": pair, "z": self.small(inputs.other_channels())},
            ),
            Question(f"{one}; with torch.no_grad(): layer(x)", self.no_grad, {"x": column}),
            Question(f"{two}; layer(x); layer(x + 1)", self.twice, {"x": pair}),
            Question(f"{two}; layer(x)", self.graph, {"x": pair}),
            Question(
                f"{two}; layer(x); layer(x + {inputs.FAR:.0f})",
                self.far,
                {"x": self.large(inputs.sixteenths())},
            ),
            Question(f"{two}; layer(x)", self.alone, {"x": self.large(inputs.cube())}),
        )

    def small(self, x: Tensor) -> Tensor:
        """(N, C), in the form that the layer takes."""
        if 2 in (self.home, *self.also):
            return x
        return x.reshape(*x.shape, *[1] * (self.home - 2))

    def large(self, x: Tensor) -> Tensor:
        """(N, C, H, W), in the form that the layer takes."""
        return inputs.in_dimensions(x, self.home)

    def train(self, build: Build) -> Answers:
        x = self.small(inputs.column())
        layer = new(build, 1)
        return {"output": as_tensor(layer(x), self.small(inputs.column())), **statistics(layer, 1)}

    def evaluate(self, build: Build) -> Answers:
        layer = new(build, 2)
        layer(self.small(inputs.two_channels()))
        layer.eval()
        z = self.small(inputs.other_channels())
        output = as_tensor(layer(z), z)
        return {"output in eval mode": output, **statistics(layer, 2, " after eval mode")}

    def no_grad(self, build: Build) -> Answers:
        layer = new(build, 1)
        x = self.small(inputs.column())
        with torch.no_grad():
            output = as_tensor(layer(x), x)
        return {"output": output, **statistics(layer, 1)}

    def twice(self, build: Build) -> Answers:
        layer = new(build, 2)
        for shift in (0.0, 1.0):
            layer(self.small(inputs.two_channels()) + shift)
        return statistics(layer, 2)

    def graph(self, build: Build) -> Answers:
        layer, x = new(build, 2), self.small(inputs.two_channels()).requires_grad_()
        output = layer(x)
        kept = {
            f"layer.{name}.grad_fn is None": get(layer, name).grad_fn is None for name in STATISTICS
        }
        return {**kept, "a gradient reaches x": _reaches(output, x)}

    def far(self, build: Build) -> Answers:
        layer, x = new(build, 2), inputs.sixteenths()
        near = layer(self.large(x)).detach()
        shifted = layer(self.large(x + inputs.FAR)).detach()
        return {"output as without the shift": bool(((near - shifted).abs() < 0.2).all())}

    def alone(self, build: Build) -> Answers:
        x = self.large(inputs.cube())
        new(build, 2)(x)
        same = torch.equal(x, self.large(inputs.cube()))
        return {"x afterwards is as before": same}


def _reaches(output: object, x: Tensor) -> bool:
    """Whether an output hangs on an input."""
    if not isinstance(output, Tensor) or not output.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(output.sum(), x, allow_unused=True)
    return gradient is not None


def new(build: Build, channels: int, **settings: Any) -> Any:
    """Build a layer, with neither library's defaults."""
    settings = {"eps": inputs.EPS, "momentum": inputs.MOMENTUM, **settings}
    layer = build(channels, **settings)
    if layer is None or layer is ...:
        raise NotYetError
    if not isinstance(layer, nn.Module):
        raise NonsenseError(f"a {type(layer).__name__} was built: derive from torch.nn.Module")
    return layer


def get(layer: nn.Module, name: str) -> Any:
    """Return one of a layer's tensors.

    Raises:
        NonsenseError: There is none of that name.
    """
    value = getattr(layer, name, None)
    if not isinstance(value, Tensor):
        raise NonsenseError(f"layer.{name} is no tensor: keep it under torch's name, {name}")
    return value


def statistics(layer: nn.Module, channels: int, when: str = "") -> dict[str, Tensor]:
    """Both running statistics, as they are now."""
    like = torch.zeros(channels)
    return {f"{name}{when}": as_tensor(get(layer, name), like, name) for name in STATISTICS}


def taken_dimensions(build: Build) -> tuple[int, tuple[int, ...]]:
    """How many dimensions most questions to a layer should have, and which others it takes.

    A `ValueError` says that a layer was not made for an input, as torch's say it; any other error
    is one of the mistakes to ask for.
    """
    taken = []
    for dim in (4, 3, 5, 2):
        answer = _answer(build, dim)
        if isinstance(answer, Failure) and answer.kind == "hangs":
            break
        if not (isinstance(answer, Failure) and answer.error is ValueError):
            taken.append(dim)
    home, *also = taken or (4, 3, 5, 2)
    return home, tuple(also)


def simplest_dimension(build: Build) -> int:
    """The lowest number of dimensions of an input that a layer takes."""
    for dim in (2, 3, 4, 5):
        answer = _answer(build, dim)
        if not isinstance(answer, Failure):
            return dim
        if answer.kind == "hangs":
            break
    return 2


def _answer(build: Build, dim: int) -> Any:
    if not callable(build) or isinstance(build, nn.Module):
        return Failure("nonsense", "it is no class")
    x = inputs.in_dimensions(inputs.images(), dim)
    return attempt(lambda: new(build, 3)(x))
