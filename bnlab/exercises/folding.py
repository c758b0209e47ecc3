"""Folding: a batch norm's scale and shift, multiplied into the layer before it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.exercises import inputs, steps
from bnlab.exercises.asking import (
    Answers,
    BrokenError,
    Exercise,
    Question,
    Way,
    as_tensor,
    mistakes,
    unpack,
)
from bnlab.exercises.catalogue import CATALOGUE
from bnlab.exercises.judging import judge
from bnlab.exercises.use_mistakes import FOLDING
from bnlab.exercises.verdict import Verdict

Fold = Callable[[Any, Any], Any]


def check_folding(fn: Fold) -> Verdict:
    r"""Check a function that folds a batch norm into the linear layer or convolution before it.

    .. math::
        W' x + b' = \gamma \frac{(W x + b) - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        fn: `fn(layer, norm)`, which returns :math:`W'` and :math:`b'`, or a new layer that has
            them. Both are in eval mode; `layer.bias` may be None.

    Shape:
        - :math:`W'`: as `layer.weight`; :math:`b'`: one value an output channel

    Example:
        >>> def fold(layer, norm):
        ...     scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        ...     bias = 0 if layer.bias is None else layer.bias
        ...     weight = layer.weight * scale.view(-1, *[1] * (layer.weight.dim() - 1))
        ...     return weight, bias + norm.bias - scale * norm.running_mean
        >>> check_folding(fold).mistakes
        ('old-bias-not-scaled',)

    Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
    Only Inference" (2018), section 3.2: https://arxiv.org/abs/1712.05877
    """
    return judge(exercise, fn)


def fold(layer: Any, norm: Any, way: Way) -> tuple[Tensor, Tensor]:
    """Fold, taken a given way."""
    linear = layer.weight.dim() == 2
    if ("linear-only" in way and not linear) or ("convolution-only" in way and linear):
        raise BrokenError
    old = layer.bias
    if old is None:
        if "missing-bias-fails" in way:
            raise BrokenError
        old = torch.zeros(len(layer.weight))
    scale = 1 / steps.root(norm.running_var, norm.eps, way)
    if "gamma-ignored" not in way:
        scale = scale * norm.weight
    beta, mean = norm.bias, norm.running_mean
    if "beta-ignored" in way:
        beta = torch.zeros_like(beta)
    if "running-mean-ignored" in way:
        mean = torch.zeros_like(mean)
    if "old-bias-ignored" in way:
        old = torch.zeros_like(mean)
    axis = 1 if "scaled-along-inputs" in way else 0
    shape = [1] * layer.weight.dim()
    shape[axis] = -1
    weight = layer.weight if "weight-not-scaled" in way else layer.weight * scale.view(shape)
    bias = (old if "old-bias-not-scaled" in way else scale * old) + (
        scale * beta if "beta-scaled" in way else beta
    )
    bias = bias - (mean if "running-mean-not-scaled" in way else scale * mean)
    if "layer-changed" in way:
        layer.weight.data.copy_(weight)
    return weight, bias


def _linear(bias: bool = True) -> tuple[nn.Module, nn.Module]:
    layer, norm = nn.Linear(2, 2, bias=bias), nn.BatchNorm1d(2, eps=inputs.EPS)
    return _set(layer, norm, [[1.0, 2.0], [3.0, -4.0]])


def _convolution() -> tuple[nn.Module, nn.Module]:
    layer, norm = nn.Conv2d(2, 3, (2, 3)), nn.BatchNorm2d(3, eps=0.01)
    return _set(layer, norm, inputs.upstream(torch.zeros(3, 2, 2, 3)).tolist())


def _set(layer: Any, norm: Any, weight: Any) -> tuple[nn.Module, nn.Module]:
    c = norm.num_features
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if layer.bias is not None:
            layer.bias.copy_(torch.tensor([5.0, -3.0, 2.0])[:c])
        norm.weight.copy_(inputs.gamma(c))
        norm.bias.copy_(inputs.beta(c))
        norm.running_mean.copy_(torch.tensor([7.0, 2.0, -4.0])[:c])
        norm.running_var.copy_(torch.tensor([3.5, 0.5, 1.5])[:c])
    return layer.eval(), norm.eval()


def _folded(fn: Fold, make: Callable[[], tuple[Any, Any]]) -> Answers:
    return _fold_pair(fn, *make())


def _fold_pair(fn: Fold, layer: Any, norm: Any) -> Answers:
    likes = layer.weight.detach().clone(), torch.zeros(norm.num_features)
    result = fn(layer, norm)
    if isinstance(result, nn.Module):
        result = getattr(result, "weight", None), getattr(result, "bias", None)
    found = unpack(result, "weight", "bias")
    return {
        name: as_tensor(value, like, name)
        for (name, value), like in zip(found.items(), likes, strict=True)
    }


def _leaves_alone(fn: Fold) -> Answers:
    pair, before = _linear(), _linear()
    _fold_pair(fn, *pair)
    return {
        "layer and norm afterwards are as before": all(
            torch.equal(value, old.state_dict()[name])
            for now, old in zip(pair, before, strict=True)
            for name, value in now.state_dict().items()
        )
    }


@functools.cache
def exercise() -> Exercise:
    """Questions, solution and mistakes of folding."""

    def question(make: Callable[[], tuple[Any, Any]]) -> Question:
        layer, norm = make()
        given = {
            "layer.weight": layer.weight,
            "layer.bias": layer.bias,
            "norm.weight": norm.weight,
            "norm.bias": norm.bias,
            "norm.running_mean": norm.running_mean,
            "norm.running_var": norm.running_var,
            "norm.eps": norm.eps,
        }
        kinds = f"{type(layer).__name__}, {type(norm).__name__}"
        return Question(f"fn(layer, norm): {kinds}", partial(_folded, make=make), given)

    return Exercise(
        "folding",
        (
            question(_linear),
            question(partial(_linear, bias=False)),
            question(_convolution),
            Question("fn(layer, norm)", _leaves_alone),
        ),
        lambda way: partial(fold, way=way),
        mistakes((*CATALOGUE, *FOLDING), *MISTAKES),
    )


MISTAKES = (
    "eps-ignored",
    "eps-outside-root",
    "variance-for-root",
    "gamma-ignored",
    "beta-ignored",
    *(mistake.slug for mistake in FOLDING),
)
