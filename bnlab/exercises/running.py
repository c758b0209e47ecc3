"""The running update: move the running statistics by one batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bnlab.exercises import inputs, steps
from bnlab.exercises.asking import Answers, Exercise, Question, Way, as_tensor, mistakes, unpack
from bnlab.exercises.catalogue import CATALOGUE
from bnlab.exercises.judging import judge
from bnlab.exercises.verdict import Verdict

Update = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor] | None]
CALL = "fn(running_mean, running_var, x, momentum)"


def check_running_update(fn: Update) -> Verdict:
    r"""Check a function that moves both running statistics by one batch.

    .. math::
        \mu_r \leftarrow (1 - m)\, \mu_r + m\, \mu_C \qquad
        \sigma_r^2 \leftarrow (1 - m)\, \sigma_r^2 + m\, \tfrac{n}{n-1} \sigma_C^2

    Args:
        fn: `fn(running_mean, running_var, x, momentum)`, which returns the new two, or changes them
            in place and returns nothing.

    Shape:
        - x: :math:`(N, C)` or :math:`(N, C, *)`
        - running_mean, running_var: :math:`(C)`

    Example:
        >>> def update(running_mean, running_var, x, momentum):
        ...     cells = x.detach().movedim(1, 0).flatten(1)
        ...     mean, var = cells.mean(1), cells.var(1, correction=0)
        ...     return running_mean.lerp(mean, momentum), running_var.lerp(var, momentum)
        >>> check_running_update(update).mistakes
        ('biased-storing',)

    The `momentum` of https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
    """
    return judge(exercise, fn)


def _start(x: Tensor) -> tuple[Tensor, Tensor]:
    channels = torch.arange(x.shape[1]).to(x)
    return 10.0 + 2.0 * channels, 4.0 + channels


def _moved(fn: Update, x: Tensor, momentum: float) -> dict[str, Any]:
    """Both statistics afterwards, still on the graph if the learner's code left them there."""
    mean, var = _start(x.detach())
    result = fn(mean, var, x, momentum)
    if result is None and not all(map(torch.equal, (mean, var), _start(x.detach()))):
        result = mean, var
    return unpack(result, "running_mean", "running_var")


def _values(
    fn: Update, make: Callable[[], Tensor], momentum: float = inputs.MOMENTUM
) -> dict[str, Tensor]:
    x = make()
    like = _start(x)[0]
    return {name: as_tensor(t, like, name) for name, t in _moved(fn, x, momentum).items()}


def _far(fn: Update) -> Answers:
    near = _values(fn, inputs.sixteenths)
    far = _values(fn, lambda: inputs.sixteenths() + inputs.FAR)
    gap = (near["running_var"] - far["running_var"]).abs()
    return {"running_var as without the shift": bool((gap < 0.2).all())}


def _hangs_on_graph(fn: Update) -> Answers:
    x = inputs.two_channels().requires_grad_() * 1
    results = _moved(fn, x, inputs.MOMENTUM)
    return {f"{name}.requires_grad": t.requires_grad for name, t in results.items()}


def _leaves_alone(fn: Update) -> Answers:
    x = inputs.two_channels()
    _moved(fn, x, inputs.MOMENTUM)
    return {"x afterwards is as before": torch.equal(x, inputs.two_channels())}


@functools.cache
def exercise() -> Exercise:
    """Questions, solution and mistakes of the running update."""

    def given(x: Tensor) -> dict[str, object]:
        mean, var = _start(x)
        shown = {"running_mean": mean, "running_var": var, "x": x}
        return {**shown, "momentum": inputs.MOMENTUM}

    def values(make: Callable[[], Tensor]) -> Question:
        return Question(CALL, partial(_values, make=make), given(make()))

    def dimensions(dim: int) -> Callable[[], Tensor]:
        return lambda: inputs.in_dimensions(inputs.images(), dim)

    def double() -> Tensor:
        return pair.double()

    pair = inputs.two_channels()
    far = f"fn(running_mean, running_var, x + {inputs.FAR:.0f}, momentum)"
    return Exercise(
        "running update",
        (
            values(inputs.column),
            values(inputs.two_channels),
            values(inputs.square),
            values(inputs.images),
            Question(
                CALL,
                partial(_values, make=inputs.images, momentum=0.8),
                given(inputs.images()) | {"momentum": 0.8},
            ),
            Question(far, _far, given(inputs.sixteenths())),
            *(values(dimensions(dim)) for dim in (2, 3, 5)),
            Question(f"{CALL}, x.requires_grad", _hangs_on_graph, given(pair)),
            Question(CALL, _leaves_alone, given(pair)),
            Question(f"{CALL}, all of float64", partial(_values, make=double), given(double())),
        ),
        lambda way: partial(steps.move_both, eps=inputs.EPS, way=way),
        mistakes(CATALOGUE, *MISTAKES),
        Way(steps.AXES),
    )


MISTAKES = (
    *steps.MOVING,
    "no-update",
    "biased-storing",
    "samples-for-values",
    "factor-upside-down",
    "std-stored",
    "statistics-swapped",
    "shortcut-variance",
    "variance-around-running-mean",
    "running-not-detached",
    "running-mean-not-detached",
    "running-var-not-detached",
    "statistics-over-everything",
    "statistics-over-channels",
    "statistics-of-last-axis",
    "too-many-statistics",
    *steps.DIMENSIONS,
    "input-changed",
    "dtype-changed",
)
