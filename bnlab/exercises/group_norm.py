"""Group norm from a reshape: the channels of each sample, in groups."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from bnlab.exercises import inputs, steps
from bnlab.exercises.asking import Answers, Exercise, Question, Way, as_tensor, mistakes
from bnlab.exercises.catalogue import CATALOGUE
from bnlab.exercises.judging import judge
from bnlab.exercises.use_mistakes import GROUPS
from bnlab.exercises.verdict import Verdict

GroupNorm = Callable[[Tensor, int, Tensor, Tensor, float], Tensor]
CALL = "fn(x, num_groups, weight, bias, eps)"


def check_group_norm(fn: GroupNorm) -> Verdict:
    r"""Check a function that normalises each sample by groups of its channels.

    .. math::
        y = \gamma_c \frac{x - \mu_{N,G}}{\sqrt{\sigma_{N,G}^2 + \epsilon}} + \beta_c

    Args:
        fn: `fn(x, num_groups, weight, bias, eps)`, which returns :math:`y`.

    Shape:
        - x and the result: :math:`(N, C)` or :math:`(N, C, *)`
        - weight, bias: :math:`(C)`

    Example:
        >>> def group_norm(x, num_groups, weight, bias, eps):
        ...     groups = x.reshape(len(x), num_groups, -1)
        ...     var, mean = torch.var_mean(groups, 2, keepdim=True)
        ...     normalised = ((groups - mean) / (var + eps).sqrt()).reshape(x.shape)
        ...     return (normalised.movedim(1, -1) * weight + bias).movedim(-1, 1)
        >>> check_group_norm(group_norm).mistakes
        ('unbiased-normalising',)

    Wu & He, "Group Normalization" (2018), figure 3: https://arxiv.org/abs/1803.08494
    """
    return judge(exercise, fn)


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float, way: Way
) -> Tensor:
    """Group norm, taken a given way."""
    steps.check_dtype(x, way)
    steps.check_dimensions(x, way)
    n, c = x.shape[:2]
    if "size-for-number" in way:
        num_groups = c // num_groups
    if "groups-ignored" in way:
        num_groups = 1
    if "channels-on-their-own" in way:
        num_groups = c
    source = x
    if "channels-interleaved" in way:
        order = torch.arange(c).view(-1, num_groups).T.flatten()
        source = x[:, order]
    groups = source.reshape(n, num_groups, c // num_groups, -1)
    dim: tuple[int, ...] = (2, 3)
    if "statistics-over-batch" in way:
        dim = (0, 2, 3)
    if "positions-on-their-own" in way:
        dim = (2,)
    mean = groups.mean(dim, keepdim=True)
    var = steps.variance(groups, mean, dim, way)
    if "unbiased-normalising" in way:
        var = var * steps.unbiased(groups, dim)
    y = steps.standardize(groups, mean, var, eps, way - {"input-changed"}).reshape(x.shape)
    if "channels-interleaved" in way:
        y = y[:, order.argsort()]
    if "input-changed" in way:
        x.copy_(y)
    return steps.scale_and_shift(y, weight, bias, way)


def _output(fn: GroupNorm, x: Tensor, num_groups: int, eps: float = inputs.EPS) -> Tensor:
    c = x.shape[1]
    return as_tensor(fn(x, num_groups, inputs.gamma(c).to(x), inputs.beta(c).to(x), eps), x.clone())


def _row() -> Tensor:
    return torch.tensor([[1.0, 3.0, 10.0, 30.0], [0.0, 2.0, 5.0, 1.0]])


def _plain(fn: GroupNorm) -> Answers:
    x = _row()[:1]
    return {"": as_tensor(fn(x, 2, torch.ones(4), torch.zeros(4), inputs.EPS), _row()[:1])}


def _values(
    fn: GroupNorm, make: Callable[[], Tensor], num_groups: int, eps: float = inputs.EPS
) -> Answers:
    return {"": _output(fn, make(), num_groups, eps)}


def _far(fn: GroupNorm, shift: float, dtype: torch.dtype) -> Answers:
    x = inputs.sixteenths().repeat(1, 2, 1, 1).to(dtype)
    near, far = (_output(fn, x + each, 2) for each in (0.0, shift))
    return {"as without the shift": bool(((near - far).abs() < 0.3).all())}


def _leaves_alone(fn: GroupNorm) -> Answers:
    x = _row()
    _output(fn, x, 2)
    return {"x afterwards is as before": torch.equal(x, _row())}


def _six() -> Tensor:
    # Neighbours far apart, so that no group has hardly any variance.
    return inputs.images(6) + 8.0 * torch.arange(6).view(1, -1, 1, 1)


@functools.cache
def exercise() -> Exercise:
    """Questions, solution and mistakes of group norm."""

    def values(make: Callable[[], Tensor], groups: int, eps: float = inputs.EPS) -> Question:
        x, c = make(), make().shape[1]
        given = {"x": x, "num_groups": groups, "weight": inputs.gamma(c), "bias": inputs.beta(c)}
        ask = partial(_values, make=make, num_groups=groups, eps=eps)
        return Question(CALL, ask, {**given, "eps": eps})

    def dimensions(dim: int) -> Callable[[], Tensor]:
        return lambda: inputs.in_dimensions(_six(), dim)

    def far(power: int, dtype: torch.dtype) -> Question:
        call = f"fn(x + {2**power}, num_groups, weight, bias, eps)"
        return Question(call, partial(_far, shift=2.0**power, dtype=dtype), {"x": f"of {dtype}"})

    ones = {"x": _row()[:1], "num_groups": 2, "weight": [1] * 4, "bias": [0] * 4, "eps": inputs.EPS}
    return Exercise(
        "group norm",
        (
            Question(CALL, _plain, ones),
            values(_row, 2),
            values(inputs.cube, 1),
            values(_six, 3),
            values(_six, 2, 0.01),
            far(15, torch.float32),
            *(values(dimensions(dim), 3) for dim in (2, 3, 5)),
            Question(CALL, _leaves_alone, {"x": _row(), "num_groups": 2}),
            far(25, torch.float64),
        ),
        lambda way: partial(group_norm, way=way),
        mistakes((*CATALOGUE, *GROUPS), *MISTAKES),
    )


MISTAKES = (
    *(mistake.slug for mistake in GROUPS),
    *steps.NORMALISING,
    *steps.AFFINE,
    *steps.DIMENSIONS,
    "input-changed",
    "dtype-changed",
)
