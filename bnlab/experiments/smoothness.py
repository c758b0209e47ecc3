"""How far a gradient can be trusted: loss and gradient along the step it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cosine_similarity, cross_entropy

from bnlab.data import Dataset, Split
from bnlab.training.repeatable import build_exactly, fit_repeatably


@dataclass(frozen=True, eq=False)
class AlongStep:
    r"""Loss and gradient :math:`g'` on the way from where the gradient is :math:`g`.

    Attributes:
        loss: At the start, and after each step, :math:`(1 + K)`.
        change: :math:`\|g' - g\|` after each step, :math:`(K)`.
        distance: How far the step went in weight space, :math:`(K)`.
        kept: The decrease of the loss as a share of what the gradient promised, :math:`(K)`: 1
            where the loss is a straight line, below 0 where it has risen.
        cosine: Between :math:`g'` and :math:`g`, the mean over the weight matrices, :math:`(K)`.
    """

    loss: Tensor
    change: Tensor
    distance: Tensor
    kept: Tensor
    cosine: Tensor

    @property
    def smoothness(self) -> Tensor:
        r""":math:`\max_k \|g'_k - g\| / \text{distance}_k`, "effective β-smoothness"."""
        largest: Tensor = (self.change / self.distance).max()
        return largest


def along_step(
    model: nn.Module, split: Split, steps: Sequence[float], *, relative: bool = False
) -> AlongStep:
    r"""Go several steps along the negative gradient, each from the same place, and look around.

    .. math::
        w_k = w - \eta_k\, g \qquad \text{or, relative,} \qquad
        W_k = W - \eta_k\, \frac{\|W\|}{\|G\|}\, G \ \text{ for each weight matrix } W

    A relative step takes a share of each matrix's own size, and leaves the vectors (biases, γ, β)
    where they are: rescaling a matrix that a norm makes scale-free changes nothing about it.

    Args:
        model: In train mode, so that batch norm uses the batch's statistics. Neither its weights
            nor its running statistics move.
        split: The batch on which the loss is taken.
        steps: The sizes :math:`\eta_k`.
        relative: Whether they are shares of the weights' size.

    Shape:
        - inputs: :math:`(N, *)`, whatever `model` takes
        - targets: :math:`(N)`, int64

    Raises:
        ValueError: A step is not above 0.

    Example:
        >>> model = nn.Linear(2, 2, bias=False)
        >>> split = Split(torch.eye(2), torch.tensor([0, 1]))
        >>> small = along_step(model, split, [1e-3])
        >>> round(small.kept.item(), 2), bool(small.loss[1] < small.loss[0])
        (1.0, True)

    Santurkar et al., "How Does Batch Normalization Help Optimization?" (2018), section 3.1 and
    figure 4: https://arxiv.org/abs/1805.11604
    """
    if not steps or min(steps) <= 0:
        raise ValueError(f"steps are {list(steps)}: give at least one, all above 0")
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    matrices = [name for name, weight in weights.items() if weight.dim() > 1]
    loss, gradient, _ = loss_at(model, weights, split)
    direction = {name: -g for name, g in gradient.items()}
    if relative:
        direction = {n: _as_large_as(weights[n], direction[n]) for n in matrices}
    slope = -sum((gradient[name] * d).sum() for name, d in direction.items())
    losses, changes, cosines = [loss], [], []
    for step in steps:
        moved = {n: weights[n] + step * d for n, d in direction.items()}
        loss, there, _ = loss_at(model, weights | moved, split)
        losses.append(loss)
        changes.append(_norm({name: there[name] - g for name, g in gradient.items()}))
        cosines.append(
            torch.stack(
                [cosine_similarity(there[n].flatten(), gradient[n].flatten(), 0) for n in matrices]
            ).mean()
        )
    sizes = torch.tensor(steps, dtype=loss.dtype)
    return AlongStep(
        loss=torch.stack(losses),
        change=torch.stack(changes),
        distance=sizes * _norm(direction),
        kept=(losses[0] - torch.stack(losses[1:])) / (sizes * slope),
        cosine=torch.stack(cosines),
    )


@dataclass(frozen=True, eq=False)
class SmoothnessCourse:
    """What `along_step` saw at some places of a training, the places in the first dimension.

    Attributes:
        steps: How many steps had been taken there, (P).
        plain: Its results stacked, with step sizes taken times the gradient.
        relative: The same for shares of the weights' size.
        test_accuracy: After each epoch, (E).
    """

    steps: Tensor
    plain: AlongStep
    relative: AlongStep
    test_accuracy: Tensor


def watch_smoothness(
    build: Callable[[], nn.Module],
    data: Dataset,
    *,
    step_sizes: Sequence[float],
    shares: Sequence[float],
    every: int = 5,
    probe: int = 256,
    lr: float = 0.03,
    seed: int = 0,
    **settings: Any,
) -> SmoothnessCourse:
    """Train repeatably, and every few steps look around along the gradient.

    Args:
        build: Makes the model, as for `fit_repeatably`.
        data: What to train and test on.
        step_sizes: Of the plain steps.
        shares: Of the relative ones.
        every: Distance of the places, in training steps.
        probe: The loss is taken on so many samples, the first of the training split.
        lr: Learning rate of the training, SGD with momentum 0.9.
        seed: Of weights and order of the samples.
        **settings: Further arguments of `fit_repeatably`.

    Shape:
        - inputs: :math:`(N, *)`, whatever the model takes

    Raises:
        ValueError: As `along_step` and `fit` raise it.

    Example:
        >>> from bnlab import data, models
        >>> course = watch_smoothness(
        ...     lambda: models.mlp(64), data.digits(flat=True), step_sizes=[0.1, 0.2],
        ...     shares=[0.01], every=10, epochs=1, progress=False,
        ... )
        >>> course.steps.tolist(), course.plain.loss.shape
        ([0, 10, 20], torch.Size([3, 3]))
    """
    model = build_exactly(build, seed)
    split = Split(data.train.inputs[:probe].double(), data.train.targets[:probe])
    plain: list[AlongStep] = []
    relative: list[AlongStep] = []
    taken = 0

    def look(*_: object) -> None:
        nonlocal taken
        if taken % every == 0:
            plain.append(along_step(model, split, step_sizes))
            relative.append(along_step(model, split, shares, relative=True))
        taken += 1

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        sgd = torch.optim.SGD(parameters, lr=lr, momentum=0.9)
        sgd.register_step_pre_hook(look)
        return sgd

    _, history = fit_repeatably(lambda: model, data, seed=seed, optimizer=optimizer, **settings)
    return SmoothnessCourse(
        steps=torch.arange(len(plain)) * every,
        plain=_stack(plain),
        relative=_stack(relative),
        test_accuracy=torch.tensor(history.test_accuracy),
    )


def _stack(rows: list[AlongStep]) -> AlongStep:
    names = AlongStep.__dataclass_fields__
    return AlongStep(**{name: torch.stack([getattr(row, name) for row in rows]) for name in names})


def loss_at(
    model: nn.Module, weights: dict[str, Tensor], split: Split
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Return loss, its gradient and outputs with `weights` in place of the model's own."""
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    # Running statistics would move in place: let it be copies of them.
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.enable_grad():
        outputs = functional_call(model, leaves | buffers, split.inputs)
        loss = cross_entropy(outputs, split.targets)
        gradient = torch.autograd.grad(loss, list(leaves.values()))
    return loss.detach(), dict(zip(leaves, gradient, strict=True)), outputs.detach()


def _as_large_as(weight: Tensor, direction: Tensor) -> Tensor:
    smallest = torch.finfo(weight.dtype).tiny
    return direction * (_norm({"": weight}) / _norm({"": direction}).clamp_min(smallest))


def _norm(parts: dict[str, Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts.values()]).square().sum().sqrt()
