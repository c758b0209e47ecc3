"""The backward pass of batch normalisation, walked one edge of its computation graph at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Move:
    r"""The gradient crosses one edge, from an output of a step back to one of its inputs.

    Attributes:
        output: Node that the gradient leaves.
        input: Node that it reaches.
        derivative: The local derivative as a formula.
        local: The local derivative as numbers, one for each sample or a single one.
        contribution: What arrives over this edge.
        gradients: Of every node reached so far, contributions of all edges added up.
    """

    output: str
    input: str
    derivative: str
    local: Tensor
    contribution: Tensor
    gradients: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Walk:
    """One forward pass and all moves of its backward pass, in order.

    Attributes:
        values: Of every node, by its name.
        grad_output: The gradient that arrives at `y`.
        moves: The ten edges; the last leaves `x` with its whole gradient.
    """

    values: Mapping[str, Tensor]
    grad_output: Tensor
    moves: tuple[Move, ...]


@dataclass(frozen=True)
class _Node:
    name: str
    compute: Callable[..., Tensor]
    # Inputs in the order in which the gradient visits them, each with the local derivative.
    inputs: Mapping[str, str]


def _graph(eps: float) -> tuple[_Node, ...]:
    return (
        _Node("mean", lambda x: x.mean(), {"x": "1/n"}),
        _Node("centred", lambda mean, x: x - mean, {"mean": "−1", "x": "1"}),
        _Node("var", lambda centred: centred.square().mean(), {"centred": "2(x − μ)/n"}),
        _Node("rstd", lambda var: torch.rsqrt(var + eps), {"var": "−½ r³"}),
        _Node("x_hat", lambda rstd, centred: centred * rstd, {"rstd": "x − μ", "centred": "r"}),
        _Node(
            "y",
            lambda bias, weight, x_hat: weight * x_hat + bias,
            {"bias": "1", "weight": "x̂", "x_hat": "γ"},
        ),
    )


def walk_backward(
    x: Tensor, grad_output: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5
) -> Walk:
    r"""Normalise one channel step by step, and send a gradient back edge by edge.

    .. math::
        \frac{\partial L}{\partial u} = \sum_{v \,:\, u \to v}
        \frac{\partial L}{\partial v} \, \frac{\partial v}{\partial u}

    The nodes are `x`, `mean`, `centred` (:math:`x - \mu`), `var`, `rstd`
    (:math:`1 / \sqrt{\sigma^2 + \epsilon}`), `x_hat`, `weight`, `bias` and `y`. Each local
    derivative is autograd's, of that single step.

    Args:
        x: The batch's values in one channel.
        grad_output: The gradient of a loss with respect to the output.
        weight: :math:`\gamma`.
        bias: :math:`\beta`.
        eps: :math:`\epsilon`, added to the variance.

    Shape:
        - x and grad_output: :math:`(N)`
        - weight and bias: a single number, :math:`()`

    Raises:
        ValueError: `x` is no row of at least two values, or another tensor does not fit it.

    Example:
        >>> x, grad_output = torch.tensor([1.0, 2.0, 3.0, 6.0]), torch.tensor([1.0, 0.0, 0.0, 0.0])
        >>> walk = walk_backward(x, grad_output, torch.tensor(2.0), torch.tensor(1.0))
        >>> [(move.output, move.input) for move in walk.moves[:3]]
        [('y', 'bias'), ('y', 'weight'), ('y', 'x_hat')]
        >>> walk.moves[-1].gradients["x"].round(decimals=3)
        tensor([ 0.4960, -0.4200, -0.2670,  0.1910])

    The edges are those of F. Kratzert, "Understanding the backward pass through Batch
    Normalization Layer" (2016), some of them taken together.
    """
    if x.dim() != 1 or len(x) < 2 or grad_output.shape != x.shape:
        raise ValueError(
            f"x and grad_output are one channel of a batch, both of shape (N,) with N at least 2, "
            f"but here {tuple(x.shape)} and {tuple(grad_output.shape)}"
        )
    if weight.dim() or bias.dim():
        raise ValueError(
            "weight and bias belong to one channel: give single numbers, such as torch.tensor(2.0)"
        )
    graph = _graph(eps)
    values = {"x": x.detach(), "weight": weight.detach(), "bias": bias.detach()}
    for node in graph:
        values[node.name] = node.compute(**{name: values[name] for name in node.inputs})

    gradients, moves = {"y": grad_output.detach()}, []
    for node in reversed(graph):
        for name, derivative in node.inputs.items():
            local = _local_derivative(node, name, values)
            crossing = gradients[node.name] * local
            arrived = crossing if values[name].dim() else crossing.sum()
            gradients = {**gradients, name: gradients.get(name, 0) + arrived}
            moves.append(Move(node.name, name, derivative, local, arrived, gradients))
    return Walk(values, grad_output.detach(), tuple(moves))


def _local_derivative(node: _Node, name: str, values: Mapping[str, Tensor]) -> Tensor:
    """How each sample's output answers to its own input; a number that all share is spread out."""
    inputs = {each: values[each] for each in node.inputs}
    if values[node.name].dim():
        inputs[name] = inputs[name].expand_as(values[node.name])
    inputs[name] = inputs[name].clone().requires_grad_()
    with torch.enable_grad():
        output = node.compute(**inputs)
    (local,) = torch.autograd.grad(output.sum(), inputs[name])
    return local
