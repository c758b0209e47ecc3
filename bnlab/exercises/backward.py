"""The backward pass: the gradients of the input, of gamma and of beta, by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from bnlab.exercises import inputs, steps
from bnlab.exercises.asking import Answers, Exercise, Question, as_tensor, mistakes, unpack
from bnlab.exercises.catalogue import CATALOGUE
from bnlab.exercises.judging import judge
from bnlab.exercises.verdict import Verdict

Backward = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor, Tensor]]
CALL = "fn(grad_output, x, weight, eps)"
NAMES = "gradient of x", "gradient of weight", "gradient of bias"


def check_backward(fn: Backward) -> Verdict:
    r"""Check a function that gives the gradients of batch normalisation.

    With :math:`g = \gamma\, \partial L / \partial y`:

    .. math::
        \frac{\partial L}{\partial x_i} = \frac{1}{\sqrt{\sigma^2 + \epsilon}} \Big(
            g_i - \frac{1}{n} \sum_j g_j - \hat{x}_i \frac{1}{n} \sum_j g_j \hat{x}_j \Big)

    Args:
        fn: `fn(grad_output, x, weight, eps)`, which returns the gradients of x, weight and bias.

    Shape:
        - grad_output, x and its gradient: :math:`(N, C)` or :math:`(N, C, *)`
        - weight and its gradient, that of the bias: :math:`(C)`

    Example:
        >>> def backward(grad_output, x, weight, eps):
        ...     return grad_output * weight, None, None
        >>> check_backward(backward)
        backward: ○ not yet answered

    Ioffe & Szegedy, "Batch Normalization" (2015), section 3: https://arxiv.org/abs/1502.03167
    """
    return judge(exercise, fn)


def _gradients(fn: Backward, make: Callable[[], Tensor], eps: float = inputs.EPS) -> Answers:
    x = make()
    weight = inputs.gamma(x.shape[1]).to(x)
    found = unpack(fn(inputs.upstream(x), x, weight, eps), *NAMES)
    likes = dict(zip(NAMES, (make(), weight, weight), strict=True))
    return {name: as_tensor(value, likes[name], name) for name, value in found.items()}


def _leaves_alone(fn: Backward) -> Answers:
    x, grad_output = inputs.cube(), inputs.upstream(inputs.cube())
    fn(grad_output, x, inputs.gamma(2), inputs.EPS)
    unchanged = torch.equal(x, inputs.cube()) and torch.equal(grad_output, inputs.upstream(x))
    return {"x and grad_output afterwards are as before": unchanged}


@functools.cache
def exercise() -> Exercise:
    """Questions, solution and mistakes of the backward pass."""

    def given(x: Tensor) -> dict[str, object]:
        shown = {"grad_output": inputs.upstream(x), "x": x, "weight": inputs.gamma(x.shape[1])}
        return {**shown, "eps": inputs.EPS}

    def values(make: Callable[[], Tensor]) -> Question:
        return Question(CALL, partial(_gradients, make=make), given(make()))

    def dimensions(dim: int) -> Callable[[], Tensor]:
        return lambda: inputs.in_dimensions(inputs.images(), dim)

    def double() -> Tensor:
        return inputs.cube().double()

    return Exercise(
        "backward",
        (
            values(inputs.column),
            values(inputs.two_channels),
            values(inputs.cube),
            values(inputs.images),
            *(values(dimensions(dim)) for dim in (2, 3, 5)),
            Question(CALL, _leaves_alone, given(inputs.cube())),
            Question(f"{CALL}, all of float64", partial(_gradients, make=double), given(double())),
        ),
        lambda way: partial(steps.backward, way=way),
        mistakes(CATALOGUE, *MISTAKES),
    )


MISTAKES = (
    "not-through-mean",
    "not-through-variance",
    "not-through-statistics",
    "sum-for-mean",
    "root-not-divided-by",
    "gamma-ignored",
    "gamma-gradient-of-input",
    "affine-gradients-averaged",
    "affine-gradients-swapped",
    "affine-on-last-axis",
    "eps-outside-root",
    "eps-ignored",
    "variance-for-root",
    "unbiased-normalising",
    *steps.AXES,
    *steps.DIMENSIONS,
    "input-changed",
    "dtype-changed",
)
