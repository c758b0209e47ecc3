"""What becomes of training when the gradient takes the batch's statistics for constants."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bnlab.data import Dataset
from bnlab.functional import moments, normalize
from bnlab.layers import BatchNorm1d
from bnlab.models import deep_mlp
from bnlab.training import fit

STATISTICS = ("mean", "var")


class DetachedBatchNorm1d(BatchNorm1d):
    r"""Normalise as `BatchNorm1d` does, but let no gradient pass through the chosen statistics.

    .. math::
        \frac{\partial L}{\partial x} = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}
        \frac{\partial L}{\partial y} \quad \text{if both are constants}

    Its outputs are right and its gradient is wrong: a mistake to study, not a layer to use.

    Args:
        num_features: Number of channels.
        constant: Which statistics the gradient takes for constants: 'mean', 'var', both or none.

    Shape:
        - input and output: :math:`(N, C)`

    Raises:
        ValueError: `constant` names something else.

    Example:
        >>> batch = torch.tensor([[1.0], [3.0]], requires_grad=True)
        >>> DetachedBatchNorm1d(1, ["mean"])(batch).sum().backward()
        >>> batch.grad
        tensor([[1.0000],
                [1.0000]])
        >>> proper = torch.tensor([[1.0], [3.0]], requires_grad=True)
        >>> DetachedBatchNorm1d(1, [])(proper).sum().backward()
        >>> proper.grad
        tensor([[0.],
                [0.]])

    Ioffe & Szegedy, "Batch Normalization" (2015), section 2, on the gradient that ignores the
    normalisation: https://arxiv.org/abs/1502.03167
    """

    def __init__(self, num_features: int, constant: Collection[str] = STATISTICS) -> None:
        super().__init__(num_features)
        if isinstance(constant, str) or not set(constant) <= set(STATISTICS):
            raise ValueError(f"constant is a list with some of {STATISTICS}, but is {constant!r}")
        self.constant = frozenset(constant)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise with the batch's statistics in train mode, the running ones in eval mode."""
        if not self.training:
            return super().forward(input)
        with torch.no_grad():
            super().forward(input)  # moves the running statistics
        mean, var = moments(input, dim=0)
        mean = mean.detach() if "mean" in self.constant else mean
        var = var.detach() if "var" in self.constant else var
        return normalize(input, mean, var, self.weight, self.bias, self.eps)


@dataclass(frozen=True, eq=False)
class Course:
    r"""How a training went.

    Attributes:
        steps: Where along the training the numbers below were taken.
        loss: Mean over the steps since the last such place.
        bias: :math:`\|b\|` of the biases in front of the norms, all layers together.
        weight: :math:`\|W\|` of the weights there.
        accuracy: On the test split, at the end.
    """

    steps: list[int]
    loss: list[float]
    bias: list[float]
    weight: list[float]
    accuracy: float


def train_detached(
    data: Dataset,
    constant: Collection[str],
    *,
    lr: float,
    epochs: int = 10,
    every: int = 7,
    seed: int = 0,
) -> Course:
    r"""Train two hidden ReLU layers with `DetachedBatchNorm1d`, by SGD without momentum.

    .. math::
        \theta \leftarrow \theta - \eta \, g(\theta), \qquad g = \nabla L
        \text{ if no statistic is constant}

    Args:
        data: What to train and test on, each sample a row.
        constant: Which statistics the gradient takes for constants.
        lr: Learning rate :math:`\eta`.
        epochs: Passes over the training split.
        every: How many steps lie between two places where norms are taken.
        seed: Of the initial weights and of the order of the samples.

    Raises:
        ValueError: `constant` names no statistic, or `every` is below 1.

    Example:
        >>> from bnlab import data
        >>> digits = data.digits(flat=True)
        >>> proper = train_detached(digits, [], lr=0.1, epochs=1)
        >>> wrong = train_detached(digits, ["mean"], lr=0.1, epochs=1)
        >>> proper.bias[-1] < 1e-6 < 0.1 < wrong.bias[-1]
        True

    The growing bias is that of Ioffe & Szegedy (2015), section 2.
    """
    if every < 1:
        raise ValueError(f"every is a number of steps, at least 1, but is {every}")
    model = deep_mlp(
        data.train.inputs.shape[1], 64, 2, len(data.classes), gain=2**0.5, activation="relu",
        norm=lambda features: DetachedBatchNorm1d(features, constant), seed=seed,
    )  # fmt: skip
    before_norm = [layer for layer in model if isinstance(layer, nn.Linear)][:-1]
    course = Course([], [], [], [], 0.0)
    recent: list[float] = []

    def look(step: int, loss: float) -> None:
        recent.append(loss)
        if len(recent) == every:
            course.steps.append(step + 1)
            course.loss.append(sum(recent) / every)
            course.bias.append(_length([layer.bias for layer in before_norm]))
            course.weight.append(_length([layer.weight for layer in before_norm]))
            recent.clear()

    history = fit(
        model, data, epochs=epochs, seed=seed, progress=False, on_step=look,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=lr),
    )  # fmt: skip
    lists = (course.steps, course.loss, course.bias, course.weight)
    return Course(*lists, accuracy=history.test_accuracy[-1])


def _length(tensors: list[Tensor]) -> float:
    return float(torch.cat([tensor.detach().flatten() for tensor in tensors]).norm())
