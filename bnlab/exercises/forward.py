"""The forward pass: normalise a batch by its own mean and variance."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from bnlab.exercises import inputs, steps
from bnlab.exercises.asking import Answers, Exercise, Question, as_tensor, mistakes
from bnlab.exercises.catalogue import CATALOGUE
from bnlab.exercises.judging import judge
from bnlab.exercises.verdict import Verdict

Forward = Callable[[Tensor, Tensor, Tensor, float], Tensor]
CALL = "fn(x, weight, bias, eps)"


def check_forward(fn: Forward) -> Verdict:
    r"""Check a function that normalises a batch, channel by channel.

    .. math::
        y = \gamma \frac{x - \mu_C}{\sqrt{\sigma_C^2 + \epsilon}} + \beta

    Args:
        fn: `fn(x, weight, bias, eps)`, which returns :math:`y`. Only its values are checked, so it
            may leave torch on the way.

    Shape:
        - x and the result: :math:`(N, C)` or :math:`(N, C, *)`
        - weight, bias: :math:`(C)`

    Example:
        >>> def normalise(x, weight, bias, eps):
        ...     mean, var = x.mean(0), x.var(0, correction=0)
        ...     return (x - mean) / (var.sqrt() + eps) * weight + bias
        >>> check_forward(normalise).mistakes[0]
        'eps-outside-root'

    Ioffe & Szegedy, "Batch Normalization" (2015), algorithm 1: https://arxiv.org/abs/1502.03167
    """
    return judge(exercise, fn)


def _output(fn: Forward, x: Tensor, eps: float = inputs.EPS) -> Tensor:
    c = x.shape[1]
    weight, bias = inputs.gamma(c).to(x), inputs.beta(c).to(x)
    return as_tensor(fn(x, weight, bias, eps), x)


def _values(fn: Forward, make: Callable[[], Tensor]) -> Answers:
    return {"": _output(fn, make())}


def _plain(fn: Forward) -> Answers:
    x = inputs.column()
    return {"": as_tensor(fn(x, torch.ones(1), torch.zeros(1), inputs.EPS), x)}


def _small_eps(fn: Forward) -> Answers:
    return {"": _output(fn, inputs.images(seed=1), 0.01)}


def _far(fn: Forward) -> Answers:
    x = inputs.sixteenths()
    near, far = (_output(fn, x + shift) for shift in (0.0, inputs.FAR))
    return {"as without the shift": bool(((near - far).abs() < 0.2).all())}


def _other_dimensions(fn: Forward, dim: int) -> Answers:
    images = inputs.images()
    y = _output(fn, inputs.in_dimensions(images, dim))
    return {"": inputs.back_to_images(y, images)}


def _leaves_alone(fn: Forward) -> Answers:
    x = inputs.cube()
    _output(fn, x)
    return {"x afterwards is as before": torch.equal(x, inputs.cube())}


def _doubles(fn: Forward) -> Answers:
    x = inputs.cube().double()
    # Too far away for float32 to tell the values apart, on the way or at the end.
    near, far = (_output(fn, x + shift) for shift in (0.0, 2.0**25))
    return {"as without the shift": bool(((near - far).abs() < 0.2).all())}


@functools.cache
def exercise() -> Exercise:
    """Questions, solution and mistakes of the forward pass."""

    def given(x: Tensor) -> dict[str, object]:
        c = x.shape[1]
        return {"x": x, "weight": inputs.gamma(c), "bias": inputs.beta(c), "eps": inputs.EPS}

    def values(make: Callable[[], Tensor]) -> Question:
        return Question(CALL, partial(_values, make=make), given(make()))

    def dimensions(dim: int) -> Question:
        x = inputs.in_dimensions(inputs.images(), dim)
        return Question(CALL, partial(_other_dimensions, dim=dim), given(x))

    ones = {"x": inputs.column(), "weight": [1], "bias": [0], "eps": inputs.EPS}
    small_eps = given(inputs.images()) | {"eps": 0.01}
    far = f"fn(x + {inputs.FAR:.0f}, weight, bias, eps)"
    return Exercise(
        "forward",
        (
            Question(CALL, _plain, ones),
            values(inputs.two_channels),
            values(inputs.cube),
            values(inputs.images),
            Question(CALL, _small_eps, small_eps),
            Question(far, _far, given(inputs.sixteenths())),
            *map(dimensions, (2, 3, 5)),
            Question(CALL, _leaves_alone, given(inputs.cube())),
            Question("fn(x.double() + 2**25, weight, bias, eps)", _doubles, given(inputs.cube())),
        ),
        lambda way: partial(steps.forward, way=way),
        mistakes(CATALOGUE, *MISTAKES),
    )


MISTAKES = (
    *steps.NORMALISING,
    *steps.AFFINE,
    *steps.AXES,
    *steps.DIMENSIONS,
    "input-changed",
    "dtype-changed",
)
